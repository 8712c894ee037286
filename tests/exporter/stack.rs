//! Prometheus and Alertmanager around the exporter: the shipped examples, run as they are but for ports and haste.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::alerts::shipped;

/// Longest wait for anything: seconds, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// An alert as Alertmanager delivered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) repository: Option<String>,
    pub(crate) plan: Option<String>,
    pub(crate) remote: Option<String>,
}

pub(crate) struct Stack {
    prometheus: SocketAddr,
    alertmanager: SocketAddr,
    delivered: Arc<Mutex<Vec<Delivered>>>,
    _running: [Running; 2],
}

/// A port that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Waits until `condition` gives something.
pub(crate) fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(200));
    }
}

/// Copies the examples to `dir`, with a certificate and the password that their comments tell of.
pub(crate) fn examples(dir: &Path) -> PathBuf {
    let to = dir.join("examples");
    fs::create_dir_all(to.join("tls")).unwrap();
    fs::create_dir_all(to.join("targets")).unwrap();
    fs::create_dir_all(dir.join("alerts")).unwrap();
    for file in [
        "prometheus.yml",
        "alertmanager.yml",
        "web.yml",
        "targets/cofre.yml",
    ] {
        fs::copy(shipped("examples").join(file), to.join(file)).unwrap();
    }
    fs::copy(
        shipped("alerts/cofre.rules.yml"),
        dir.join("alerts/cofre.rules.yml"),
    )
    .unwrap();
    let pair = crate::tls::pair(&to.join("tls"), "exporter");
    assert!(pair.key.exists());
    fs::write(to.join("tls/password"), "change-me\n").unwrap();
    to
}

/// Replaces in a file what has to be in it.
fn edit(file: &Path, replace: &[(&str, &str)]) {
    let mut text = fs::read_to_string(file).unwrap();
    for (old, new) in replace {
        assert!(text.contains(old), "{old} is not in {}", file.display());
        text = text.replace(old, new);
    }
    fs::write(file, text).unwrap();
}

/// Adds a target of its own job, as an operator does for `cofre serve`.
fn add_job(config: &Path, target: SocketAddr) {
    let mut text = fs::read_to_string(config).unwrap();
    text += &format!("  - job_name: cofre-api\n    static_configs:\n      - targets: [\"{target}\"]\n");
    fs::write(config, text).unwrap();
}

/// Lets no rule wait: `for: 15m` becomes a second.
fn hurry(rules: &Path) {
    let text = fs::read_to_string(rules).unwrap();
    let lines = text
        .lines()
        .map(|line| match line.trim_start().strip_prefix("for: ") {
            Some(_) => "        for: 1s",
            None => line,
        });
    fs::write(rules, lines.collect::<Vec<_>>().join("\n")).unwrap();
}

impl Stack {
    /// Starts both, scraping `exporter` by TLS and `api` without it each second.
    pub(crate) fn start(dir: &Path, examples: &Path, exporter: SocketAddr, api: SocketAddr) -> Self {
        let (prometheus, alertmanager) = (free_address(), free_address());
        let delivered = Arc::new(Mutex::new(Vec::new()));
        let receiver = receive(Arc::clone(&delivered));
        hurry(&dir.join("alerts/cofre.rules.yml"));
        edit(
            &examples.join("alertmanager.yml"),
            &[
                ("127.0.0.1:9094", &receiver.to_string()),
                ("group_wait: 30s", "group_wait: 1s"),
                ("group_interval: 5m", "group_interval: 1s"),
            ],
        );
        edit(
            &examples.join("prometheus.yml"),
            &[
                ("interval: 15s", "interval: 1s"),
                ("127.0.0.1:9093", &alertmanager.to_string()),
            ],
        );
        add_job(&examples.join("prometheus.yml"), api);
        edit(
            &examples.join("targets/cofre.yml"),
            &[("localhost:10642", &format!("localhost:{}", exporter.port()))],
        );
        let running = [
            spawn(
                Command::new("prometheus-alertmanager")
                    .arg(format!(
                        "--config.file={}",
                        examples.join("alertmanager.yml").display()
                    ))
                    .arg(format!("--storage.path={}", dir.join("alertmanager").display()))
                    .arg(format!("--web.listen-address={alertmanager}"))
                    .arg("--cluster.listen-address="),
            ),
            spawn(
                Command::new("prometheus")
                    .arg(format!(
                        "--config.file={}",
                        examples.join("prometheus.yml").display()
                    ))
                    .arg(format!(
                        "--storage.tsdb.path={}",
                        dir.join("prometheus").display()
                    ))
                    .arg(format!("--web.listen-address={prometheus}")),
            ),
        ];
        for address in [alertmanager, prometheus] {
            wait_for("Prometheus and Alertmanager to listen", || {
                TcpStream::connect(address).ok()
            });
        }
        Self {
            prometheus,
            alertmanager,
            delivered,
            _running: running,
        }
    }

    /// What Prometheus answers to a query now.
    pub(crate) fn query(&self, expression: &str) -> Vec<Value> {
        let output = Command::new("curl")
            .args(["-sS", "-G", "--max-time", "30", "--data-urlencode"])
            .arg(format!("query={expression}"))
            .arg(format!("http://{}/api/v1/query", self.prometheus))
            .output()
            .unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stdout)));
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        answer["data"]["result"].as_array().unwrap().clone()
    }

    /// The one value of a query, once it has one.
    pub(crate) fn value(&self, expression: &str) -> f64 {
        wait_for(expression, || {
            let found = self.query(expression);
            assert!(found.len() <= 1, "{expression}: {found:?}");
            found.first()?["value"][1].as_str()?.parse().ok()
        })
    }

    /// Names of the alerts that Prometheus has firing.
    pub(crate) fn firing(&self) -> Vec<String> {
        let found = self.query("ALERTS{alertstate=\"firing\"}");
        found
            .iter()
            .map(|alert| alert["metric"]["alertname"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Names of the alerts that Alertmanager has, by amtool. Its exit code is 0 even when there is none.
    pub(crate) fn in_alertmanager(&self) -> Vec<String> {
        let output = Command::new("amtool")
            .args(["alert", "query", "-o", "json"])
            .arg(format!("--alertmanager.url=http://{}", self.alertmanager))
            .output()
            .unwrap();
        let alerts: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
        let alerts = alerts.as_array().unwrap().iter();
        alerts
            .map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Waits until the receiver was last told this of this alert.
    pub(crate) fn wait_for_delivery(&self, name: &str, status: &str) -> Delivered {
        wait_for(&format!("{name} to be delivered as {status}"), || {
            let delivered = self.delivered.lock().unwrap();
            let last = delivered.iter().rfind(|alert| alert.name == name)?;
            (last.status == status).then(|| last.clone())
        })
    }
}

fn spawn(command: &mut Command) -> Running {
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Running(child.unwrap_or_else(|e| {
        panic!(
            "{} can't be run ({e}); install it with `apt-get install --no-install-recommends prometheus \
             prometheus-alertmanager`",
            command.get_program().display()
        )
    }))
}

/// A web server that takes what Alertmanager sends.
fn receive(delivered: Arc<Mutex<Vec<Delivered>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            if let Some(message) = message(stream) {
                let alerts = message["alerts"].as_array().unwrap().iter().map(alert);
                delivered.lock().unwrap().extend(alerts);
            }
        }
    });
    address
}

/// Reads one POST with its JSON and answers it.
fn message(mut stream: TcpStream) -> Option<Value> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .ok()?;
    serde_json::from_slice(&body).ok()
}

fn alert(alert: &Value) -> Delivered {
    let label = |name: &str| alert["labels"][name].as_str().map(str::to_owned);
    Delivered {
        name: label("alertname").unwrap(),
        status: alert["status"].as_str().unwrap().to_owned(),
        repository: label("repository"),
        plan: label("plan"),
        remote: label("remote"),
    }
}
