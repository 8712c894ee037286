//! What keeps one archive from being sent keeps no other, and is said.

use std::process::Command;

use serde_json::Value;

use super::Site;
use crate::resources::in_own_mounts;
use crate::support::{Rng, cofre_binary, run, tool};

#[test]
fn an_archive_that_can_not_be_read_is_named_and_keeps_no_other_back() {
    let site = Site::new();
    let config = std::fs::read(site.app.path("cofre.toml")).unwrap();
    site.app.config("[sources.static]\npath = \"static\"\n");
    let records: Vec<Value> = (0..3).map(|_| site.app.json(&["create", "--full"])).collect();
    std::fs::write(site.app.path("cofre.toml"), config).unwrap();
    let bad = site.app.archive(&records[1]);
    let push = || {
        run(Command::new(tool("strace"))
            .args(["-f", "-qq", "-o", "/dev/null", "-P"])
            .arg(&bad)
            .args(["-e", "trace=read,pread64", "-e", "inject=read,pread64:error=EIO"])
            .arg(cofre_binary())
            .arg("--config")
            .arg(site.app.path("cofre.toml"))
            .args(["remote", "push", "offsite"]))
    };
    for of_remote in ["", "encrypt = false"] {
        site.configure(of_remote);
        let name = records[1]["name"].as_str().unwrap();
        push()
            .exits(5)
            .says(&format!("{name} can't be read, and is not copied"))
            .says("1 still to be copied");
        let status = site.app.json(&["status"]);
        let said = status["remotes"][0]["last_error"].as_str().unwrap();
        assert!(said.contains(name), "{said}");
    }
    site.remote(&["push", "offsite"])
        .exits(0)
        .says("0 still to be copied");
    site.remote(&["verify", "offsite"])
        .exits(0)
        .says("3 copies are good");
}

#[test]
fn a_state_folder_without_room_for_the_encrypted_archive_is_said_before_it_is_filled() {
    let site = Site::new();
    site.app.write("static/foto.raw", &Rng::fixed(3).bytes(8 << 20));
    let config = std::fs::read_to_string(site.app.path("cofre.toml")).unwrap();
    site.app.config("[sources.static]\npath = \"static\"\n");
    site.app.create();
    site.app.config(&format!("state_dir = \"state\"\n{config}"));
    std::fs::create_dir(site.app.path("state")).unwrap();
    let run = in_own_mounts(
        &site.app,
        "mount -t tmpfs -o size=6m,mode=0700 tmpfs \"$1/state\"
         code=0; \"$2\" --config \"$3\" remote push offsite || code=$?
         echo \"code=$code used=$(du -sk \"$1/state\" | cut -f1)\"",
    )
    .exits(0)
    .says("code=7")
    .says("encrypting backup_")
    .says("are free on the disk of state_dir");
    let used = run.stdout.split("used=").nth(1).unwrap().trim();
    assert!(used.parse::<u64>().unwrap() < 1024, "{run}");
}
