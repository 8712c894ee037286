//! What a unit says for different configurations.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn unit(dir: &str, text: &str, user: &str) -> String {
    let mut config = Config::parse(text, Path::new(dir)).unwrap();
    config.file = Some(Path::new(dir).join("cofre.toml"));
    Unit {
        config: &config,
        user,
        binary: Path::new("/usr/bin/cofre"),
    }
    .render()
}

const FULL: &str = "group = \"cofre\"\nbackup_dir = \"/var/backups/app\"\n[sources.static]\npath = \"static\"\n\
    [databases.app]\nurl = \"sqlite:app.db\"\n[api]\ngrace = \"40s\"\nrestore_dir = \"/srv/restored\"\n\
    max_connections = 100\n[log]\nfile = \"/var/log/cofre/cofre.log\"\n";

#[test]
fn a_unit_opens_what_the_configuration_needs_and_nothing_else() {
    let text = unit("/srv/app", FULL, "cofre");
    for line in [
        "User=cofre",
        "ExecStart=/usr/bin/cofre --config /srv/app/cofre.toml serve",
        "ReadWritePaths=/srv/app/.cofre /srv/restored /var/backups/app /var/log/cofre",
        "ReadOnlyPaths=-/srv/app/static",
        "SupplementaryGroups=cofre",
        "CapabilityBoundingSet=",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "TimeoutStopSec=70",
        "SystemCallFilter=@chown",
        "#   install -d -m 0700 -o cofre /srv/app/.cofre /srv/restored /var/backups/app /var/log/cofre",
        "LimitNOFILE=1224",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
    assert!(!text.contains("AmbientCapabilities=CAP_NET"), "{text}");
}

#[test]
fn homes_temporary_folders_root_and_low_ports_get_what_they_need() {
    let config = "[sources.s]\npath = \"/tmp/s\"\n[api]\nlisten = \"127.0.0.1:443\"\n";
    let text = unit("/home/ana/app", config, "root");
    for line in [
        "ProtectHome=read-only",
        "PrivateTmp=no",
        "CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_NET_BIND_SERVICE",
        "AmbientCapabilities=CAP_NET_BIND_SERVICE",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
}

#[test]
fn no_path_or_name_can_add_a_line_or_a_specifier() {
    let config = "repository = \"50 %\"\n[sources.s]\npath = \"a b/%h/$x\\nUser=root\"\n";
    let text = unit("/srv/$app", config, "cofre");
    assert!(text.contains("Description=Backups of 50 %% (cofre)"), "{text}");
    assert!(
        text.contains("ReadOnlyPaths=\"-/srv/$app/a b/%%h/$x\\x0aUser=root\""),
        "{text}"
    );
    assert!(text.contains("--config /srv/$$app/cofre.toml serve"), "{text}");
    assert!(!text.lines().any(|l| l == "User=root"), "{text}");
}

#[test]
fn names_of_users_are_checked() {
    assert!(is_user("cofre") && is_user("1000") && is_user("www-data"));
    for bad in ["", "-x", "a b", "a\nUser=root", "x%h"] {
        assert!(!is_user(bad), "{bad:?}");
    }
}
