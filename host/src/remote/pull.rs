//! Fetching: an archive comes back from the remote into the backups folder, under the name and with the bytes that its
//! signed row says. It is looked through aside first; nothing that does not fit gets near the backups.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::AsFd as _;

use cofre_exporter::component::catalog::files;
use rustix::fs::{Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use serde::Serialize;

use super::layout;
use super::row::{Row, Signed};
use super::store::Store;
use super::watch::Watch;
use super::{fetch, trust};
use crate::config::Remote;
use crate::context::{Context, Exclusive};
use crate::error::{Code, Error, Result};
use crate::hashing::Hashing;
use crate::sealed;
use crate::staging::Staging;
use crate::{backup, fsutil};

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pulled {
    /// Id of the backup.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Bytes of the archive.
    pub size: u64,
    /// It was here before.
    pub already: bool,
}

/// Fetches backups (ids, names, `latest`; everything where `wanted` is empty) and their rows. `unsigned` takes what
/// nothing proves to be this repository's.
///
/// # Errors
/// `NotFound`; `Refused` for a row without a good signature; `Corrupt` where no version of the object is what the row
/// says; what the store, the keys and the system say.
pub fn pull(
    context: &Context,
    remote: &Remote,
    wanted: &[String],
    unsigned: bool,
    watch: &Watch,
) -> Result<Vec<Pulled>> {
    let store = Store::open(remote)?;
    let keys = trust::verify_keys(&context.config)?;
    let marker = fetch::marker_of(&store, &remote.name)?;
    let names = fetch::all_names(&store)?;
    let names = select(&store, names, wanted, remote, watch)?;
    backup::make_backups_folder(context)?;
    let mut pulled = Vec::new();
    for (id, name) in &names {
        let (row, signed) = fetch::one(&store, *id, name, &keys)?;
        check_signed(&row, signed, unsigned)?;
        if row.repository != marker.repository && !unsigned {
            let message = format!("{name} at `{}` is of another repository", remote.name);
            return Err(Error::new(Code::Refused, message).remedy("`--unsigned` takes it all the same"));
        }
        pulled.push(one(context, &store, &row, &marker.repository, watch)?);
    }
    Ok(pulled)
}

/// The rows that `wanted` means.
fn select(
    store: &Store,
    names: Vec<(u64, String)>,
    wanted: &[String],
    remote: &Remote,
    watch: &Watch,
) -> Result<Vec<(u64, String)>> {
    if wanted.is_empty() {
        return Ok(names);
    }
    let missing = |selector: &str| {
        let message = format!(
            "`{}` has no copy of {}",
            remote.name,
            crate::text::escape(selector)
        );
        Error::new(Code::NotFound, message).remedy(format!(
            "`cofre remote list {}` shows those that there are",
            remote.name
        ))
    };
    let mut chosen = Vec::new();
    for selector in wanted {
        let plain = files::of_file(selector).map_or(selector.as_str(), |(name, _)| name);
        let found = if selector == "latest" {
            newest(store, &names, watch)?
        } else {
            names
                .iter()
                .find(|(id, name)| id.to_string() == *selector || name == plain)
                .cloned()
        };
        chosen.push(found.ok_or_else(|| missing(selector))?);
    }
    Ok(chosen)
}

/// The backup that began last. Names have local times and ids may come from several machines' clocks, so the rows say.
fn newest(store: &Store, names: &[(u64, String)], watch: &Watch) -> Result<Option<(u64, String)>> {
    let rows = fetch::standing(fetch::rows(store, names, &[], watch)?);
    let began = |row: &Row| {
        let text = row.backup.started_at.as_deref()?;
        chrono::DateTime::parse_from_rfc3339(text).ok()
    };
    let newest = rows
        .iter()
        .filter_map(|fetched| fetched.row.as_ref().ok().map(|(row, _)| row))
        .max_by_key(|row| (began(row), row.backup.id));
    Ok(newest.map(|row| (row.backup.id, row.backup.name.clone())))
}

/// Refuses a row that nothing proves, unless that was asked for.
pub(super) fn check_signed(row: &Row, signed: Signed, unsigned: bool) -> Result<()> {
    let name = &row.backup.name;
    let (message, remedy) = match signed {
        Signed::Good => return Ok(()),
        Signed::Bad => (
            format!("the row of {name} is not signed by this repository: somebody else wrote it"),
            "`cofre remote verify` says which are good; `--unsigned` takes it all the same",
        ),
        Signed::Unknown => (
            format!("nothing here says who may sign the row of {name}"),
            "name the identity file that `cofre key new` made as `encryption.identity_file`; `--unsigned` takes it all the same",
        ),
    };
    if unsigned {
        tracing::warn!("{message}; taken all the same, as asked");
        return Ok(());
    }
    Err(Error::new(Code::Refused, message).remedy(remedy))
}

fn one(context: &Context, store: &Store, row: &Row, repository: &str, watch: &Watch) -> Result<Pulled> {
    let pulled = |already| Pulled {
        id: row.backup.id,
        name: row.backup.name.clone(),
        size: row.backup.size,
        already,
    };
    let known = context.backups().ok().and_then(|_| {
        let mut session = context.reader().ok()?;
        session.find(row.backup.id.to_string()).ok()
    });
    if known.is_some_and(|known| known.name == row.backup.name && known.archive_present) {
        return Ok(pulled(true));
    }
    let staging = Staging::new(&context.config.state_dir)?;
    let archive = fetch_archive(context, store, row, &staging, watch)?;
    let exclusive = context.exclusive_for_new_history()?;
    take_in(context, &exclusive, row, repository)?;
    place(&exclusive, archive, row)?;
    exclusive.remember_history();
    Ok(pulled(false))
}

/// The row into the catalog; one that was deleted here comes back, since it was asked for.
fn take_in(context: &Context, exclusive: &Exclusive<'_>, row: &Row, repository: &str) -> Result<()> {
    let mut session = exclusive.writer()?;
    let prefix = context.config.zip_path_prefix.clone();
    session.import_rows(vec![row.backup.to_backup()], prefix, true)?;
    // A history that begins with a copy goes on as the same repository.
    session.identify(repository.to_owned())?;
    Ok(())
}

/// Fetches the object into the staging folder and opens it: the archive, proved to be the one of the row.
fn fetch_archive(
    context: &Context,
    store: &Store,
    row: &Row,
    staging: &Staging,
    watch: &Watch,
) -> Result<File> {
    let object = download(store, row, staging, watch)?;
    if !row.object.encrypted {
        return Ok(object);
    }
    let identity = trust::identity(&context.config)?;
    let mut archive = staging.create("archive.zip")?;
    let means = sealed::Means {
        name: &row.backup.name,
        size: Some(row.backup.size),
        sha256: Some(&row.backup.sha256),
    };
    sealed::decrypt(&identity, &object, &row.object.key, &mut archive, &means, &|_| {
        watch.check()
    })?;
    archive
        .rewind()
        .map_err(|e| Error::io("read a staged archive", &e))?;
    Ok(archive)
}

/// The bytes that the row means: the newest version of the object, or the one among the older ones that fits.
fn download(store: &Store, row: &Row, staging: &Staging, watch: &Watch) -> Result<File> {
    let object = &row.object;
    let mut versions = vec![None];
    let mut tried = 0;
    let mut why = None;
    while let Some(version) = versions.get(tried).cloned() {
        match attempt(
            store,
            row,
            version.as_deref(),
            &format!("object-{tried}"),
            staging,
            watch,
        ) {
            Ok(file) => {
                if tried > 0 {
                    tracing::warn!(
                        "{} was exchanged or deleted at the remote; an older version is good",
                        object.key
                    );
                }
                return Ok(file);
            }
            Err(error) if matches!(error.code, Code::Corrupt | Code::NotFound) => {
                staging.remove(&format!("object-{tried}"))?;
                if tried == 0 {
                    let older = store.versions(&object.key)?;
                    let fits = older.iter().filter(|v| !v.deleted && v.size == object.size);
                    versions.extend(fits.map(|version| Some(version.version.clone())));
                }
                why.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
        tried += 1;
    }
    Err(why.unwrap_or_else(|| Error::new(Code::NotFound, format!("{} is not at the remote", object.key))))
}

fn attempt(
    store: &Store,
    row: &Row,
    version: Option<&str>,
    file: &str,
    staging: &Staging,
    watch: &Watch,
) -> Result<File> {
    let object = &row.object;
    let mut staged = staging.create(file)?;
    let mut to = Hashing::new(&mut staged);
    store.download(&object.key, version, &mut to, &watch.transfer(object.size))?;
    to.flush().map_err(|e| Error::io("write a staged object", &e))?;
    let (size, sha256) = to.finish();
    if size != object.size || sha256 != object.sha256 {
        let message = format!(
            "{} at the remote is not what was copied there: it was changed or exchanged",
            object.key
        );
        return Err(Error::new(Code::Corrupt, message)
            .remedy("`cofre remote verify` looks at all of them; another remote may be good"));
    }
    staged
        .rewind()
        .map_err(|e| Error::io("read a staged object", &e))?;
    Ok(staged)
}

/// The archive under its name, durably, and never over anything; its checksum beside it.
fn place(exclusive: &Exclusive<'_>, mut archive: File, row: &Row) -> Result<()> {
    let backups = exclusive.folder();
    let name = format!("{}.zip", row.backup.name);
    // As the engine calls what it has not finished: the next run removes it.
    let partial = format!(".{name}.partial");
    let fail = |errno| fsutil::error(format_args!("write {name}"), errno);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut copy = fsutil::openat(backups, partial.as_str(), flags, Mode::RUSR | Mode::WUSR)
        .map(File::from)
        .map_err(fail)?;
    let copied = fsutil::copy(&mut archive, u64::MAX, &mut copy)
        .map_err(|e| Error::io(format_args!("write {name}"), &e))
        .and_then(|_| fsutil::fsync(&copy).map_err(fail))
        .and_then(|()| {
            rustix::fs::renameat_with(backups, &partial, backups, &name, RenameFlags::NOREPLACE).map_err(
                |errno| match errno {
                    Errno::EXIST => Error::new(
                        Code::AlreadyExists,
                        format!("{name} is in the backups folder already"),
                    )
                    .remedy("`cofre rebuild` takes it in if it is good; otherwise move it away"),
                    errno => fail(errno),
                },
            )
        });
    if copied.is_err() {
        // Best effort: the engine removes it too.
        let _ = rustix::fs::unlinkat(backups, &partial, rustix::fs::AtFlags::empty());
    }
    copied?;
    let line = format!("{}  {name}\n", row.backup.sha256);
    fsutil::write_file(backups.as_fd(), &layout::checksum(&name), line.as_bytes())?;
    fsutil::fsync(backups).map_err(fail)
}
