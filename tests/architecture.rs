//! The direction of the dependencies: `component` knows no other crate of ours, `exporter` knows the component,
//! `host` knows the exporter (and through it the catalog's types), and nothing in the sandbox can reach a network.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn metadata(extra: &[&str]) -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(extra)
        .current_dir(root())
        .output()
        .expect("run cargo metadata");
    assert!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

/// Each workspace crate with the workspace crates that it depends on, in any way (also for tests and builds).
fn ours() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata(&["--no-deps"]);
    let packages = metadata["packages"].as_array().expect("packages");
    let names: BTreeSet<_> = packages
        .iter()
        .map(|package| text(&package["name"]).to_owned())
        .collect();
    let dependencies = |package: &Value| {
        let all = package["dependencies"].as_array().expect("dependencies");
        all.iter()
            .map(|d| text(&d["name"]).to_owned())
            .filter(|name| names.contains(name))
            .collect()
    };
    packages
        .iter()
        .map(|package| (text(&package["name"]).to_owned(), dependencies(package)))
        .collect()
}

#[test]
fn dependencies_go_in_one_direction() {
    let ours = ours();
    let of = |name: &str| -> Vec<&str> {
        ours.get(name)
            .unwrap_or_else(|| panic!("no crate {name}"))
            .iter()
            .map(String::as_str)
            .collect()
    };
    assert_eq!(
        of("cofre-component"),
        Vec::<&str>::new(),
        "the component knows no other crate of ours"
    );
    assert_eq!(of("cofre-exporter"), ["cofre-component"]);
    assert_eq!(
        of("cofre"),
        ["cofre-exporter"],
        "the host sees the component's types by way of the exporter"
    );
    assert_eq!(
        ours.len(),
        3,
        "a new crate has to be given its place here: {ours:?}"
    );
}

#[test]
fn the_component_depends_on_nothing_that_reaches_out() {
    let metadata = metadata(&["--filter-platform", "wasm32-wasip2"]);
    let nodes = metadata["resolve"]["nodes"].as_array().expect("nodes");
    let name_of: BTreeMap<_, _> = metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect();
    // The normal dependencies only: tools of the build and of tests stay outside.
    let normal = |node: &Value| -> Vec<String> {
        let kinds = |dep: &Value| {
            dep["dep_kinds"]
                .as_array()
                .expect("kinds")
                .iter()
                .any(|kind| kind["kind"].is_null())
        };
        let deps = node["deps"]
            .as_array()
            .expect("deps")
            .iter()
            .filter(|dep| kinds(dep));
        deps.map(|dep| text(&dep["pkg"]).to_owned()).collect()
    };
    let edges: BTreeMap<_, _> = nodes
        .iter()
        .map(|node| (text(&node["id"]), normal(node)))
        .collect();
    let start = name_of
        .iter()
        .find(|(_, name)| **name == "cofre-component")
        .expect("the component")
        .0;
    let mut reached = BTreeSet::new();
    let mut waiting = vec![(*start).to_owned()];
    while let Some(id) = waiting.pop() {
        waiting.extend(
            edges[id.as_str()]
                .iter()
                .filter(|next| !reached.contains(*next))
                .cloned(),
        );
        reached.insert(id);
    }
    let names: BTreeSet<_> = reached.iter().map(|id| name_of[id.as_str()]).collect();
    assert!(
        names.contains("serde_json"),
        "the walk found the dependencies: {names:?}"
    );
    for outside in [
        "tokio",
        "hyper",
        "rusqlite",
        "wasmtime",
        "chrono-tz",
        "rustix",
        "reqwest",
        "socket2",
        "mio",
    ] {
        assert!(
            !names.contains(outside),
            "{outside} has no business in the sandbox"
        );
    }
}

/// Every `.rs` file below a folder.
fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Asserts that no file below `dir`, but for tests and those in `except`, has one of the words in its code.
fn never_in(dir: &str, except: &[&str], words: &[&str]) {
    let mut files = Vec::new();
    sources(&root().join(dir), &mut files);
    assert!(!files.is_empty(), "no sources below {dir}");
    for file in files {
        let shown = file
            .strip_prefix(root())
            .expect("below the root")
            .display()
            .to_string();
        let test = ["tests.rs", "testing.rs"]
            .iter()
            .any(|name| shown.ends_with(name))
            || shown.contains("/tests/");
        if test || except.iter().any(|allowed| shown.ends_with(allowed)) {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{shown}: {error}"));
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            for word in words {
                assert!(
                    !line.contains(word),
                    "{shown}:{}: `{word}` has its place elsewhere",
                    number + 1
                );
            }
        }
    }
}

#[test]
fn the_component_reads_no_clock_and_has_one_seam_to_the_file_system() {
    never_in(
        "component/src",
        &[],
        &[
            "SystemTime::now",
            "Instant::now",
            "Utc::now",
            "Local::now",
            "std::env",
            "std::net",
        ],
    );
    never_in(
        "component/src",
        &["fs.rs", "fs/native.rs", "fs/wasi.rs"],
        &["std::fs", "wasip2::filesystem"],
    );
}

#[test]
fn lower_modules_of_the_host_do_not_know_the_command_line() {
    let known = ["main.rs", "lib.rs"];
    let mut files = Vec::new();
    let src = root().join("host/src");
    sources(&src, &mut files);
    for file in files {
        let relative = file
            .strip_prefix(&src)
            .expect("below host/src")
            .display()
            .to_string();
        if known.contains(&relative.as_str()) || relative.starts_with("cli") {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("a source");
        assert!(
            !text.contains("crate::cli") && !text.contains("clap::"),
            "{relative} knows the command line"
        );
    }
}

/// The contract in a folder, file by file, without comments and layout: what a host depends on.
fn contract(folder: &Path) -> BTreeMap<String, String> {
    let files = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let paths = files.map(|entry| entry.expect("an entry").path());
    paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "wit"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a file of the contract");
            let code = text
                .lines()
                .map(|line| line.split("//").next().unwrap_or_default());
            let words: Vec<_> = code.flat_map(str::split_whitespace).collect();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, words.join(" "))
        })
        .collect()
}

/// The version in the line `package cofre:backup@…;`, which one of the files has.
fn version_of(contract: &BTreeMap<String, String>) -> [u64; 3] {
    let packages: BTreeSet<_> = contract
        .values()
        .filter_map(|text| text.split_once("package cofre:backup@")?.1.split_once(';'))
        .map(|(version, _)| version.to_owned())
        .collect();
    let numbers: Vec<u64> = packages
        .first()
        .expect("a line with the package")
        .split('.')
        .map(|n| n.parse().expect("a number"))
        .collect();
    assert_eq!(
        packages.len(),
        1,
        "the files are of several versions: {packages:?}"
    );
    numbers.try_into().expect("three numbers")
}

/// Why `now` may not stand beside `frozen`, if it may not.
fn breaks(now: &BTreeMap<String, String>, frozen: &BTreeMap<String, String>) -> Option<String> {
    let (new, old) = (version_of(now), version_of(frozen));
    if new < old {
        return Some(format!("the contract went back from {old:?} to {new:?}"));
    }
    let names: BTreeSet<_> = now.keys().chain(frozen.keys()).collect();
    let differs = names
        .into_iter()
        .find(|name| now.get(*name) != frozen.get(*name))?;
    (new == old).then(|| format!("{differs} is not what was released as {old:?}: it needs a new version"))
}

/// A host that was built for a version goes on to work with every component of that version.
#[test]
fn a_released_version_of_the_contract_stays_as_it_is() {
    let now = contract(&root().join("wit"));
    let frozen = root().join("wit/frozen");
    let mut versions = Vec::new();
    for entry in std::fs::read_dir(&frozen).expect("the frozen versions") {
        let folder = entry.expect("an entry").path();
        let old = contract(&folder);
        assert_eq!(
            folder.file_name().expect("a name").to_string_lossy(),
            version_of(&old).map(|n| n.to_string()).join("."),
            "the folder has the name of its version"
        );
        assert_eq!(breaks(&now, &old), None, "{}", folder.display());
        versions.push(version_of(&old));
    }
    assert!(
        versions.contains(&version_of(&now)),
        "copy wit/*.wit to wit/frozen/VERSION together with a new version"
    );
}

#[test]
fn a_change_of_the_contract_without_a_new_version_is_seen() {
    let old = contract(&root().join("wit"));
    let with = |from: &str, to: &str| -> BTreeMap<_, _> {
        let changed: BTreeMap<_, _> = old
            .iter()
            .map(|(name, text)| (name.clone(), text.replace(from, to)))
            .collect();
        assert_ne!(changed, old, "{from}");
        changed
    };
    assert_eq!(breaks(&old, &old), None);
    let parameter = with("quick: bool", "quick: u8");
    assert!(breaks(&parameter, &old).is_some_and(|why| why.contains("needs a new version")));
    let record = with("data: list<u8>,", "");
    assert!(breaks(&record, &old).is_some());
    let mut fewer = old.clone();
    fewer.remove("jobs.wit");
    assert!(breaks(&fewer, &old).is_some());
    let [major, minor, patch] = version_of(&old);
    let package = |minor| format!("package cofre:backup@{major}.{minor}.{patch};");
    let newer = with(&package(minor), &package(minor + 1));
    assert_eq!(breaks(&newer, &old), None);
    assert!(breaks(&old, &newer).is_some_and(|why| why.contains("went back")));
}

#[test]
fn credentials_are_compared_in_constant_time_and_in_one_place() {
    let auth = "host/src/serve/http/auth.rs";
    let code = std::fs::read_to_string(root().join(auth)).expect(auth);
    assert_eq!(code.matches(".ct_eq(").count(), 1, "{auth}");
    assert!(code.contains("token.sha256.ct_eq(digest.as_slice())"), "{auth}");
    let plain = [
        "sha256 ==",
        "sha256 !=",
        "sha256.eq(",
        "sha256.as_slice() ==",
        "== token.",
        "== digest",
        "== credential",
    ];
    never_in("host/src/serve/http", &[], &plain);
    // The signature of a session is for the library, which leaves it to AWS-LC: that compares in constant time.
    let metadata = metadata(&[]);
    let nodes = metadata["resolve"]["nodes"].as_array().expect("nodes");
    let library = nodes
        .iter()
        .find(|node| text(&node["id"]).contains("jsonwebtoken"))
        .expect("jsonwebtoken");
    let features: Vec<_> = library["features"]
        .as_array()
        .expect("features")
        .iter()
        .map(text)
        .collect();
    assert!(
        features.contains(&"aws_lc_rs") && !features.contains(&"rust_crypto"),
        "{features:?}"
    );
}
