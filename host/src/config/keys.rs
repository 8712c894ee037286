//! Every key of the configuration with its default and meaning, in one table: the README's table is this one,
//! and a test holds both against the code that reads them.

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// With dots; `NAME` is what the user chooses, and `schedules`, `webhooks` and `api.tokens` are lists.
    pub key: &'static str,
    /// What counts where it is not written; empty where it has to be.
    pub default: &'static str,
    /// What it does, in one sentence.
    pub meaning: &'static str,
}

const fn key(key: &'static str, default: &'static str, meaning: &'static str) -> Key {
    Key {
        key,
        default,
        meaning,
    }
}

/// All keys.
pub const KEYS: &[Key] = &[
    key(
        "backup_dir",
        "`backups`",
        "Folder of the archives and the catalog",
    ),
    key(
        "state_dir",
        "`.cofre`",
        "cofre's own folder: staging, schedule, counters",
    ),
    key(
        "group",
        "none",
        "Group that may read catalog and state, never the archives",
    ),
    key("repository", "the folder's name", "Alias in labels and webhooks"),
    key(
        "time_zone",
        "the system's",
        "IANA name of the zone of names and schedules",
    ),
    key(
        "max_backups",
        "30",
        "This many newest completed backups stay, of all types and plans together; at least 1",
    ),
    key("keep_daily", "0", "One backup stays for each of this many days"),
    key(
        "keep_weekly",
        "0",
        "One backup stays for each of this many ISO weeks",
    ),
    key(
        "keep_monthly",
        "0",
        "One backup stays for each of this many months",
    ),
    key("keep_yearly", "0", "One backup stays for each of this many years"),
    key("keep_within", "`0s`", "Backups younger than this stay"),
    key("keep_partial", "3", "This many newest partial backups stay"),
    key(
        "keep_failed",
        "`30d`",
        "Age at which rows of failed and cancelled runs go",
    ),
    key("backup.database", "true", "Switch: back up the databases"),
    key(
        "backup.files",
        "true",
        "Switch: back up the sources that belong to `files`",
    ),
    key("backup.logs", "true", "Switch: back up the source `logs`"),
    key("backup.config", "true", "Switch: back up the source `config`"),
    key("archive.compression", "`deflate`", "`deflate`, `zstd` or `store`"),
    key(
        "archive.level",
        "5 (zstd: 1)",
        "1 (fast) to 9 (small); to 22 for zstd",
    ),
    key(
        "archive.workers",
        "0",
        "Sandboxes that work at the same time in a create, verify or restore; 0 is one for each core. The archive is the same whatever the number",
    ),
    key("limits.memory_mib", "256", "Memory of one sandbox in MiB"),
    key(
        "limits.stall",
        "`10m`",
        "Longest time without progress before a run is given up",
    ),
    key(
        "limits.foreign_mib",
        "4096",
        "An archive that has no manifest of cofre's may unpack to this many MiB, or to `foreign_ratio` times its size; what claims more is not unpacked",
    ),
    key(
        "limits.foreign_ratio",
        "250",
        "How many times its own size an archive without a manifest may unpack to beyond `foreign_mib`; a manifest vouches for any ratio",
    ),
    key(
        "sources.NAME.path",
        "",
        "A folder that becomes `NAME/` in the archive (this or `files`)",
    ),
    key(
        "sources.NAME.files",
        "",
        "Single files that become `NAME/...` in the archive (this or `path`)",
    ),
    key(
        "sources.NAME.include",
        "everything",
        "Globs of which one has to match; `css/` and a plain `css` mean the folder with its content",
    ),
    key("sources.NAME.exclude", "nothing", "Globs of what to leave out"),
    key(
        "sources.NAME.allow_empty",
        "false",
        "Whether the folder may be empty",
    ),
    key(
        "sources.NAME.switch",
        "by name",
        "Switch of `[backup]` it belongs to: `files`, `logs` or `config`",
    ),
    key(
        "databases.NAME.url",
        "",
        "`sqlite:PATH`, `postgres://user@host/name` or `mysql://user@host/name`",
    ),
    key(
        "databases.NAME.url_file",
        "",
        "File with the URL, for one with a password",
    ),
    key(
        "databases.NAME.password",
        "none",
        "Password of a URL that has none, as it is, without percent-encoding",
    ),
    key(
        "databases.NAME.password_file",
        "none",
        "File with that password as its only line",
    ),
    key(
        "databases.NAME.tables",
        "all",
        "Globs of tables, `schema.table`, of which one has to match; of all others only the definition is dumped",
    ),
    key(
        "databases.NAME.exclude_tables",
        "none",
        "Globs of tables of which only the definition is dumped, without rows",
    ),
    key(
        "databases.NAME.tools",
        "looked for",
        "Folder of the server's client programs (`pg_dump`, `mariadb-dump`, ...)",
    ),
    key(
        "hooks.before",
        "none",
        "Program and arguments before a run; its failure stops the run",
    ),
    key(
        "hooks.after",
        "none",
        "Program and arguments after a run, the result in its environment",
    ),
    key("hooks.timeout", "`5m`", "How long each may take"),
    key("schedules.name", "", "The plan's name"),
    key("schedules.type", "`automated`", "Type in the archives' names"),
    key(
        "schedules.at",
        "",
        "`02:00`, `sunday 03:00`, `monday,thursday 22:30` (this or `cron`)",
    ),
    key(
        "schedules.cron",
        "",
        "Minute, hour, day of month, month, day of week: `30 2 * * 1-5` (this or `at`)",
    ),
    key(
        "schedules.jitter",
        "`0s`",
        "Spreads the start over up to this much, at most `1h`",
    ),
    key("schedules.enabled", "true", "Whether the plan runs"),
    key(
        "schedules.catch_up",
        "true",
        "Whether a run that was missed is made up for, once",
    ),
    key(
        "schedules.ping_url",
        "none",
        "Dead-man's switch: called at `/start` of a run, at its success, at `/fail`",
    ),
    key(
        "schedules.ping_url_file",
        "none",
        "File with that URL, which is a secret",
    ),
    key(
        "schedules.full",
        "false",
        "Read every byte again instead of reusing what is unchanged",
    ),
    key("verify.at", "", "When archives are verified"),
    key(
        "verify.max_age",
        "`30d`",
        "Each archive is verified again before it is this old",
    ),
    key(
        "drill.at",
        "none",
        "When a restore of the newest backup is practised; without it only by hand",
    ),
    key(
        "drill.max_age",
        "none",
        "Leaves a drill out while the last one that passed is younger than this would allow until the next time",
    ),
    key(
        "drill.timeout",
        "`2h`",
        "How long loading one database in a drill or a guided restore may take",
    ),
    key(
        "drill.postgres",
        "none",
        "Server on which scratch databases may be made: `postgres://drill@host/postgres`",
    ),
    key(
        "drill.postgres_file",
        "none",
        "File with that URL, for one with a password",
    ),
    key(
        "drill.mysql",
        "none",
        "Server on which scratch databases may be made: `mysql://drill@host/mysql`",
    ),
    key(
        "drill.mysql_file",
        "none",
        "File with that URL, for one with a password",
    ),
    key("api.listen", "`127.0.0.1:8642`", "Address and port"),
    key("api.tls_cert", "none", "Certificate chain in PEM"),
    key("api.tls_key", "none", "Its key in PEM"),
    key(
        "api.trusted_proxies",
        "none",
        "Addresses or networks whose `X-Forwarded-For` or `Forwarded` counts",
    ),
    key(
        "api.grace",
        "`30s`",
        "How long running work may take when the server ends",
    ),
    key(
        "api.restore_dir",
        "none",
        "Folder below which the API may restore",
    ),
    key(
        "api.max_connections",
        "1024",
        "Connections at a time; when there are more, idle ones give way",
    ),
    key("api.tokens.name", "", "Who, for the audit log"),
    key("api.tokens.role", "", "`admin` or `viewer`"),
    key("api.tokens.sha256", "", "SHA-256 of the token"),
    key("api.jwt.algorithm", "", "`HS256`, `RS256`, `ES256`, `EdDSA`, ..."),
    key("api.jwt.key_file", "", "File with the key"),
    key("api.jwt.claim", "", "Claim that decides"),
    key("api.jwt.admin", "", "Its value for administrators"),
    key("api.jwt.audience", "not checked", "What `aud` has to be"),
    key("api.jwt.cookie", "none", "Cookie that may carry the token"),
    key(
        "webhooks.name",
        "its host",
        "What it is called in logs and by `cofre webhook test`",
    ),
    key("webhooks.url", "", "Where each run's end is posted to"),
    key(
        "webhooks.url_file",
        "",
        "File with the URL, for one with a secret",
    ),
    key(
        "webhooks.secret_file",
        "none",
        "File with the key of the signature",
    ),
    key("webhooks.events", "all", "Which events"),
    key("webhooks.allow_http", "false", "Allow a URL without TLS"),
    key(
        "encryption.recipients",
        "none",
        "Public keys (`age1...`); whoever has the identity of one of them can read the copies",
    ),
    key(
        "encryption.identity_file",
        "none",
        "File with the identity: only where one restores, so that a machine that makes backups can't read old copies",
    ),
    key(
        "encryption.signing_key_file",
        "none",
        "File with the key that signs the copies' rows: only where backups are made",
    ),
    key(
        "encryption.verify_keys",
        "none",
        "Public halves of signing keys that vouch for copies too, besides this machine's and those in the identity file",
    ),
    key(
        "encryption.encrypt_local",
        "false",
        "Whether the archives of the backups folder are encrypted too, for the same recipients",
    ),
    key(
        "remotes.name",
        "",
        "What it is called in commands, logs and metrics",
    ),
    key(
        "remotes.url",
        "",
        "`s3://bucket/folder`, `gs://bucket/folder`, `az://account/container/folder`, or a mounted folder",
    ),
    key(
        "remotes.endpoint",
        "the provider's",
        "URL of a server of one's own",
    ),
    key("remotes.region", "the environment's", "Region, for S3"),
    key(
        "remotes.path_style",
        "true with `endpoint`",
        "Whether the bucket stands in the URL's path, not in its host",
    ),
    key(
        "remotes.credentials_file",
        "the provider's usual chain",
        "File with the credentials in the provider's own format",
    ),
    key("remotes.profile", "`default`", "Section of that file, for S3"),
    key("remotes.allow_http", "false", "Allow an endpoint without TLS"),
    key(
        "remotes.encrypt",
        "true",
        "Whether archives are encrypted before they leave",
    ),
    key(
        "remotes.rate",
        "unlimited",
        "Most that is sent: `500 KiB/s`, `5 MiB/s`",
    ),
    key(
        "remotes.part_mib",
        "8",
        "Size of the parts in which an archive is sent",
    ),
    key(
        "remotes.parallel",
        "4, less for large parts",
        "Parts under way at a time; all of them are held in memory",
    ),
    key(
        "remotes.lock",
        "none",
        "Object Lock of S3: `governance` or `compliance`; needs `lock_for`",
    ),
    key(
        "remotes.lock_for",
        "none",
        "How long the store itself refuses to delete a copy",
    ),
    key(
        "remotes.max_backups",
        "30 with another `keep_`",
        "What `remote prune` keeps; without this and every `keep_` nothing is removed there",
    ),
    key("remotes.keep_daily", "0", "As `keep_daily`, for the copies"),
    key("remotes.keep_weekly", "0", "As `keep_weekly`, for the copies"),
    key("remotes.keep_monthly", "0", "As `keep_monthly`, for the copies"),
    key("remotes.keep_yearly", "0", "As `keep_yearly`, for the copies"),
    key("remotes.keep_within", "`0s`", "As `keep_within`, for the copies"),
    key("remotes.keep_partial", "3", "As `keep_partial`, for the copies"),
    key(
        "remotes.keep_failed",
        "`30d`",
        "Of no use here: rows of failed runs are not copied",
    ),
    key(
        "log.level",
        "`warn`, for `serve` `info`",
        "`error`, `warn`, `info` or `debug`",
    ),
    key("log.format", "`text`", "`text` or `json`"),
    key("log.file", "none", "A file that gets the log too, audit included"),
];

/// The table in which a key of this name exists, if exactly one has it.
pub(super) fn home_of(name: &str) -> Option<&'static str> {
    let mut homes = KEYS
        .iter()
        .filter_map(|k| k.key.rsplit_once('.'))
        .filter(|(_, leaf)| *leaf == name);
    let (home, _) = homes.next()?;
    homes.next().is_none().then_some(home)
}

/// The table in Markdown, as it stands in the README.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from("| key | default | meaning |\n|---|---|---|\n");
    for Key {
        key,
        default,
        meaning,
    } in KEYS
    {
        let default = if default.is_empty() { "required" } else { default };
        text.push_str(&format!("| `{key}` | {default} | {meaning} |\n"));
    }
    text
}
