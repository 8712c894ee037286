//! The hosts beside this program: the package in `host/python`, the package in `host/node`, the examples, and that
//! all of them do the same (`conformance.py`). The judges are Python's and Node's own; here they are only started.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on has failed"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("the repository")
}

/// Runs a command to its end, which has to be good; what it printed.
#[track_caller]
fn good(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| {
        panic!(
            "{:?} can't be started ({e}); .ci/run installs it",
            command.get_program()
        )
    });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}\n{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// A command in a clean environment of the tests: nothing of a developer's own cofre.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env("COFRE_BINARY", env!("CARGO_BIN_EXE_cofre"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("COFRE_CONFIG")
        .env_remove("COFRE_COMPONENT")
        .current_dir(root());
    command
}

fn python() -> Command {
    command("python3")
}

/// The released component in a folder of its own.
fn component() -> (TempDir, PathBuf) {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let file = temp.path().join("cofre.wasm");
    good(
        command(env!("CARGO_BIN_EXE_cofre"))
            .args(["component", "--output"])
            .arg(&file),
    );
    (temp, file)
}

#[test]
fn the_python_host_passes_its_own_tests() {
    good(python().args([
        "-m",
        "pytest",
        "-q",
        "--rootdir",
        "host/python",
        "-c",
        "host/python/pyproject.toml",
        "host/python/tests",
    ]));
}

#[test]
fn the_python_host_is_typed() {
    let temp = tempfile::tempdir().unwrap();
    good(
        python()
            .current_dir(root().join("host/python"))
            .args(["-m", "mypy", "--cache-dir"])
            .arg(temp.path()),
    );
}

/// The Node package with what it needs to be built, and this program's component in it.
fn node_package() -> &'static Path {
    static PACKAGE: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, package) = PACKAGE.get_or_init(|| {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let package = temp.path().join("node");
        std::fs::create_dir(&package).unwrap();
        for name in [
            "package.json",
            "package-lock.json",
            "build_component.mjs",
            "README.md",
            "lib",
            "tests",
        ] {
            good(
                Command::new("cp")
                    .arg("-r")
                    .arg(root().join("host/node").join(name))
                    .arg(&package),
            );
        }
        good(npm(&package).args(["ci", "--no-audit", "--no-fund"]));
        good(
            command("node")
                .current_dir(&package)
                .args(["build_component.mjs", env!("CARGO_BIN_EXE_cofre")]),
        );
        (temp, package)
    });
    package
}

fn npm(folder: &Path) -> Command {
    let mut npm = command("npm");
    npm.current_dir(folder).env("npm_config_update_notifier", "false");
    npm
}

#[test]
fn all_hosts_do_the_same() {
    good(
        python()
            .env("COFRE_NODE", node_package().join("lib/index.js"))
            .args([
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                "tests/hosts/conformance.py",
            ]),
    );
}

#[test]
fn the_node_host_passes_its_own_tests() {
    good(
        command("node")
            .current_dir(node_package())
            .args(["--test", "tests/host.test.mjs"]),
    );
}

/// The packed package alone, in an empty folder.
#[test]
fn the_tarball_works_in_an_empty_folder() {
    let temp = tempfile::tempdir().unwrap();
    let app = temp.path();
    good(
        npm(node_package())
            .args(["pack", "--silent", "--pack-destination"])
            .arg(app),
    );
    std::fs::write(
        app.join("package.json"),
        "{\"private\": true, \"type\": \"module\"}",
    )
    .unwrap();
    good(npm(app).args(["install", "--no-audit", "--no-fund", "./cofre-0.1.0.tgz"]));
    assert!(
        !app.join("node_modules/@bytecodealliance/jco-transpile").exists(),
        "what only building needs is not installed"
    );
    std::fs::create_dir(app.join("static")).unwrap();
    std::fs::write(app.join("static/a.txt"), "a").unwrap();
    let code = "import { BackupManager } from 'cofre';\n\
        const manager = new BackupManager({ sources: { static: { path: 'static' } }, exclusive: true });\n\
        const row = manager.createBackup();\n\
        if (row.status !== 'completed') throw new Error(JSON.stringify(row));\n\
        console.log(row.name);\nprocess.exit(0);";
    let name = good(
        command("node")
            .current_dir(app)
            .args(["--input-type=module", "-e", code]),
    );
    assert!(app.join("backups").join(format!("{}.zip", name.trim())).exists());
}

/// The wheel alone, in an environment that has nothing but what it asks for.
#[test]
fn the_wheel_works_in_an_empty_environment() {
    let temp = tempfile::tempdir().unwrap();
    let at = |name: &str| temp.path().join(name);
    let source = at("source");
    good(
        Command::new("cp")
            .arg("-r")
            .arg(root().join("host/python"))
            .arg(&source),
    );
    good(
        python()
            .arg(source.join("build_component.py"))
            .arg(env!("CARGO_BIN_EXE_cofre")),
    );
    good(
        python()
            .args([
                "-m",
                "pip",
                "wheel",
                "--quiet",
                "--no-deps",
                "--no-build-isolation",
                "--no-index",
            ])
            .args(["--disable-pip-version-check", "--wheel-dir"])
            .arg(at("wheels"))
            .arg(&source),
    );
    let wheel = std::fs::read_dir(at("wheels"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    good(python().args(["-m", "venv"]).arg(at("env")));
    let inside = at("env/bin/python").to_str().unwrap().to_owned();
    // Its only dependency, as pinned for these tests.
    let pins = std::fs::read_to_string(root().join(".ci/requirements.txt")).unwrap();
    let start = pins.find("\nwasmtime==").expect("wasmtime is pinned") + 1;
    let end = pins[start..]
        .find("\n    # via")
        .map_or(pins.len(), |n| start + n);
    std::fs::write(at("pins.txt"), &pins[start..end]).unwrap();
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    good(
        command(&inside)
            .args(pip)
            .args(["--require-hashes", "--requirement"])
            .arg(at("pins.txt")),
    );
    good(command(&inside).args(pip).args(["--no-index"]).arg(&wheel));
    std::fs::create_dir_all(at("app/static")).unwrap();
    std::fs::write(at("app/static/a.txt"), "a").unwrap();
    let code = "from backup import create_backup, list_backups\nmade = create_backup()\n\
                assert made['status'] == 'completed' and list_backups() == [made], made\nprint(made['name'])";
    let name = good(command(&inside).current_dir(at("app")).args(["-c", code]));
    assert!(at("app/backups").join(format!("{}.zip", name.trim())).exists());
}

/// The program of `wit/README.md`, as it stands there.
#[test]
fn the_first_call_of_the_readme_works() {
    let text = std::fs::read_to_string(root().join("wit/README.md")).unwrap();
    let (_, rest) = text.split_once("```python\n").expect("a program");
    let (program, _) = rest.split_once("```").unwrap();
    let (temp, component) = component();
    for folder in ["backups", "static"] {
        std::fs::create_dir(temp.path().join(folder)).unwrap();
    }
    std::fs::write(temp.path().join("static/a.txt"), "a").unwrap();
    let run = |expected: &str| {
        let shown = good(
            python()
                .current_dir(temp.path())
                .env("COFRE_COMPONENT", &component)
                .args(["-c", program]),
        );
        assert!(shown.contains(expected), "{shown}");
    };
    run(".zip: 1 files");
    std::fs::remove_file(temp.path().join("static/a.txt")).unwrap();
    run("source-missing: ");
}

/// Every example of the library, on a small folder.
#[test]
fn the_examples_run() {
    let mut examples = std::env::current_exe().unwrap();
    examples.pop();
    examples.pop();
    examples.push("examples");
    let temp = tempfile::tempdir().unwrap();
    let at = |name: &str| temp.path().join(name);
    for folder in ["static", "backups"] {
        std::fs::create_dir(at(folder)).unwrap();
    }
    std::fs::write(at("static/a.txt"), "a").unwrap();
    let run = |name: &str| {
        let program = examples.join(name);
        assert!(
            program.exists(),
            "{} is missing: `cargo test` of the whole package builds it, with `--test hosts` alone `cargo build --examples` does",
            program.display()
        );
        good(
            command(program.to_str().unwrap())
                .arg(at("static"))
                .arg(at("backups")),
        )
    };
    assert!(run("embed").contains("0 problems"));
    let shown = run("progress");
    assert!(
        shown.contains("1 of 1 files") && shown.contains("cancelled"),
        "{shown}"
    );
}

/// The lines of `wit/README.md` for the command line of wasmtime, which takes too long to build for every change.
#[test]
#[ignore = "minutes of compiling: cargo install wasmtime-cli --locked --no-default-features --features run,cranelift,component-model --root target/wasmtime, then COFRE_WASMTIME=$PWD/target/wasmtime/bin/wasmtime cargo test --release -p cofre --test hosts -- --ignored"]
fn the_command_line_of_wasmtime_runs_the_component() {
    let wasmtime = std::env::var("COFRE_WASMTIME").expect("COFRE_WASMTIME names the program");
    let (temp, component) = component();
    for folder in ["backups", "static"] {
        std::fs::create_dir(temp.path().join(folder)).unwrap();
    }
    std::fs::write(temp.path().join("static/a.txt"), "a").unwrap();
    std::fs::rename(&component, temp.path().join("cofre.wasm")).unwrap();
    let text = std::fs::read_to_string(root().join("wit/README.md")).unwrap();
    let (_, rest) = text.split_once("```sh\nwasmtime run").expect("the lines");
    let (lines, _) = rest.split_once("```").unwrap();
    let lines: Vec<String> = format!(" run{lines}")
        .split("\nwasmtime")
        .map(|line| format!("{wasmtime}{line}"))
        .collect();
    let sh = |line: &String| good(command("sh").current_dir(temp.path()).args(["-c", line]));
    // The last one makes the backup that the others look at.
    assert!(sh(&lines[3]).contains("status: completed"), "{}", lines[3]);
    assert!(sh(&lines[0]).contains("backup_20250831_215249_manual"));
    assert!(sh(&lines[1]).contains("total-backups: 1"));
    assert!(sh(&lines[2]).contains("problems: []"));
}
