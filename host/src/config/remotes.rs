//! The tables of copies off the machine: `[encryption]` and `[[remotes]]`. Nothing is contacted here, and no key is
//! read: only what the file itself says is checked.

mod place;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::document::Section;
use super::parts::{one_of, path, retention};
use super::paths::{self, is_within};
use super::plans::required;
use super::{Config, Retention, value};
use crate::crypt::{Recipients, VerifyKey};

/// Who can read what is copied, and who vouches for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encryption {
    /// Public keys in the age format; whoever has the identity of one of them can read the copies.
    pub recipients: Vec<String>,
    /// The identities, and the public half of the signing key. Only where one restores.
    pub identity_file: Option<PathBuf>,
    /// The key that signs each copy's row. Only where backups are made.
    pub signing_key_file: Option<PathBuf>,
    /// Public halves of signing keys that vouch for copies too: of older ones, and where there is no identity file.
    pub verify_keys: Vec<VerifyKey>,
    /// Whether the archives of the backups folder are encrypted too.
    pub encrypt_local: bool,
}

/// A place for copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// What it is called in commands, logs and metrics.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// Whether archives are encrypted before they leave.
    pub encrypt: bool,
    /// Most bytes a second; none means as fast as it goes.
    pub rate: Option<u64>,
    /// Parts of one archive that are under way at a time.
    pub parallel: usize,
    /// Size of one part in bytes.
    pub part_bytes: u64,
    /// How long the store itself refuses to delete a copy.
    pub lock: Option<ObjectLock>,
    /// What prune keeps there; none means that everything stays.
    pub retention: Option<Retention>,
}

/// Where a remote is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In an object store.
    Bucket(Bucket),
    /// In a folder, of another disk or machine.
    Folder(PathBuf),
}

/// Whose protocol a store speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Amazon S3, and what is compatible with it.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

/// A bucket, or a container of Azure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Whose protocol.
    pub provider: Provider,
    /// Its name.
    pub bucket: String,
    /// What all keys begin with, without slashes at its ends; may be empty.
    pub prefix: String,
    /// URL of the server where it is not the provider's own.
    pub endpoint: Option<String>,
    /// Region, for S3.
    pub region: Option<String>,
    /// Whether `http` to another machine is allowed.
    pub allow_http: bool,
    /// Whether the bucket stands in the path of the URL, not in its host.
    pub path_style: bool,
    /// The storage account, for Azure.
    pub account: Option<String>,
    /// A file with the credentials in the provider's format.
    pub credentials_file: Option<PathBuf>,
    /// The section of that file, for S3.
    pub profile: Option<String>,
}

/// What S3 calls Object Lock: a copy can't be deleted or replaced before a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectLock {
    /// Who may lift it.
    pub mode: LockMode,
    /// For how long after the copy.
    pub keep: Duration,
}

/// Who may lift a lock before its date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Whoever has the right to.
    Governance,
    /// Nobody.
    Compliance,
}

/// Size of a part, in bytes.
const PART: u64 = 8 << 20;
/// Most of one archive that is held in memory while it is sent, in bytes.
const IN_FLIGHT: u64 = 64 << 20;
/// S3 takes no smaller parts than this, but for the last.
const LEAST_PART: i64 = 5;

pub(super) fn encryption(root: &Section<'_>, dir: &Path) -> Encryption {
    let Some(table) = root.section("encryption") else {
        return Encryption::default();
    };
    let recipients = table.strings("recipients").unwrap_or_default();
    if table.has("recipients")
        && let Err(error) = Recipients::parse(&recipients)
    {
        table.problem("recipients", error.message, error.remedy);
    }
    let encryption = Encryption {
        recipients,
        identity_file: path(&table, "identity_file", dir),
        signing_key_file: path(&table, "signing_key_file", dir),
        verify_keys: verify_keys(&table),
        encrypt_local: table.boolean("encrypt_local").unwrap_or(false),
    };
    if encryption.encrypt_local && encryption.recipients.is_empty() {
        let hint = "`cofre key new DIR` makes the keys and prints the line with `recipients`";
        table.problem(
            "encrypt_local",
            "nothing says for whom the archives are encrypted: `recipients` is missing",
            Some(hint.into()),
        );
    }
    table.finish();
    encryption
}

fn verify_keys(table: &Section<'_>) -> Vec<VerifyKey> {
    let texts = table.strings("verify_keys").unwrap_or_default();
    let keys = texts.iter().filter_map(|text| match VerifyKey::parse(text) {
        Ok(key) => Some(key),
        Err(error) => {
            let hint = "take what follows `# cofre verify key:` in the identity file";
            table.problem("verify_keys", error.message, Some(hint.into()));
            None
        }
    });
    keys.collect()
}

/// `own` are the folders of cofre's own, where no copy is one.
pub(super) fn remotes(
    root: &Section<'_>,
    dir: &Path,
    encryption: &Encryption,
    own: &[(&str, PathBuf)],
    warnings: &mut Vec<String>,
) -> Vec<Remote> {
    let mut remotes: Vec<Remote> = Vec::new();
    for table in root.list("remotes") {
        let remote = remote(&table, dir);
        if let Some(remote) = remote {
            if remotes.iter().any(|other| other.name == remote.name) {
                table.problem(
                    "name",
                    "another remote has this name",
                    Some("choose another name".into()),
                );
            }
            if let Place::Bucket(Bucket {
                credentials_file: Some(file),
                ..
            }) = &remote.place
            {
                paths::warn_of_readers(file, warnings);
            }
            if let Some(other) = remotes
                .iter()
                .find(|other| place::is_same(&other.place, &remote.place))
            {
                let message = format!(
                    "is the place of `{}` too: what one removes there, the other has lost",
                    other.name
                );
                table.problem(
                    "url",
                    message,
                    Some("give each remote a folder of its own".into()),
                );
            }
            if let Place::Folder(folder) = &remote.place
                && let Some((key, _)) = own.iter().find(|(_, path)| is_within(folder, path))
            {
                table.problem(
                    "url",
                    format!("is in `{key}`: a copy beside what it is a copy of is none"),
                    Some("name a folder of another disk or machine".into()),
                );
            }
            if remote.encrypt && encryption.recipients.is_empty() && encryption.identity_file.is_none() {
                let hint =
                    "`cofre key new DIR` makes the keys and prints the lines; or set `encrypt = false`";
                table.problem(
                    "name",
                    "nothing says for whom its copies are encrypted",
                    Some(hint.into()),
                );
            }
            remotes.push(remote);
        }
        table.finish();
    }
    remotes
}

fn remote(table: &Section<'_>, dir: &Path) -> Option<Remote> {
    let name = required(table, "name", table.parsed("name", value::name_of_run));
    let place = required(table, "url", place::read(table, dir));
    let part_bytes = table
        .integer("part_mib", LEAST_PART..=1024)
        .and_then(|n| u64::try_from(n).ok());
    let part_bytes = part_bytes.map_or(PART, |mib| mib << 20);
    let parallel = table
        .integer("parallel", 1..=64)
        .and_then(|n| usize::try_from(n).ok());
    let remote = Remote {
        encrypt: table.boolean("encrypt").unwrap_or(true),
        rate: table.parsed("rate", value::rate),
        parallel: parallel
            .unwrap_or_else(|| usize::try_from(IN_FLIGHT / part_bytes).unwrap_or(1).clamp(1, 4)),
        part_bytes,
        lock: lock(table),
        retention: own_retention(table),
        name: name?,
        place: place?,
    };
    if remote.lock.is_some() && !is_s3(&remote.place) {
        table.problem(
            "lock",
            "only S3 has such a lock",
            Some("remove it, or use `s3://`".into()),
        );
    }
    Some(remote)
}

fn is_s3(place: &Place) -> bool {
    matches!(
        place,
        Place::Bucket(Bucket {
            provider: Provider::S3,
            ..
        })
    )
}

/// What is to be said where drills are planned that can't be held: nobody is there to give the identity.
pub(super) fn unattended_drill(config: &Config) -> Option<String> {
    let planned = config.drill.as_ref().is_some_and(|drill| drill.at.is_some());
    (planned && config.encryption.encrypt_local && config.encryption.identity_file.is_none()).then(|| {
        "[drill] at: with `encrypt_local` no drill can be held here, since there is no identity to open an archive: drill \
         by hand where it is (`cofre drill --identity FILE`), or set `encryption.identity_file` here, with which whoever \
         breaks in can read every archive"
            .to_owned()
    })
}
fn lock(table: &Section<'_>) -> Option<ObjectLock> {
    let mode = table.parsed("lock", |text| match text {
        "governance" => Ok(LockMode::Governance),
        "compliance" => Ok(LockMode::Compliance),
        _ => Err(one_of(text, &["governance", "compliance"])),
    });
    let keep = table.parsed("lock_for", value::positive);
    match (table.has("lock"), table.has("lock_for")) {
        (true, false) => table.problem(
            "lock",
            "needs `lock_for` beside it",
            Some("such as `lock_for = \"30d\"`".into()),
        ),
        (false, true) => table.problem(
            "lock_for",
            "needs `lock` beside it",
            Some("`governance` or `compliance`".into()),
        ),
        _ => {}
    }
    Some(ObjectLock {
        mode: mode?,
        keep: keep?,
    })
}

/// The same keys as of the backups folder; none of them means that nothing is ever removed.
fn own_retention(table: &Section<'_>) -> Option<Retention> {
    let retention = retention(table);
    let any = [
        "max_backups",
        "keep_daily",
        "keep_weekly",
        "keep_monthly",
        "keep_yearly",
        "keep_within",
        "keep_partial",
    ]
    .iter()
    .any(|key| table.has(key));
    any.then_some(retention)
}

impl Bucket {
    /// As it is written in the configuration: `s3://bucket/folder`.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = match self.provider {
            Provider::S3 => "s3",
            Provider::Google => "gs",
            Provider::Azure => "az",
        };
        let parts = [self.account.as_deref(), Some(&self.bucket), Some(&self.prefix)];
        let parts: Vec<&str> = parts
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .collect();
        format!("{scheme}://{}", parts.join("/"))
    }
}
