//! A real S3 server: SeaweedFS on free ports, with its data in a temporary folder. There is one for all tests of the
//! binary, begun when the first asks for it; it ends with the tests' process.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::support::{run, self_signed, tool};

/// How long the server may take to begin.
const BEGINS: Duration = Duration::from_secs(120);

/// Who may do everything.
pub(crate) const ADMIN: (&str, &str) = ("AKIDCOFREADMIN", "admin/secret+0123456789abcdefghijkl");

/// Who may only read.
pub(crate) const READER: (&str, &str) = ("AKIDCOFREREADER", "reader/secret+0123456789abcdefghijk");

/// What the names of the server's folders begin with; the number of the tests' process follows.
const FOLDER: &str = "cofre-weed-";

/// The running server.
pub(crate) struct Server {
    port: u16,
    /// The same with TLS.
    tls_port: u16,
    /// The certificate of that, which nobody vouches for.
    pub(crate) certificate: PathBuf,
    /// curl's configuration with the credentials: a test looks for them in the arguments of all programs.
    curl: PathBuf,
}

/// The server of this process.
pub(crate) fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        remove_leftovers();
        // The server is told to end when the thread that began it does; so that thread must not.
        let (ready, wait) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            // Kept, so that the server is.
            let (server, _child) = begin();
            let _ = ready.send(server);
            loop {
                std::thread::park();
            }
        });
        wait.recv().expect("the S3 server did not begin; see above")
    })
}

impl Server {
    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its address with TLS.
    pub(crate) fn tls_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.tls_port)
    }

    /// Makes a bucket.
    pub(crate) fn make_bucket(&self, name: &str, with_locks: bool) {
        let lock: &[&str] = if with_locks {
            &["-H", "x-amz-bucket-object-lock-enabled: true"]
        } else {
            &[]
        };
        self.curl(&[&["-X", "PUT"], lock].concat(), name).exits(0);
    }

    /// Puts an object behind everybody's back.
    pub(crate) fn put(&self, path: &str, file: &Path) {
        let file = file.to_str().expect("a path of text");
        self.curl(&["-T", file], path).exits(0);
    }

    /// Removes an object behind everybody's back; in a bucket with versions it is only hidden.
    pub(crate) fn delete(&self, path: &str) {
        self.curl(&["-X", "DELETE"], path).exits(0);
    }

    /// Writes what the server has under a path into a file, by other means than ours.
    pub(crate) fn fetch(&self, path: &str, to: &Path) {
        let to = to.to_str().expect("a path of text");
        self.curl(&["-o", to], path).exits(0);
    }

    fn curl(&self, arguments: &[&str], path: &str) -> crate::support::Run {
        let mut curl = Command::new(tool("curl"));
        curl.args([
            "-q",
            "--silent",
            "--show-error",
            "--fail-with-body",
            "--max-time",
            "120",
        ])
        .args(["--aws-sigv4", "aws:amz:us-east-1:s3", "--config"])
        .arg(&self.curl)
        .args(arguments)
        .arg(format!("http://127.0.0.1:{}/{path}", self.port));
        run(&mut curl)
    }
}

/// Starts the server and waits until it answers.
fn begin() -> (Server, Child) {
    // A port that was free a moment ago may be another's by now.
    for _ in 0..5 {
        let dir = std::env::temp_dir().join(format!("{FOLDER}{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(dir.join("data")).expect("the server's folder");
        if let Some(begun) = try_begin(&dir) {
            return begun;
        }
        let log = std::fs::read_to_string(dir.join("log")).unwrap_or_default();
        eprintln!(
            "the S3 server did not begin:\n{}",
            log.chars().take(8_000).collect::<String>()
        );
    }
    panic!("the S3 server did not begin");
}

fn try_begin(dir: &Path) -> Option<(Server, Child)> {
    let identities = serde_json::json!({"identities": [
        {"name": "admin", "credentials": [{"accessKey": ADMIN.0, "secretKey": ADMIN.1}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"]},
        {"name": "reader", "credentials": [{"accessKey": READER.0, "secretKey": READER.1}],
            "actions": ["Read", "List"]},
    ]});
    std::fs::write(dir.join("s3.json"), identities.to_string()).expect("the server's identities");
    let (certificate, key) = (dir.join("s3.pem"), dir.join("s3.key"));
    self_signed("the S3 server", "30", &certificate, &key);
    let curl = dir.join("curl");
    std::fs::write(&curl, format!("user = \"{}:{}\"\n", ADMIN.0, ADMIN.1)).expect("curl's configuration");
    let ports = free_ports();
    let names = [
        "master.port",
        "master.port.grpc",
        "volume.port",
        "volume.port.grpc",
        "filer.port",
        "filer.port.grpc",
        "s3.port.grpc",
        "s3.port",
        "s3.port.https",
    ];
    let log = std::fs::File::create(dir.join("log")).expect("the server's log");
    let mut command = Command::new(tool("setpriv"));
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(tool("weed"))
        .args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"])
        .args([
            "-master.telemetry=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ])
        .args([
            "-s3.autoCreateBucket=false",
            "-volume.max=5000",
            "-volume.minFreeSpace=0",
        ])
        .args(["-master.volumeSizeLimitMB=64", "-master.volumePreallocate=false"])
        .arg(format!("-dir={}", dir.join("data").display()))
        .arg(format!("-s3.config={}", dir.join("s3.json").display()))
        .arg(format!("-s3.cert.file={}", certificate.display()))
        .arg(format!("-s3.key.file={}", key.display()))
        .arg(format!("-filer.localSocket={}", dir.join("filer.sock").display()))
        .arg(format!("-s3.localSocket={}", dir.join("s3.sock").display()))
        .args(
            names
                .iter()
                .zip(ports)
                .map(|(name, port)| format!("-{name}={port}")),
        )
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log);
    let mut child = command.spawn().expect("start weed");
    let server = Server {
        port: ports[7],
        tls_port: ports[8],
        certificate,
        curl,
    };
    let end = Instant::now() + BEGINS;
    // It answers once it has read who may do what; a bucket it can make only when all its parts have found each other.
    while server.curl(&["-X", "PUT"], "cofre-ready").code != Some(0) {
        if Instant::now() > end || !matches!(child.try_wait(), Ok(None)) {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Some((server, child))
}

fn free_ports() -> [u16; 9] {
    let listeners = [(); 9].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("its address").port())
}

/// Removes the folders of processes that are no more: nobody can do it when a process ends.
fn remove_leftovers() {
    let entries = std::fs::read_dir(std::env::temp_dir()).expect("the folder for temporary files");
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(FOLDER));
        if pid.is_some_and(|pid| !PathBuf::from("/proc").join(pid).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
