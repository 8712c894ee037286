//! What a scrape answered, checked as strictly as Prometheus and its linter do, and then some.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use cofre_exporter::names;

pub(crate) struct Metrics {
    samples: BTreeMap<String, f64>,
}

impl Metrics {
    /// Parses `text` and refuses whatever is not clean.
    pub(crate) fn checked(text: &str) -> Self {
        promtool(text);
        let mut samples = BTreeMap::new();
        let mut described = BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let name = rest.split(' ').next().unwrap();
                assert!(described.insert(name), "{name} is described twice");
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let value: f64 = value.parse().unwrap();
                assert!(value.is_finite(), "{line}");
                assert!(
                    samples.insert(series.to_owned(), value).is_none(),
                    "{series} is there twice"
                );
                check_name(series);
            }
        }
        // promtool accepts an empty answer.
        assert!(samples.contains_key("cofre_up"), "{text}");
        Self { samples }
    }

    /// Value of one series, written as in the answer: `name{label="value",…}`.
    pub(crate) fn get(&self, series: &str) -> f64 {
        self.find(series)
            .unwrap_or_else(|| panic!("{series} is missing in {:#?}", self.samples))
    }

    pub(crate) fn find(&self, series: &str) -> Option<f64> {
        self.samples.get(series).copied()
    }

    /// Value of a metric of the repository `relatorios`.
    pub(crate) fn repository(&self, name: &str) -> f64 {
        self.get(&format!("{name}{{repository=\"relatorios\"}}"))
    }

    /// Value of a metric of the plan `daily` of the repository `relatorios`.
    pub(crate) fn daily(&self, name: &str) -> f64 {
        self.get(&format!("{name}{{repository=\"relatorios\",plan=\"daily\"}}"))
    }

    /// The values of a label in all series of a metric, in order.
    pub(crate) fn labels(&self, name: &str, label: &str) -> Vec<String> {
        let series = self.samples.keys().filter(|series| name_of(series) == name);
        let values = series.filter_map(|series| {
            let (_, rest) = series.split_once(&format!("{label}=\""))?;
            rest.split('"').next().map(str::to_owned)
        });
        let values: BTreeSet<_> = values.collect();
        values.into_iter().collect()
    }

    /// The statuses of a plan that are 1.
    pub(crate) fn statuses(&self, plan: &str) -> Vec<&'static str> {
        ["success", "partial", "failed", "cancelled", "never"]
            .into_iter()
            .filter(|status| {
                let labels = format!("repository=\"relatorios\",plan=\"{plan}\",status=\"{status}\"");
                self.get(&format!("cofre_backup_last_status{{{labels}}}")) == 1.0
            })
            .collect()
    }

    /// All names, without labels.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        self.samples.keys().map(|series| name_of(series)).collect()
    }
}

fn name_of(series: &str) -> &str {
    series.split('{').next().unwrap()
}

fn check_name(series: &str) {
    let name = name_of(series);
    let suffixes = ["", "_bucket", "_sum", "_count"];
    let is = |metric: &names::Metric| {
        let rest = name.strip_prefix(metric.name);
        rest.is_some_and(|rest| suffixes.contains(&rest))
    };
    let known = names::ALL.iter().chain(names::SERVE).any(is);
    assert!(known || name.starts_with("process_"), "{name} is not in names.rs");
}

fn promtool(text: &str) {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap_or_else(|e| {
        panic!("promtool can't be run ({e}); install it with `apt-get install --no-install-recommends prometheus`")
    });
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && said.is_empty(),
        "promtool check metrics: {}\n{text}",
        String::from_utf8_lossy(&said)
    );
}
