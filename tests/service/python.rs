//! Python as an outside client and judge.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Run, run, tool};

/// `python3`, not started yet.
pub(crate) fn python() -> Command {
    let mut command = Command::new(tool("python3"));
    command
        .env("PYTHONIOENCODING", "utf-8")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NO_PROXY", "*");
    command
}

/// A script of this folder, not started yet.
pub(crate) fn script(name: &str) -> Command {
    let mut command = python();
    command.arg(here(name));
    command
}

/// A few lines with arguments, run to their end, which has to be good.
#[track_caller]
pub(crate) fn lines(lines: &str, args: &[&str]) -> Run {
    run(python().arg("-c").arg(lines).args(args)).exits(0)
}

/// A file beside the tests.
pub(crate) fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/service")
        .join(name)
}

/// A JSON Web Token made by hand, signed with HMAC-SHA256 whatever its head says; `alg` `none` has no signature.
#[track_caller]
pub(crate) fn jwt(head: &str, claims: &str, key: &str) -> String {
    let made = lines(
        "
import base64, hashlib, hmac, json, sys
head, claims, key = sys.argv[1:]
b64 = lambda b: base64.urlsafe_b64encode(b).rstrip(b'=')
signed = b64(head.encode()) + b'.' + b64(claims.encode())
none = json.loads(head)['alg'] == 'none'
signature = b'' if none else b64(hmac.new(key.encode(), signed, hashlib.sha256).digest())
print((signed + b'.' + signature).decode(), end='')
",
        &[head, claims, key],
    );
    made.stdout
}
