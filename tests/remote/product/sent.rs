//! What is sent is what was proved, and for whom the configuration says now.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Machine, store_of};
use crate::proxy::Action;
use crate::server::server;
use crate::site::{Site, write_random};
use crate::support::{run, tool};

/// An archive of several parts that was made before there was a remote.
fn large(machine: &Machine) -> PathBuf {
    write_random(&machine.app.path("static/random.bin"), 23 << 20);
    machine.app.config("[sources.static]\npath = \"static\"\n");
    machine.app.create();
    machine.app.archives().remove(0)
}

/// Changes one byte near the end, where the file lies.
fn flip(archive: &Path) {
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(archive)
        .unwrap();
    let at = file.metadata().unwrap().len() - 1000;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

fn nothing_is_there(machine: &Machine) {
    let store = store_of(&machine.site);
    assert_eq!(store.list("archives").unwrap(), []);
    assert_eq!(store.list("rows").unwrap(), []);
    assert_eq!(store.unfinished("archives").unwrap(), []);
}

#[test]
fn an_archive_that_is_changed_while_it_is_sent_is_no_copy() {
    let machine = Machine::new(Site::new());
    let archive = large(&machine);
    machine.configure("encrypt = false\nparallel = 1");
    // One that was bad is read to its end before anything of it goes: what is changed later was proved.
    flip(&archive);
    machine.remote(&["push", "offsite"]).exits(5);
    flip(&archive);
    let of_proxy = archive.clone();
    machine.site.proxy.on(
        "PUT",
        "partNumber=2",
        0..1,
        Action::Before(Box::new(move || flip(&of_proxy))),
    );
    machine
        .remote(&["push", "offsite"])
        .exits(5)
        .says("was changed while it was sent, and is not copied");
    nothing_is_there(&machine);
    machine
        .remote(&["push", "offsite"])
        .exits(5)
        .says("is not what the catalog says");
    flip(&archive);
    machine.remote(&["push", "offsite"]).exits(0);
    machine
        .remote(&["verify", "offsite"])
        .exits(0)
        .says("1 copy is good");
}

#[test]
fn what_is_known_to_be_bad_is_not_sent_in_vain() {
    let machine = Machine::new(Site::new());
    let archive = large(&machine);
    let good = std::fs::read(&archive).unwrap();
    for of_remote in ["", "encrypt = false"] {
        machine.configure(of_remote);
        // Its size tells.
        std::fs::write(&archive, &good[..good.len() - 1]).unwrap();
        let before = machine.site.proxy.count("PUT", "archives/");
        machine.remote(&["push", "offsite"]).exits(5);
        assert_eq!(machine.site.proxy.count("PUT", "archives/"), before);
        // And here that it was bad the last time.
        std::fs::write(&archive, &good).unwrap();
        flip(&archive);
        machine.remote(&["push", "offsite"]).exits(5);
        let before = machine.site.proxy.count("PUT", "archives/");
        machine.remote(&["push", "offsite"]).exits(5);
        assert_eq!(machine.site.proxy.count("PUT", "archives/"), before);
        nothing_is_there(&machine);
    }
}

#[test]
fn an_upload_that_was_begun_for_others_is_begun_anew() {
    let machine = Machine::new(Site::new());
    let archive = large(&machine);
    machine.configure("");
    machine.site.proxy.on(
        "PUT",
        "partNumber=4",
        0..1_000,
        Action::Answer(403, &[], String::new()),
    );
    machine.remote(&["push", "offsite"]).exits(8);
    machine.site.proxy.clear();
    let new = machine.app.path("new");
    machine.app.cofre(&["key", "new", new.to_str().unwrap()]).exits(0);
    let text = std::fs::read_to_string(machine.app.path("cofre.toml")).unwrap();
    let identity = std::fs::read_to_string(new.join("cofre-identity.txt")).unwrap();
    let recipient = identity
        .lines()
        .find_map(|line| line.strip_prefix("# public key: "));
    let old = super::recipient(&machine.app);
    machine.app.config(&text.replace(&old, recipient.unwrap()));
    machine.remote(&["push", "offsite"]).exits(0);
    let name = archive.file_name().unwrap().to_str().unwrap();
    let (object, opened) = (machine.app.path("object.age"), machine.app.path("opened.zip"));
    server().fetch(&machine.path(&format!("archives/{name}.age")), &object);
    run(Command::new(tool("age"))
        .args(["-d", "-i"])
        .arg(new.join("cofre-identity.txt"))
        .arg("-o")
        .args([&opened, &object]))
    .exits(0);
    assert_eq!(std::fs::read(opened).unwrap(), std::fs::read(archive).unwrap());
    assert_eq!(store_of(&machine.site).unfinished("archives").unwrap(), []);
}

#[test]
fn an_archive_that_proves_bad_at_its_end_is_no_copy() {
    let machine = Machine::new(Site::new());
    let archive = large(&machine);
    let good = std::fs::read(&archive).unwrap();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    for of_remote in ["", "encrypt = false"] {
        machine.configure(of_remote);
        std::fs::write(&archive, &bad).unwrap();
        machine
            .remote(&["push", "offsite"])
            .exits(5)
            .says("is not what the catalog says, and is not copied");
        nothing_is_there(&machine);
    }
    // One that is cut short while it is sent is the same.
    std::fs::write(&archive, &good[..good.len() - (6 << 20)]).unwrap();
    machine
        .remote(&["push", "offsite"])
        .exits(5)
        .says("is not what the catalog says, and is not copied");
    std::fs::write(&archive, &good).unwrap();
    machine.remote(&["push", "offsite"]).exits(0);
    machine
        .remote(&["verify", "offsite"])
        .exits(0)
        .says("1 copy is good");
}
