//! Bad values, each alone in a file that is otherwise good. A test says which key has to be named and what the
//! message or suggestion has to contain.

use std::path::Path;

use crate::config::Config;

const BASE: &str = "sources.static.path = \"static\"\n";

fn check(text: &str, key: &str, contains: &str) {
    let problems = Config::parse(text, Path::new("/srv/app")).expect_err("this is not good");
    let shown = problems.to_string();
    assert_eq!(problems.0.len(), 1, "{shown}");
    assert_eq!(problems.0[0].key, key, "{shown}");
    assert!(shown.contains(contains), "{shown}");
}

macro_rules! bad {
    ($($name:ident: $text:expr, $key:expr, $contains:expr;)*) => {$(
        #[test]
        fn $name() {
            check(&format!("{}\n{BASE}", $text), $key, $contains);
        }
    )*};
}

/// For texts that open tables, so that the source of `BASE` has to come first.
macro_rules! bad_table {
    ($($name:ident: $text:expr, $key:expr, $contains:expr;)*) => {$(
        #[test]
        fn $name() {
            check(&format!("{BASE}\n{}", $text), $key, $contains);
        }
    )*};
}

bad! {
    unknown_key_gets_a_suggestion: "max_backup = 3", "max_backup", "did you mean `max_backups`?";
    unknown_key_of_another_table_is_sent_there: "compression = 'zstd'", "compression", "belongs to `[archive]`";
    unknown_key_like_none_lists_the_known: "zzz = 1", "zzz", "known here: api, archive";
    hyphen_for_underscore_gets_a_suggestion: "backup-dir = 'b'", "backup-dir", "did you mean `backup_dir`?";
    wrong_type_is_named: "max_backups = '30'", "max_backups", "a whole number from 1 to 100000, and is a string";
    max_backups_zero: "max_backups = 0", "max_backups", "from 1 to 100000, and is 0";
    max_backups_negative: "max_backups = -1", "max_backups", "and is -1";
    max_backups_beyond_integers: "max_backups = 99999999999999999999", "max_backups", "from 1 to 100000";
    max_backups_fraction: "max_backups = 1.5", "max_backups", "and is a float";
    keep_daily_negative: "keep_daily = -1", "keep_daily", "from 0";
    keep_weekly_text: "keep_weekly = 'x'", "keep_weekly", "from 0";
    keep_monthly_negative: "keep_monthly = -1", "keep_monthly", "from 0";
    keep_yearly_negative: "keep_yearly = -1", "keep_yearly", "from 0";
    keep_partial_negative: "keep_partial = -1", "keep_partial", "from 0";
    keep_within_without_unit: "keep_within = '30'", "keep_within", "such as `30d`";
    keep_within_of_centuries: "keep_within = '99999999d'", "keep_within", "hundred years";
    keep_within_overflow: "keep_within = '18446744073709551615w'", "keep_within", "hundred years";
    keep_failed_not_ascii: "keep_failed = '3ü'", "keep_failed", "not a duration";
    zone_that_does_not_exist: "time_zone = 'America/Sao_Paolo'", "time_zone", "did you mean `America/Sao_Paulo`?";
    zone_empty: "time_zone = ''", "time_zone", "IANA";
    backup_dir_empty: "backup_dir = ''", "backup_dir", "can't be empty";
    backup_dir_nul: "backup_dir = \"a\\u0000b\"", "backup_dir", "NUL";
    backup_dir_tilde: "backup_dir = '~/backups'", "backup_dir", "whole path";
    backup_dir_number: "backup_dir = 3", "backup_dir", "a string in quotes";
    backup_dir_around_a_source: "backup_dir = '.'\nstate_dir = '/var/lib/cofre'", "sources.static.path", "is the backups folder or inside it";
    state_dir_in_backups: "state_dir = 'backups/state'", "state_dir", "can't be the backups folder";
    group_with_colon: "group = 'a:b'", "group", "not the name of a group";
    repository_empty: "repository = ''", "repository", "1 to 64";
    repository_with_escape: "repository = \"a\\u001bb\"", "repository", "control";
}

bad_table! {
    switch_not_boolean: "[backup]\ndatabase = 'yes'", "backup.database", "true or false";
    switch_unknown: "[backup]\nfile = true", "backup.file", "did you mean `files`?";
    backup_not_a_table: "[[backup]]\n", "backup", "a table, `[backup]`";
    compression_unknown: "[archive]\ncompression = 'gzip'", "archive.compression", "`deflate`, `zstd`, `store`";
    level_too_high_for_deflate: "[archive]\nlevel = 10", "archive.level", "from 1 to 9";
    level_too_high_for_zstd: "[archive]\ncompression='zstd'\nlevel = 23", "archive.level", "from 1 to 22";
    workers_negative: "[archive]\nworkers = -1", "archive.workers", "from 0 to 256";
    memory_too_small: "[limits]\nmemory_mib = 1", "limits.memory_mib", "from 32";
    stall_zero: "[limits]\nstall = '0s'", "limits.stall", "more than zero";
    source_without_path: "[sources.logs]\n", "sources.logs.path", "add `path = \"logs\"`";
    source_with_path_and_files: "[sources.x]\npath='x'\nfiles=['a']", "sources.x.files", "either `path` or `files`";
    source_misspelt_path: "[sources.x]\npath='x'\nexlude=['a']", "sources.x.exlude", "did you mean `exclude`?";
    source_path_empty: "[sources.x]\npath=''", "sources.x.path", "can't be empty";
    source_files_empty: "[sources.x]\nfiles=[]", "sources.x.files", "the list is empty";
    source_files_of_one_name: "[sources.x]\nfiles=['/a/x.txt','/b/x.txt']", "sources.x.files", "would both be `x.txt`";
    source_files_not_strings: "[sources.x]\nfiles=[1]", "sources.x.files", "a list of strings";
    source_switch_unknown: "[sources.x]\npath='x'\nswitch='file'", "sources.x.switch", "did you mean `files`?";
    source_name_with_slash: "[sources.'a/b']\npath='x'", "sources.a/b", "can't be `.` or `..` or contain `/`";
    source_name_dots: "[sources.'..']\npath='x'", "sources...", "can't be `.` or `..`";
    source_name_empty: "[sources.'']\npath='x'", "sources.''", "a name can't be empty";
    source_name_control: "[sources.\"a\\n\"]\npath='x'", "sources.a\n", "control";
    source_name_taken: "[sources.database]\npath='x'", "sources.database", "is taken";
    source_names_that_differ_in_case: "[sources.Static]\npath='x'", "sources.static", "only in case";
    exclude_bad_glob: "[sources.x]\npath='x'\nexclude=['a[']", "sources.x.exclude", "is not a pattern";
    include_absolute: "[sources.x]\npath='x'\ninclude=['/css/**']", "sources.x.include", "write `css/**`";
    source_in_backups: "[sources.x]\npath='backups/old'", "sources.x.path", "is the backups folder or inside it";
    database_without_url: "[databases.app]\n", "databases.app.url", "add `url = \"sqlite:app.db\"`";
    database_two_urls: "[databases.app]\nurl='sqlite:a'\nurl_file='/proc/version'", "databases.app.url_file", "either";
    database_sqlalchemy_url: "[databases.app]\nurl='sqlite:///app.db'", "databases.app.url", "write `sqlite:app.db`";
    database_scheme: "[databases.app]\nurl='postgre://u@h/db'", "databases.app.url", "did you mean `postgres";
    database_plain_path: "[databases.app]\nurl='app.db'", "databases.app.url", "not a database's URL";
    database_without_name: "[databases.app]\nurl='postgres://u@h'", "databases.app.url", "which database";
    database_empty_path: "[databases.app]\nurl='sqlite:'", "databases.app.url", "can't be empty";
    database_in_backups: "[databases.app]\nurl='sqlite:backups/a.db'", "databases.app.url", "inside it";
    // Reading it would never end.
    database_url_file_device: "[databases.app]\nurl_file='/dev/zero'", "databases.app.url_file", "not a regular file";
    database_url_file_missing: "[databases.app]\nurl_file='/nonexistent/url'", "databases.app.url_file", "No such file";
    database_with_two_passwords: "[databases.app]\nurl='postgres://u:p@h/d'\npassword='x'", "databases.app.password", "has a password already";
    database_file_with_a_password: "[databases.app]\nurl='sqlite:a.db'\npassword='x'", "databases.app.password", "only the URL of a server";
    database_password_file_missing: "[databases.app]\nurl='mysql://u@h/d'\npassword_file='/nonexistent/password'", "databases.app.password_file", "No such file";
    hook_as_text: "[hooks]\nbefore='reload app'", "hooks.before", "a list of strings";
    hook_as_one_line: "[hooks]\nbefore=['systemctl reload app']", "hooks.before", "one by one";
    hook_timeout_zero: "[hooks]\ntimeout='0s'", "hooks.timeout", "more than zero";
    schedule_without_name: "[[schedules]]\nat='02:00'", "schedules[0].name", "is missing";
    schedule_without_time: "[[schedules]]\nname='a'", "schedules[0].at", "is missing";
    schedule_time_25: "[[schedules]]\nname='a'\nat='25:00'", "schedules[0].at", "not a time of day";
    schedule_day_unknown: "[[schedules]]\nname='a'\nat='sundy 02:00'", "schedules[0].at", "did you mean `sunday`?";
    schedule_type_with_space: "[[schedules]]\nname='a'\nat='02:00'\ntype='My Type'", "schedules[0].type", "write `my_type`";
    schedule_type_with_slash: "[[schedules]]\nname='a'\nat='02:00'\ntype='a/b'", "schedules[0].type", "a-z, 0-9";
    schedule_type_too_long: "[[schedules]]\nname='a'\nat='02:00'\ntype='aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'", "schedules[0].type", "1 to 32";
    schedule_called_manual: "[[schedules]]\nname='manual'\nat='02:00'", "schedules[0].name", "runs by hand";
    schedule_twice: "[[schedules]]\nname='a'\nat='02:00'\n[[schedules]]\nname='a'\nat='03:00'", "schedules[1].name", "another schedule";
    schedules_as_table: "[schedules]\nname='a'\nat='02:00'", "schedules", "`[[schedules]]`";
    schedule_with_at_and_cron: "[[schedules]]\nname='a'\nat='02:00'\ncron='0 2 * * *'", "schedules[0].cron", "either";
    schedule_cron_of_six_fields: "[[schedules]]\nname='a'\ncron='0 0 2 * * *'", "schedules[0].cron", "not a cron expression";
    schedule_cron_of_nonsense: "[[schedules]]\nname='a'\ncron='every day'", "schedules[0].cron", "30 2 * * 1-5";
    schedule_cron_that_never_comes: "[[schedules]]\nname='a'\ncron='0 2 30 2 *'", "schedules[0].cron", "never comes";
    schedule_jitter_of_a_day: "[[schedules]]\nname='a'\nat='02:00'\njitter='1d'", "schedules[0].jitter", "an hour";
    schedule_ping_in_the_clear: "[[schedules]]\nname='a'\nat='02:00'\nping_url='http://hc.example.org/x'", "schedules[0].ping_url", "in the clear";
    verify_without_time: "[verify]\n", "verify.at", "is missing";
    verify_max_age_bad: "[verify]\nat='04:00'\nmax_age='month'", "verify.max_age", "not a duration";
    drill_server_of_wrong_kind: "[drill]\nat='05:00'\npostgres='mysql://x@h/d'", "drill.postgres", "not a URL of postgres";
    drill_mysql_of_wrong_kind: "[drill]\nat='05:00'\nmysql='x'", "drill.mysql", "not a URL of mysql";
    drill_server_file_missing: "[drill]\npostgres_file='/nonexistent/url'", "drill.postgres_file", "No such file";
    drill_server_without_database: "[drill]\npostgres='postgres://x@h'", "drill.postgres", "which database";
    drill_timeout_zero: "[drill]\ntimeout='0s'", "drill.timeout", "more than zero";
    api_listen_without_port: "[api]\nlisten='127.0.0.1'", "api.listen", "address and port";
    api_cert_without_key: "[api]\ntls_cert='c.pem'", "api.tls_cert", "needs `tls_key`";
    api_proxy_bad: "[api]\ntrusted_proxies=['10.0.0.0/33']", "api.trusted_proxies", "not an address or network";
    api_grace_bad: "[api]\ngrace='soon'", "api.grace", "not a duration";
    api_restore_dir_empty: "[api]\nrestore_dir=''", "api.restore_dir", "can't be empty";
    token_role_unknown: "[[api.tokens]]\nname='a'\nrole='root'\nsha256='0000000000000000000000000000000000000000000000000000000000000000'", "api.tokens[0].role", "`admin`, `viewer`";
    token_digest_short: "[[api.tokens]]\nname='a'\nrole='admin'\nsha256='00'", "api.tokens[0].sha256", "64 hexadecimal";
    token_digest_with_sign: "[[api.tokens]]\nname='a'\nrole='admin'\nsha256='+000000000000000000000000000000000000000000000000000000000000000'", "api.tokens[0].sha256", "64 hexadecimal";
    token_without_name: "[[api.tokens]]\nrole='admin'\nsha256='0000000000000000000000000000000000000000000000000000000000000000'", "api.tokens[0].name", "is missing";
    jwt_algorithm_none: "[api.jwt]\nalgorithm='none'\nkey_file='k'\nclaim='c'\nadmin='a'", "api.jwt.algorithm", "is none of `HS256`";
    jwt_without_key: "[api.jwt]\nalgorithm='HS256'\nclaim='c'\nadmin='a'", "api.jwt.key_file", "is missing";
    webhook_without_url: "[[webhooks]]\n", "webhooks[0].url", "is missing";
    webhook_http: "[[webhooks]]\nurl='http://example.org/x'", "webhooks[0].url", "allow_http";
    webhook_ftp: "[[webhooks]]\nurl='ftp://example.org/x'", "webhooks[0].url", "https://";
    webhooks_of_one_host: "[[webhooks]]\nurl='https://e.org/1'\n[[webhooks]]\nurl='https://e.org/2'", "webhooks[1].name", "give each a `name`";
    webhook_name_with_space: "[[webhooks]]\nname='a b'\nurl='https://e.org'", "webhooks[0].name", "letters, digits";
    log_level_unknown: "[log]\nlevel='loud'", "log.level", "is none of";
    log_format_unknown: "[log]\nformat='xml'", "log.format", "is none of";
    api_connections_too_few: "[api]\nmax_connections=1", "api.max_connections", "16";
    webhook_not_a_url: "[[webhooks]]\nurl='example.org'", "webhooks[0].url", "is not a URL";
    webhook_event_unknown: "[[webhooks]]\nurl='https://e.org'\nevents=['backup_done']", "webhooks[0].events", "is none of";
    webhook_secret_missing: "[[webhooks]]\nurl='https://e.org'\nsecret_file='/nonexistent/s'", "webhooks[0].secret_file", "No such file";
    remote_without_url: "[[remotes]]\nname = 'r'\nencrypt = false", "remotes[0].url", "is missing";
    remote_of_another_kind: "[[remotes]]\nname = 'r'\nurl = 's4://b'\nencrypt = false", "remotes[0].url", "`s4` is none of `s3`";
    remote_without_bucket: "[[remotes]]\nname = 'r'\nurl = 's3://'\nencrypt = false", "remotes[0].url", "s3://bucket/folder";
    remote_azure_without_container: "[[remotes]]\nname = 'r'\nurl = 'az://account'\nencrypt = false", "remotes[0].url", "az://account/container/folder";
    remote_that_leads_up: "[[remotes]]\nname = 'r'\nurl = 's3://b/../c'\nencrypt = false", "remotes[0].url", "`..`";
    remote_with_credentials_in_its_url: "[[remotes]]\nname = 'r'\nurl = 's3://key:secret@b'\nencrypt = false", "remotes[0].url", "credentials_file";
    remote_whose_endpoint_is_in_the_clear: "[[remotes]]\nname = 'r'\nurl = 's3://b'\nendpoint = 'http://s3.example.org'\nencrypt = false", "remotes[0].endpoint", "or `allow_http = true` beside it";
    remote_at_the_place_of_another: "[[remotes]]\nname = 'r'\nurl = 's3://b/x'\nencrypt = false\n[[remotes]]\nname = 's'\nurl = 's3://b/x/'\nencrypt = false", "remotes[1].url", "the place of `r` too";
    remote_in_the_folder_of_another: "[[remotes]]\nname = 'r'\nurl = 'x'\nencrypt = false\n[[remotes]]\nname = 's'\nurl = './x/'\nencrypt = false", "remotes[1].url", "the place of `r` too";
    remote_among_the_backups: "[[remotes]]\nname = 'r'\nurl = 'backups/copies'\nencrypt = false", "remotes[0].url", "is in `backup_dir`";
    remote_folder_with_a_region: "[[remotes]]\nname = 'r'\nurl = 'x'\nregion = 'y'\nencrypt = false", "remotes[0].region", "is for buckets";
    remote_for_nobody: "[[remotes]]\nname = 'r'\nurl = 's3://b'", "remotes[0].name", "cofre key new";
    remote_with_a_lock_without_time: "[[remotes]]\nname = 'r'\nurl = 's3://b'\nlock = 'compliance'\nencrypt = false", "remotes[0].lock", "lock_for";
    remote_with_a_lock_in_a_folder: "[[remotes]]\nname = 'r'\nurl = 'x'\nlock = 'compliance'\nlock_for = '1d'\nencrypt = false", "remotes[0].lock", "only S3";
    remote_with_small_parts: "[[remotes]]\nname = 'r'\nurl = 's3://b'\npart_mib = 1\nencrypt = false", "remotes[0].part_mib", "from 5";
    remote_with_an_odd_rate: "[[remotes]]\nname = 'r'\nurl = 's3://b'\nrate = '5'\nencrypt = false", "remotes[0].rate", "5 MiB/s";
    remote_twice: "[[remotes]]\nname = 'r'\nurl = 's3://b'\nencrypt = false\n[[remotes]]\nname = 'r'\nurl = 's3://c'\nencrypt = false", "remotes[1].name", "another remote";
    recipient_that_is_none: "[encryption]\nrecipients = ['age1nope']", "encryption.recipients", "number 1";
    recipients_empty: "[encryption]\nrecipients = []", "encryption.recipients", "nobody could open";
}

#[test]
fn two_sources_of_one_name_are_refused_with_the_line() {
    let text = "[sources.a]\npath = 'x'\n[sources.a]\npath = 'y'\n";
    let shown = Config::parse(text, Path::new("/srv")).unwrap_err().to_string();
    assert!(shown.contains("line 3") && shown.contains("duplicate"), "{shown}");
}

#[test]
fn broken_toml_is_reported_with_the_line() {
    let shown = Config::parse("backup_dir = \n", Path::new("/srv"))
        .unwrap_err()
        .to_string();
    assert!(shown.contains("line 1"), "{shown}");
}

#[test]
fn every_problem_is_reported_at_once_in_the_order_of_lines() {
    let text = "max_backups = 0\ntime_zon = 'x'\n[archive]\nlevel = 99\n[sources.a]\n";
    let problems = Config::parse(text, Path::new("/srv")).unwrap_err().0;
    let keys: Vec<_> = problems
        .iter()
        .map(|p| (p.line.unwrap(), p.key.as_str()))
        .collect();
    assert_eq!(
        keys,
        [
            (1, "max_backups"),
            (2, "time_zon"),
            (4, "archive.level"),
            (5, "sources.a.path")
        ]
    );
}

#[test]
fn nothing_to_back_up_is_a_problem() {
    let shown = Config::parse("backup_dir = 'b'\n", Path::new("/srv"))
        .unwrap_err()
        .to_string();
    assert!(
        shown.contains("nothing to back up") && shown.contains("[sources.static]"),
        "{shown}"
    );
}

#[test]
fn a_password_in_a_url_is_in_no_message() {
    let text =
        "[databases.a]\nurl = 'postgres://u:hunter2@h'\n[databases.b]\nurl = 'oracle://u:hunter2@h/x'\n";
    let shown = Config::parse(text, Path::new("/srv")).unwrap_err().to_string();
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_value_without_quotes_is_not_quoted_back() {
    // It may be a URL with a password.
    let text = "[databases.a]\nurl = postgres://u:hunter2@h/db\n";
    let problems = Config::parse(text, Path::new("/srv/app")).unwrap_err();
    assert!(problems.to_string().contains("line 2"), "{problems}");
    assert!(!problems.to_string().contains("hunter2"), "{problems}");
}
