//! Certificates made by openssl, and requests made by curl.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A certificate and its key.
pub(crate) struct Pair {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// A self-signed certificate of `localhost` and 127.0.0.1, with its key: `NAME.pem` and `NAME.key` in `dir`.
pub(crate) fn pair(dir: &Path, name: &str) -> Pair {
    let pair = Pair {
        cert: dir.join(format!("{name}.pem")),
        key: dir.join(format!("{name}.key")),
    };
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "2", "-subj", &format!("/CN={name}")])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&pair.key)
        .arg("-out")
        .arg(&pair.cert)
        .output()
        .unwrap_or_else(|e| panic!("openssl can't be run ({e}); install it with `apt-get install openssl`"));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    pair
}

/// What curl got: status (0 for none, as when the handshake failed), and head and body as they came.
pub(crate) fn curl(address: SocketAddr, path: &str, args: &[&str]) -> (u16, String) {
    let output = Command::new("curl")
        .args(["-sS", "-i", "--max-time", "30", "-w", "\n%{http_code}"])
        .args(args)
        .arg(format!("https://{address}{path}"))
        .output()
        .unwrap_or_else(|e| panic!("curl can't be run ({e}); install it with `apt-get install curl`"));
    let text = String::from_utf8(output.stdout).unwrap();
    let (text, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), text.to_owned())
}
