//! The program against Azurite, Microsoft's own emulator of Azure's blobs. Opt-in: it brings 370 packages along.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::site::write_random;
use crate::support::{App, copy_tree, run, same_tree, tool};

/// Where the reason below has it installed.
const AZURITE: &str = "target/azurite/node_modules/azurite/dist/src/blob/main.js";

/// The account that every Azurite has. Source: its README, "Default Storage Account".
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Makes the container, which a machine that makes backups has no business to do. Source: Azure's "Authorize with Shared
/// Key".
const MAKE_CONTAINER: &str = "
import base64, datetime, hashlib, hmac, sys, urllib.request
url, account, key = sys.argv[1:]
date = datetime.datetime.now(datetime.timezone.utc).strftime('%a, %d %b %Y %H:%M:%S GMT')
path = f'/{account}/copies'
text = 'PUT' + '\\n' * 12 + f'x-ms-date:{date}\\nx-ms-version:2021-08-06\\n/{account}{path}\\nrestype:container'
signature = base64.b64encode(hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()).decode()
headers = {'x-ms-date': date, 'x-ms-version': '2021-08-06', 'Authorization': f'SharedKey {account}:{signature}',
           'Content-Length': '0'}
urllib.request.urlopen(urllib.request.Request(f'{url}{path}?restype=container', method='PUT', headers=headers))
";

struct Azurite {
    child: Child,
    url: String,
    _dir: tempfile::TempDir,
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Azurite {
    fn start() -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(AZURITE);
        assert!(
            program.exists(),
            "{AZURITE} is missing: `npm install --prefix target/azurite azurite@3.35.0`"
        );
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let dir = tempfile::tempdir().unwrap();
        let child = Command::new(tool("node"))
            .arg(program)
            .args([
                "--silent",
                "--disableTelemetry",
                "--blobHost",
                "127.0.0.1",
                "--blobPort",
                &port.to_string(),
            ])
            .arg("--location")
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Self {
            child,
            url: format!("http://127.0.0.1:{port}"),
            _dir: dir,
        };
        let end = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "Azurite does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        run(Command::new(tool("python3")).args(["-c", MAKE_CONTAINER, &begun.url, ACCOUNT, KEY])).exits(0);
        begun
    }

    /// A configuration whose remote is this.
    fn config(&self, app: &App, keys: &str, container: &str) {
        let recipient = super::product::recipient(app);
        app.config(&format!(
            "[sources.static]\npath = \"static\"\n\
             [encryption]\nrecipients = [\"{recipient}\"]\n{keys}\n\
             [[remotes]]\nname = \"offsite\"\nurl = \"az://{ACCOUNT}/{container}/of-me\"\nendpoint = \"{}/{ACCOUNT}\"\n\
             credentials_file = \"azure.key\"\npart_mib = 5\nmax_backups = 2\n",
            self.url
        ));
    }
}

#[test]
#[ignore = "needs 190 MB of npm: `npm install --prefix target/azurite azurite@3.35.0`, then \
            `cargo test --profile checked -p cofre --test remote -- --ignored azure`"]
fn a_container_of_azure_keeps_copies_and_gives_them_back() {
    const SIGNING: &str = "signing_key_file = \"keys/cofre-signing.key\"";
    let azurite = Azurite::start();
    let app = App::small();
    write_random(&app.path("static/random.bin"), 23 << 20);
    app.cofre(&["key", "new", app.path("keys").to_str().unwrap()])
        .exits(0);
    app.write("azure.key", format!("account_key = {KEY}\n").as_bytes());
    azurite.config(&app, SIGNING, "copies");
    (0..3).for_each(|_| drop(app.create()));
    // Each run prunes there as well.
    app.cofre(&["remote", "verify", "offsite"])
        .exits(0)
        .says("2 copies are good");
    app.cofre(&["remote", "list", "offsite"]).exits(0);

    let fresh = App::blank();
    copy_tree(&app.path("keys"), &fresh.path("keys"));
    std::fs::copy(app.path("azure.key"), fresh.path("azure.key")).unwrap();
    azurite.config(&fresh, "identity_file = \"keys/cofre-identity.txt\"", "copies");
    fresh
        .cofre(&["rebuild", "--from", "offsite"])
        .exits(0)
        .says("the catalog got 2 of 2");
    let out = fresh.path("out");
    fresh
        .cofre(&[
            "restore",
            "latest",
            "--from",
            "offsite",
            "--to",
            out.to_str().unwrap(),
        ])
        .exits(0);
    same_tree(&app.path("static"), &out.join("static"));

    azurite.config(&app, SIGNING, "elsewhere");
    app.cofre(&["remote", "push", "offsite"])
        .exits(4)
        .says("there is no such bucket");
    let wrong = KEY.replace('E', "F");
    app.write("azure.key", format!("account_key = {wrong}\n").as_bytes());
    azurite.config(&app, SIGNING, "copies");
    let refused = app.cofre(&["remote", "push", "offsite"]).exits(8);
    assert!(!refused.stderr.contains(&wrong), "{refused}");
}
