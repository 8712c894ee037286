//! What a configuration means when it is good.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::Weekday;

use crate::config::{
    Config, DatabaseEngine, Drill, LockMode, Origin, Place, When, document::Document, keys, parts,
};

/// Every key there is, in the shape of the manual's example.
const FULL: &str = r#"
backup_dir = "backups"
state_dir = ".cofre"
group = "cofre"
repository = "relatorios"
max_backups = 30
keep_daily = 7
keep_weekly = 4
keep_monthly = 12
keep_yearly = 2
keep_within = "2d"
keep_partial = 3
keep_failed = "30d"
time_zone = "America/Sao_Paulo"
[backup]
database = true
files = true
logs = false
config = true
[archive]
compression = "deflate"
level = 6
workers = 0
[limits]
memory_mib = 256
stall = "10m"
[sources.static]
path = "static"
exclude = ["**/*.tmp"]
[sources.config]
files = ["requirements.txt", "conf/app.ini", "/etc/hosts"]
[sources.logs]
path = "logs"
allow_empty = true
[sources.upload]
path = "../shared/./upload"
switch = "files"
include = ["**/*.pdf"]
[databases.app]
url = "sqlite:app.db"
[databases.big]
url = "postgres://user@host/db"
[hooks]
before = ["systemctl", "reload", "app"]
after = []
timeout = "1m"
[[schedules]]
name = "daily"
type = "automated"
at = "02:00"
[[schedules]]
name = "weekly"
type = "weekly"
at = "sunday 03:00"
full = true
[[schedules]]
name = "workdays"
cron = "30 2 * * 1-5"
jitter = "10m"
enabled = false
catch_up = false
ping_url = "https://hc.example.org/ping/1234"
[verify]
at = "04:00"
max_age = "30d"
[drill]
at = "sunday 05:00"
max_age = "7d"
timeout = "1h"
postgres = "postgres://drill@localhost/postgres"
mysql = "mysql://drill@localhost/mysql"
[api]
listen = "127.0.0.1:8642"
tls_cert = "cert.pem"
tls_key = "key.pem"
trusted_proxies = ["10.0.0.0/8", "::1"]
grace = "30s"
restore_dir = "restored"
[[api.tokens]]
name = "ops"
role = "admin"
sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
[api.jwt]
algorithm = "HS256"
key_file = "jwt.key"
claim = "setor"
admin = "admin"
audience = "cofre"
cookie = "session"
[log]
level = "debug"
format = "json"
file = "cofre.log"
[[webhooks]]
name = "ops"
url = "https://example.org:8443/webhook/backup?k=v"
events = ["backup_failed"]
allow_http = false
[encryption]
recipients = ["age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"]
identity_file = "keys/cofre-identity.txt"
signing_key_file = "keys/cofre-signing.key"
verify_keys = ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]
[[remotes]]
name = "offsite"
url = "s3://bucket/a/folder/"
endpoint = "https://s3.example.org/"
region = "eu-central-1"
credentials_file = "s3.credentials"
profile = "backup"
rate = "5 MiB/s"
part_mib = 32
lock = "compliance"
lock_for = "30d"
keep_daily = 30
[[remotes]]
name = "nas"
url = "../mnt/nas"
encrypt = false
parallel = 1
"#;

fn full() -> Config {
    Config::parse(FULL, Path::new("/srv/app")).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn a_remote_is_a_bucket_or_a_folder_with_a_retention_of_its_own() {
    let config = full();
    let [offsite, nas] = &config.remotes[..] else {
        panic!("{:?}", config.remotes)
    };
    let Place::Bucket(bucket) = &offsite.place else {
        panic!("{:?}", offsite.place)
    };
    assert_eq!(bucket.url(), "s3://bucket/a/folder");
    assert_eq!(bucket.endpoint.as_deref(), Some("https://s3.example.org"));
    assert!(bucket.path_style, "as servers of one's own have it");
    assert_eq!(
        bucket.credentials_file.as_deref(),
        Some(Path::new("/srv/app/s3.credentials"))
    );
    assert_eq!(
        (offsite.rate, offsite.part_bytes, offsite.parallel),
        (Some(5 << 20), 32 << 20, 2)
    );
    let lock = offsite.lock.unwrap();
    assert_eq!(
        (lock.mode, lock.keep),
        (LockMode::Compliance, Duration::from_secs(30 * 86_400))
    );
    let kept = offsite.retention.as_ref().unwrap();
    assert_eq!((kept.keep_daily, kept.max_backups), (30, 30));
    assert_eq!(nas.place, Place::Folder(PathBuf::from("/srv/mnt/nas")));
    assert!(offsite.encrypt && !nas.encrypt);
    assert_eq!((nas.parallel, &nas.retention, nas.lock), (1, &None, None));
    let keys = &config.encryption;
    assert_eq!(
        keys.signing_key_file.as_deref(),
        Some(Path::new("/srv/app/keys/cofre-signing.key"))
    );
    assert_eq!(keys.verify_keys.len(), 1);
}

#[test]
fn a_file_with_every_key_is_good() {
    let config = full();
    assert_eq!(config.backup_dir, Path::new("/srv/app/backups"));
    assert_eq!(config.zip_path_prefix, "backups/");
    assert_eq!(config.retention.keep_within, Duration::from_secs(172_800));
    let When::At(at) = &config.schedules[1].when else {
        panic!("the second schedule has a time of day")
    };
    assert_eq!(at.days, [Weekday::Sun]);
    assert!(matches!(&config.schedules[2].when, When::Cron(cron) if cron.as_str() == "30 2 * * 1-5"));
    assert_eq!(config.schedules[2].jitter, Duration::from_secs(600));
    assert!(!config.schedules[2].enabled && !config.schedules[2].catch_up && config.schedules[1].enabled);
    assert_eq!(config.schedules[2].ping.as_ref().unwrap().host, "hc.example.org");
    assert_eq!(config.webhooks[0].name, "ops");
    assert_eq!(config.log.level, Some(tracing::Level::DEBUG));
    assert_eq!(config.log.file.as_deref(), Some(Path::new("/srv/app/cofre.log")));
    assert_eq!(config.webhooks[0].host, "example.org");
    assert_eq!(config.api.unwrap().tokens[0].sha256[..2], [0xe3, 0xb0]);
}

#[test]
fn a_switch_takes_its_sources_away() {
    let names: Vec<_> = full().active_sources().map(|s| s.folder.clone()).collect();
    assert_eq!(names, ["config", "static", "upload"]);
}

#[test]
fn paths_are_relative_to_the_file_and_clean() {
    let config = full();
    let upload = config.sources.iter().find(|s| s.folder == "upload").unwrap();
    assert_eq!(upload.origin, Origin::Folder(PathBuf::from("/srv/shared/upload")));
    assert_eq!(
        config.databases[0].engine,
        DatabaseEngine::Sqlite("/srv/app/app.db".into())
    );
}

#[test]
fn single_files_keep_their_relative_path_in_the_archive() {
    let config = full();
    let Origin::Files(files) = &config.sources[0].origin else {
        panic!("config has files")
    };
    let names: Vec<_> = files.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["requirements.txt", "conf/app.ini", "hosts"]);
}

#[test]
fn a_backups_folder_inside_a_source_is_allowed() {
    let text = "backup_dir = 'static/backups'\n[sources.static]\npath = 'static'\n";
    assert!(Config::parse(text, Path::new("/srv/app")).is_ok());
}

#[test]
fn a_source_that_leads_into_the_backups_folder_by_a_link_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("backups")).unwrap();
    std::os::unix::fs::symlink("backups", dir.path().join("static")).unwrap();
    let problems = Config::parse("[sources.static]\npath = 'static'\n", dir.path()).unwrap_err();
    assert_eq!(problems.0[0].key, "sources.static.path");
}

#[test]
fn a_url_file_is_read_and_warned_about_when_others_can_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("url");
    std::fs::write(&file, "mysql://u:p@h/db\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let text = "[databases.a]\nurl_file = 'url'\n";
    let config = Config::parse(text, dir.path()).unwrap();
    let DatabaseEngine::Mysql(url) = &config.databases[0].engine else {
        panic!("mysql")
    };
    assert_eq!(url.expose(), "mysql://u:p@h/db");
    assert!(config.warnings[0].contains("chmod 600"), "{:?}", config.warnings);
}

#[test]
fn credentials_that_others_can_read_are_warned_about() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("s3.credentials");
    std::fs::write(&file, "[default]\n").unwrap();
    let text = "[sources.static]\npath = 'static'\n[[remotes]]\nname = 'r'\nurl = 's3://b'\nencrypt = false\n\
                credentials_file = 's3.credentials'\n";
    for (mode, warns) in [(0o644, true), (0o600, false)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let config = Config::parse(text, dir.path()).unwrap();
        let warned = config
            .warnings
            .iter()
            .any(|warning| warning.contains("chmod 600"));
        assert_eq!(warned, warns, "{mode:o}: {:?}", config.warnings);
    }
}

#[test]
fn a_password_of_its_own_becomes_part_of_the_url() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, " p@ss:w/o?r#d%41 \r\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    for (url, expected) in [
        ("postgres://u@h:1/d?sslmode=require", "u"),
        ("postgres://h/d", ""),
        ("postgres://u%40x@/d?host=/run", "u@x"),
    ] {
        let text = format!("[databases.a]\nurl = '{url}'\npassword_file = 'secret'\n");
        let config = Config::parse(&text, dir.path()).unwrap();
        let DatabaseEngine::Postgres(url) = &config.databases[0].engine else {
            panic!("postgres")
        };
        let server = crate::dump::server::Server::parse(url).unwrap();
        assert_eq!(server.password.unwrap().expose(), " p@ss:w/o?r#d%41 ");
        assert_eq!(server.user.unwrap_or_default(), expected);
        assert_eq!(server.database, "d");
        assert!(config.warnings[0].contains("chmod 600"), "{:?}", config.warnings);
        assert!(!config.databases[0].has_inline_password);
    }
    let text = "[databases.a]\nurl = 'mysql://u@h/d'\npassword = 'a@b'\n";
    let config = Config::parse(text, dir.path()).unwrap();
    assert!(config.databases[0].has_inline_password);
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cofre.toml");
    std::fs::write(
        &file,
        "\u{feff}max_backups = 5\r\n[sources.static]\r\npath = \"static\"\r\n",
    )
    .unwrap();
    assert_eq!(Config::load(&file).unwrap().retention.max_backups, 5);
}

#[test]
fn a_file_that_is_not_utf8_is_refused_with_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cofre.toml");
    std::fs::write(&file, b"max_backups = 5\nbackup_dir = \"c\xf3pias\"\n").unwrap();
    let error = Config::load(&file).unwrap_err();
    assert!(error.message.contains("not UTF-8 (line 2)"), "{error}");
}

#[test]
fn a_missing_file_names_init() {
    let error = Config::load(Path::new("/nonexistent/cofre.toml")).unwrap_err();
    assert!(error.to_string().contains("cofre init"), "{error}");
}

#[test]
fn the_table_of_keys_is_what_the_code_reads() {
    let doc = Document::new(FULL);
    parts::read(&doc, Path::new("/srv/app"));
    let listed: BTreeSet<String> = keys::KEYS.iter().map(|k| k.key.to_owned()).collect();
    assert_eq!(doc.asked(), listed);
}

#[test]
fn the_readme_has_the_table_of_keys() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let text = std::fs::read_to_string(readme).unwrap();
    let table = keys::markdown();
    assert!(
        text.contains(&table),
        "README.md has to contain this table:\n{table}"
    );
}

#[test]
fn a_drill_needs_no_time_and_may_have_its_server_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("url"), "postgres://drill:x@h/postgres\n").unwrap();
    let text = "[sources.static]\npath='static'\n[drill]\npostgres_file='url'\n";
    let drill = Config::parse(text, dir.path()).unwrap().drill.unwrap();
    assert_eq!(
        (drill.at, drill.max_age, drill.timeout),
        (None, None, Drill::TIMEOUT)
    );
    assert_eq!(drill.postgres.unwrap().expose(), "postgres://drill:x@h/postgres");
    let both = format!("{text}postgres='postgres://drill@h/postgres'\n");
    let problems = Config::parse(&both, dir.path()).unwrap_err().to_string();
    assert!(
        problems.contains("either `postgres` or `postgres_file`"),
        "{problems}"
    );
}

#[test]
fn a_webhook_keeps_its_key_and_that_it_may_go_without_tls() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key"), "whsec_aHVudGVyMg==\n").unwrap();
    let text = "[sources.static]\npath='static'\n[[webhooks]]\nurl='http://e.org'\nallow_http=true\nsecret_file='key'\n";
    let config = Config::parse(text, dir.path()).unwrap();
    assert!(config.webhooks[0].allow_http);
    assert_eq!(
        config.webhooks[0].secret.as_ref().unwrap().expose(),
        "whsec_aHVudGVyMg=="
    );
    std::fs::write(dir.path().join("key"), "whsec_hunter2!").unwrap();
    let problems = Config::parse(text, dir.path()).unwrap_err();
    assert_eq!(problems.0[0].key, "webhooks[0].secret_file");
    assert!(
        problems.to_string().contains("base64") && !problems.to_string().contains("hunter2"),
        "{problems}"
    );
}
