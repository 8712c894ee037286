//! What a test of a store needs: a bucket of its own, a proxy in front of it, credentials, files with content, and
//! stores that lose patience quickly.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cofre::config::{Bucket, Place, Provider, Remote};
use cofre::remote::store::{Store, ToSend, Tuning, Upload, Uploaded};
use cofre::{Error, Result};
use tempfile::TempDir;

use crate::proxy::Proxy;
use crate::server::{ADMIN, READER, server};
use crate::support::Rng;

/// Size of a part in these tests.
pub(crate) const PART: u64 = 5 * 1024 * 1024;

/// What keys begin with.
pub(crate) const PREFIX: &str = "backups/of me";

pub(crate) struct Site {
    pub(crate) bucket: String,
    pub(crate) proxy: Proxy,
    pub(crate) dir: TempDir,
}

impl Site {
    /// With an ordinary bucket.
    pub(crate) fn new() -> Self {
        Self::with(false)
    }

    /// With a bucket that has Object Lock.
    pub(crate) fn with_locks() -> Self {
        Self::with(true)
    }

    fn with(locks: bool) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let bucket = format!("bucket-{}", NUMBER.fetch_add(1, Ordering::SeqCst));
        server().make_bucket(&bucket, locks);
        Self {
            bucket,
            proxy: Proxy::start(server().port()),
            dir: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// The remote as its configuration says.
    pub(crate) fn remote(&self) -> Remote {
        self.remote_of(ADMIN)
    }

    /// The same with other credentials.
    pub(crate) fn remote_of(&self, (id, secret): (&str, &str)) -> Remote {
        let path = self
            .dir
            .path()
            .join(format!("credentials-{}", id.len() + secret.len()));
        let text = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
        std::fs::write(&path, text).expect("write the credentials");
        Remote {
            name: "offsite".to_owned(),
            place: Place::Bucket(Bucket {
                provider: Provider::S3,
                bucket: self.bucket.clone(),
                prefix: PREFIX.to_owned(),
                endpoint: Some(self.proxy.url()),
                region: Some("us-east-1".to_owned()),
                allow_http: false,
                path_style: true,
                account: None,
                credentials_file: Some(path),
                profile: None,
            }),
            encrypt: false,
            rate: None,
            parallel: 3,
            part_bytes: PART,
            lock: None,
            retention: None,
        }
    }

    /// A store that reaches the server through the proxy.
    pub(crate) fn store(&self) -> Store {
        open(&self.remote())
    }

    /// A file with content that nobody can guess.
    pub(crate) fn file(&self, name: &str, size: u64) -> PathBuf {
        let path = self.dir.path().join(name);
        write_random(&path, size);
        path
    }

    /// The path of a key at the server, for a URL.
    pub(crate) fn path(&self, key: &str) -> String {
        format!("{}/{}/{key}", self.bucket, PREFIX.replace(' ', "%20"))
    }

    /// Asserts that the server has this file under a key, asked by other means than ours.
    #[track_caller]
    pub(crate) fn has(&self, key: &str, file: &Path) {
        let copy = self.dir.path().join("fetched");
        server().fetch(&self.path(key), &copy);
        same_files(file, &copy);
    }
}

/// Opens a remote with little patience.
pub(crate) fn open(remote: &Remote) -> Store {
    Store::open_with(remote, impatient()).expect("open the store")
}

/// Little patience: what is repeated is repeated at once.
pub(crate) fn impatient() -> Tuning {
    Tuning {
        retries: 4,
        first_wait: Duration::from_millis(5),
        longest_wait: Duration::from_millis(50),
        ..Tuning::default()
    }
}

/// Writes a file with content that nobody can guess.
pub(crate) fn write_random(path: &Path, size: u64) {
    static NUMBER: AtomicUsize = AtomicUsize::new(1);
    let mut rng = Rng::fixed(NUMBER.fetch_add(1, Ordering::SeqCst) as u64);
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).expect("make a file"));
    for _ in 0..size.div_ceil(8) {
        file.write_all(&rng.next().to_le_bytes()).expect("write a file");
    }
    file.into_inner()
        .expect("write a file")
        .set_len(size)
        .expect("cut the file");
}

/// Uploads a file; the state is thrown away.
pub(crate) fn upload(store: &Store, key: &str, file: &Path) -> Result<Uploaded> {
    resume(store, key, file, &mut Upload::default())
}

/// Uploads a file, going on from a state.
pub(crate) fn resume(store: &Store, key: &str, file: &Path, state: &mut Upload) -> Result<Uploaded> {
    let (file, size) = opened(file);
    store.upload(&ToSend::whole(key, &file, size), state, &mut |_| Ok(()), &|_| {
        Ok(())
    })
}

/// A file and its size.
pub(crate) fn opened(path: &Path) -> (std::fs::File, u64) {
    let file = std::fs::File::open(path).expect("open the file");
    let size = file.metadata().expect("look at the file").len();
    (file, size)
}

/// Asserts that two files have the same content.
#[track_caller]
pub(crate) fn same_files(a: &Path, b: &Path) {
    let (left, right) = (std::fs::read(a).unwrap(), std::fs::read(b).unwrap());
    assert!(
        left == right,
        "{} and {} differ ({} and {} bytes)",
        a.display(),
        b.display(),
        left.len(),
        right.len()
    );
}

/// The text of an error, after a look for what must never be in one.
#[track_caller]
pub(crate) fn text(error: &Error) -> String {
    let text = format!("{error}\n{error:?}");
    clean(&text);
    error.to_string()
}

/// Asserts that nothing in a text lets anybody in.
#[track_caller]
pub(crate) fn clean(text: &str) {
    for secret in [
        ADMIN.0,
        ADMIN.1,
        READER.0,
        READER.1,
        "Signature=",
        "AWS4-HMAC",
        "X-Amz-",
        "x-amz-date",
    ] {
        assert!(!text.contains(secret), "`{secret}` is in: {text}");
    }
}
