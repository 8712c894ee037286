//! New keys: an identity with its public key, and a signing key, as two files for two places.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret as _;
use age::x25519;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::identity::VERIFY_KEY;
use super::signing::FIRST_LINE;
use super::{SigningKey, VerifyKey};
use crate::error::{Code, Error, Result};
use crate::fsutil;
use crate::text::shown;

/// For the place where one restores.
const IDENTITY: &str = "cofre-identity.txt";

/// For the machine that makes backups.
const SIGNING: &str = "cofre-signing.key";

/// What was made; nothing of it is secret.
#[derive(Debug, Clone)]
pub struct NewKeys {
    /// The identity file.
    pub identity_file: PathBuf,
    /// The signing key file.
    pub signing_key_file: PathBuf,
    /// The public key for `recipients`.
    pub recipient: String,
    /// The public half of the signing key, which is in the identity file too.
    pub verify_key: VerifyKey,
}

/// Makes new keys in a folder, for their owner alone, and makes them durable. The folder is made where there is none.
/// `today` stands in the files for people.
///
/// # Errors
/// `AlreadyExists` when one of the files exists, and what the system says; then no file was made.
pub fn create(dir: &Path, today: &str) -> Result<NewKeys> {
    let absolute = std::path::absolute(dir).map_err(|e| Error::io(format!("resolve {}", shown(dir)), &e))?;
    let folder = open(&absolute)?;
    for name in [IDENTITY, SIGNING] {
        refuse_old(folder.as_fd(), name, &absolute)?;
    }
    let identity = x25519::Identity::generate();
    let recipient = identity.to_public().to_string();
    let signing = SigningKey::generate()?;
    let verify_key = signing.verify_key();
    let opens = identity_text(&identity, &recipient, &verify_key, today);
    let signs = signing_text(&signing, today)?;
    fsutil::write_new_file(folder.as_fd(), IDENTITY, opens.as_bytes())?;
    if let Err(error) = fsutil::write_new_file(folder.as_fd(), SIGNING, signs.as_bytes()) {
        // One without the other is of no use, and would be in the way of the next try.
        let _ = rustix::fs::unlinkat(&folder, IDENTITY, AtFlags::empty());
        return Err(error);
    }
    Ok(NewKeys {
        identity_file: absolute.join(IDENTITY),
        signing_key_file: absolute.join(SIGNING),
        recipient,
        verify_key,
    })
}

fn open(dir: &Path) -> Result<OwnedFd> {
    let fail = |what: &str, path: &Path, errno| fsutil::error(format_args!("{what} {}", shown(path)), errno);
    match rustix::fs::mkdir(dir, Mode::RWXU) {
        Ok(()) => {
            if let Some(parent) = dir.parent() {
                let above = fsutil::openat(CWD, parent, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
                above
                    .and_then(fsutil::fsync)
                    .map_err(|errno| fail("make durable", parent, errno))?;
            }
        }
        Err(Errno::EXIST) => {}
        Err(errno) => return Err(fail("make the folder", dir, errno)),
    }
    // A link to a folder is fine: it is the user's own word.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fsutil::openat(CWD, dir, flags, Mode::empty()).map_err(|errno| fail("open the folder", dir, errno))
}

fn refuse_old(folder: BorrowedFd<'_>, name: &str, dir: &Path) -> Result<()> {
    let path = shown(dir.join(name));
    match fsutil::stat_name(folder, name.as_bytes()) {
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(fsutil::error(format_args!("look at {path}"), errno)),
        Ok(_) => Err(Error::new(
            Code::AlreadyExists,
            format!("{path} exists and is left as it is"),
        )
        .remedy("a new key does not open what was encrypted for the old one: keep that, and name another folder")),
    }
}

fn identity_text(
    identity: &x25519::Identity,
    recipient: &str,
    verify_key: &VerifyKey,
    today: &str,
) -> Zeroizing<String> {
    let secret = identity.to_string();
    let secret = secret.expose_secret();
    Zeroizing::new(format!(
        "# cofre identity, made {today}: whoever has this file can read the encrypted copies, and without it nobody can.\n\
         # Keep it in two safe places, such as a password manager and paper in a safe; never on the machine that makes backups.\n\
         # public key: {recipient}\n\
         # {VERIFY_KEY} {verify_key}\n\
         {secret}\n"
    ))
}

fn signing_text(signing: &SigningKey, today: &str) -> Result<Zeroizing<String>> {
    let (pem, verify_key) = (signing.to_pem()?, signing.verify_key());
    Ok(Zeroizing::new(format!(
        "{FIRST_LINE}, made {today}: proves that copies come from here. It stays on the machine that makes backups.\n\
         # {VERIFY_KEY} {verify_key}\n{}",
        *pem
    )))
}
