//! Archives made to do harm. Each is judged twice: in the place of a known one, whose checksum has to catch it, and as
//! one of which nothing is known, where the reader of ZIP files has to. Nothing is ever written outside of the target,
//! no target is left half made, and no name reaches the terminal as it is.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::resources::measured;
use crate::support::hostile::{End, Kind, kinds};
use crate::support::zip::{entry, manifest, zip};
use crate::support::{App, Run, listing};

/// No archive may take longer: it is far more than any does, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);

/// An application with one backup, whose archive is exchanged.
struct Place {
    app: App,
    name: String,
    archive: PathBuf,
    history: String,
    sidecar: String,
    /// Everything beside the backups and cofre's own folder.
    around: Vec<String>,
}

impl Place {
    fn new() -> Self {
        let app = App::small();
        app.write("outside/alvo.txt", b"INTACTO");
        let record = app.create();
        let name = record["name"].as_str().unwrap().to_owned();
        let archive = app.archive(&record);
        let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
        let history = read(app.history_path());
        let sidecar = read(app.backups().join(format!("{name}.zip.sha256")));
        let mut place = Self {
            app,
            name,
            archive,
            history,
            sidecar,
            around: Vec::new(),
        };
        place.around = place.around();
        place
    }

    fn around(&self) -> Vec<String> {
        let all = listing(self.app.root());
        let lines = all.lines().filter(|line| {
            let path = line.split('\t').next().unwrap();
            !path.is_empty() && !path.starts_with("backups") && !path.starts_with(".cofre")
        });
        lines.map(str::to_owned).collect()
    }

    fn sidecar_path(&self) -> PathBuf {
        self.app.backups().join(format!("{}.zip.sha256", self.name))
    }

    /// Runs a command; whatever comes of it, nothing is where it should not be.
    fn run(&self, what: &str, args: &[&str]) -> Run {
        let began = Instant::now();
        let run = self.app.cofre(args);
        assert!(
            began.elapsed() < PATIENCE,
            "{what}: it took {:?}",
            began.elapsed()
        );
        for text in [&run.stdout, &run.stderr] {
            let raw = text.chars().find(|c| c.is_control() && *c != '\n');
            assert!(raw.is_none(), "{what}: {raw:?} in {run}");
            assert!(
                !text.lines().any(|line| line.starts_with("INJECTED")),
                "{what}: {run}"
            );
        }
        run
    }

    fn verify(&self, what: &str) -> Run {
        self.run(what, &["verify"])
    }

    /// Restores into `out`; gives what was made there, which is removed again.
    fn restore(&self, what: &str) -> (Run, Vec<String>) {
        self.restore_with(what, &[])
    }

    fn restore_with(&self, what: &str, more: &[&str]) -> (Run, Vec<String>) {
        let out = self.app.path("out");
        let args = [&["restore", "latest", "--to", out.to_str().unwrap()], more].concat();
        let run = self.run(what, &args);
        let made = if out.exists() {
            let all = listing(&out);
            std::fs::remove_dir_all(&out).unwrap();
            all.lines().map(str::to_owned).collect()
        } else {
            Vec::new()
        };
        assert_eq!(
            self.around(),
            self.around,
            "{what}: something outside of the target changed: {run}"
        );
        (run, made)
    }

    /// All have to fail, and restores with this code; what they said.
    fn all_fail(&self, what: &str, code: i32) -> [Run; 3] {
        let verified = self.verify(what).exits(5);
        let [plain, with_links] = [&[][..], &["--absolute-links"]].map(|more| {
            let (restored, made) = self.restore_with(what, more);
            assert!(made.is_empty(), "{what}: {more:?} left {made:?}");
            assert_eq!(restored.code, Some(code), "{what}: {restored}");
            restored
        });
        [verified, plain, with_links]
    }

    /// What verifies is restored, and its absolute links with it, unless no such link can be made here.
    fn with_links(&self, what: &str, plain: &[String], code: i32) {
        let (restored, made) = self.restore_with(what, &["--absolute-links"]);
        assert_eq!(restored.code, Some(code), "{what}: {restored}");
        if code != 0 {
            assert!(made.is_empty(), "{what}: left {made:?}");
            return;
        }
        let paths = |lines: &[String]| -> Vec<String> {
            lines
                .iter()
                .map(|line| line.split('\t').next().unwrap().to_owned())
                .collect()
        };
        let made = paths(&made);
        for path in paths(plain) {
            assert!(made.contains(&path), "{what}: {path} is not in {made:?}");
        }
    }

    /// In the place of a known archive.
    fn as_known(&self, kind: &Kind) {
        std::fs::write(&self.archive, &kind.bytes).unwrap();
        std::fs::write(self.app.history_path(), &self.history).unwrap();
        std::fs::write(self.sidecar_path(), &self.sidecar).unwrap();
        let what = format!("{}, in the place of a known one", kind.what);
        let verified = self.verify(&what).exits(5);
        let verified = verified
            .says("but the catalog says")
            .says("it was changed or damaged");
        drop(verified.says(&self.name));
        let (restored, made) = self.restore(&what);
        assert!(made.is_empty(), "{what}: left {made:?}");
        // What is found first ends it: the checksum, or what a reader came upon before.
        assert_eq!(restored.code, Some(5), "{what}: {restored}");
    }

    /// As an archive of which nothing is known, taken in by `rebuild` or not.
    fn as_unknown(&self, kind: &Kind) {
        let what = format!("{}, unknown", kind.what);
        let rebuilt = self.rebuild(&what);
        match &kind.end {
            End::Refused(says, code) => {
                let rebuilt = rebuilt.exits(5).says(says).says("the catalog has 0 backups");
                drop(rebuilt.says(&self.name));
                self.keep_row_without_checksum();
                for run in self.all_fail(&what, *code) {
                    drop(run.says(says));
                }
            }
            End::Found(says, code) => {
                rebuilt.exits(0).says("the catalog has 1 backup");
                self.found(&what, says, *code);
            }
            End::Fine(paths) => {
                rebuilt.exits(0).says("the catalog has 1 backup");
                self.verify(&what).exits(0);
                let (restored, made) = self.restore(&what);
                assert_eq!(restored.code, Some(0), "{what}: {restored}");
                let (mut files, mut modes) = (Vec::new(), Vec::new());
                for line in &made {
                    let mut fields = line.split('\t');
                    let (path, kind, mode) = (fields.next(), fields.next(), fields.next());
                    if kind != Some("d") {
                        files.push(path.unwrap());
                    }
                    modes.extend(mode);
                }
                assert_eq!(files, *paths, "{what}");
                assert!(
                    modes.iter().all(|mode| mode.len() <= 3),
                    "{what}: setuid or so: {made:?}"
                );
                self.with_links(&what, &made, 0);
            }
            End::FineWithout(code) => {
                rebuilt.exits(0).says("the catalog has 1 backup");
                self.verify(&what).exits(0);
                let (restored, made) = self.restore(&what);
                assert_eq!(restored.code, Some(0), "{what}: {restored}");
                self.with_links(&what, &made, *code);
            }
        }
    }

    /// Only what reads contents sees it, or only what writes them.
    fn found(&self, what: &str, says: &str, code: i32) {
        if says.is_empty() {
            self.verify(what).exits(0);
            let (restored, made) = self.restore(what);
            assert!(made.is_empty(), "{what}: left {made:?}");
            assert_eq!(restored.code, Some(code), "{what}: {restored}");
        } else {
            for run in self.all_fail(what, code) {
                drop(run.says(says));
            }
        }
    }

    fn rebuild(&self, what: &str) -> Run {
        let state = self.app.backups().join(".catalog.json");
        for file in [self.app.history_path(), state, self.sidecar_path()] {
            let _ = std::fs::remove_file(file);
        }
        self.run(what, &["rebuild"])
    }

    /// The row that there was, without anything to compare the archive with.
    fn keep_row_without_checksum(&self) {
        let mut rows: Value = serde_json::from_str(&self.history).unwrap();
        rows[0]["sha256"] = Value::Null;
        rows[0]["size"] = 0.into();
        std::fs::write(self.app.history_path(), rows.to_string()).unwrap();
    }
}

/// Every fourth kind, from `first` on: four tests that run at the same time.
fn judge(first: usize) {
    let place = Place::new();
    let outside = place.app.path("outside");
    let mut wrong = Vec::new();
    let kinds = kinds(&place.name, outside.to_str().unwrap());
    for kind in kinds.iter().skip(first).step_by(4) {
        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            place.as_known(kind);
            place.as_unknown(kind);
        }));
        if judged.is_err() {
            wrong.push(kind.what.as_str());
        }
    }
    assert!(wrong.is_empty(), "see above for each of {wrong:#?}");
}

#[test]
fn the_first_quarter_does_no_harm_and_is_named() {
    judge(0);
}

#[test]
fn the_second_quarter_does_no_harm_and_is_named() {
    judge(1);
}

#[test]
fn the_third_quarter_does_no_harm_and_is_named() {
    judge(2);
}

#[test]
fn the_last_quarter_does_no_harm_and_is_named() {
    judge(3);
}

#[test]
fn what_an_archive_without_a_manifest_may_unpack_to_is_configured() {
    let place = Place::new();
    let zeros = [entry("static/z", vec![0; 20 << 20]).deflated()];
    std::fs::write(&place.archive, zip(&zeros).bytes).unwrap();
    place.rebuild("zeros").exits(0);
    place.verify("the default").exits(0);
    for (keys, fits) in [
        ("foreign_mib = 1\nforeign_ratio = 2", false),
        ("foreign_mib = 19\nforeign_ratio = 2", false),
        ("foreign_mib = 21\nforeign_ratio = 2", true),
        ("foreign_mib = 1\nforeign_ratio = 2000", true),
    ] {
        place.app.keys(&format!("[limits]\n{keys}"));
        let code = if fits { 0 } else { 5 };
        place.verify(keys).exits(code);
        let out = place.app.path("out");
        let restored = place.run(keys, &["restore", "latest", "--to", out.to_str().unwrap()]);
        if fits {
            restored.exits(0);
            std::fs::remove_dir_all(&out).unwrap();
        } else {
            restored
                .exits(10)
                .says("20971520 bytes")
                .says("limits.foreign_mib");
            assert!(!out.exists());
        }
    }
    for bad in ["foreign_mib = 0", "foreign_ratio = 0", "foreign_ratio = \"x\""] {
        place.app.keys(&format!("[limits]\n{bad}"));
        place
            .app
            .cofre(&["config", "check"])
            .exits(2)
            .says("limits.foreign_");
    }
}

#[test]
fn what_cofre_packed_to_almost_nothing_comes_back_whatever_the_ratio() {
    let app = App::new();
    app.keys("[limits]\nforeign_mib = 1\nforeign_ratio = 1\n");
    let sparse = std::fs::File::create(app.path("static/esparso.img")).unwrap();
    sparse.set_len(300 << 20).unwrap();
    let record = app.create();
    assert!(record["size"].as_u64().unwrap() < 1 << 20, "{record}");
    app.cofre(&["verify"]).exits(0);
    let back = app.restore("latest", "out").join("static/esparso.img");
    assert_eq!(std::fs::metadata(back).unwrap().len(), 300 << 20);
}

#[test]
fn a_restore_that_cannot_fit_says_what_it_needs_before_it_writes() {
    let place = Place::new();
    // Nobody has two petabytes; the manifest vouches for them, so that no other limit is in the way.
    let field = crate::support::zip::zip64_field(&[2 << 50]);
    let mut huge = entry("static/z", "").deflated();
    huge.size = Some(u32::MAX);
    huge.extra = field;
    let text = manifest(&place.name, std::slice::from_ref(&huge)).replace("4294967295", "2251799813685248");
    let entries = [entry("backup_info.json", text).deflated(), huge];
    std::fs::write(&place.archive, zip(&entries).bytes).unwrap();
    place.rebuild("two petabytes").exits(0);
    let (restored, made) = place.restore("two petabytes");
    assert!(made.is_empty());
    let restored = restored.exits(7).says("bytes, and ");
    restored
        .says(" need 225179981368")
        .says(" are free (")
        .says("--only");
}

#[test]
fn the_heaviest_cost_little_memory_and_do_not_keep_rebuild_from_the_others() {
    let place = Place::new();
    let other = place.app.backups().join("backup_20200101_020000_manual.zip");
    std::fs::write(&other, zip(&[entry("static/a.txt", "ola")]).bytes).unwrap();
    let heavy = [
        "100,000 times the same name",
        "a deeply nested manifest",
        "a row of twenty million blocks",
        "a name of 40 MiB",
    ];
    let kinds = kinds(&place.name, "/nowhere");
    let chosen: Vec<_> = kinds
        .iter()
        .filter(|kind| heavy.contains(&kind.what.as_str()))
        .collect();
    assert_eq!(chosen.len(), heavy.len());
    for kind in chosen {
        let what = &kind.what;
        std::fs::write(&place.archive, &kind.bytes).unwrap();
        let rebuilt = place.rebuild(what).exits(5).says("the catalog has 1 backup");
        drop(rebuilt.says(&place.name));
        place.verify(what).exits(0).says("backup_20200101_020000_manual");
        place.keep_row_without_checksum();
        for args in [&["verify"][..], &["restore", "latest"], &["rebuild"]] {
            let (run, peak) = measured(&place.app, args);
            assert_eq!(run.code, Some(5), "{what}: {run}");
            assert!(peak < 512, "{what}: {args:?} took {peak} MiB");
        }
    }
}

#[test]
fn a_hostile_manifest_costs_little_memory_outside_of_the_sandbox_too() {
    let place = Place::new();
    let file = [entry("static/a.txt", "ola")];
    let many = format!(r#""skipped":[],"x":[{}[]],"entries""#, "[],".repeat(10 << 20));
    let text = manifest(&place.name, &file).replace(r#""skipped":[],"entries""#, &many);
    let entries = [entry("backup_info.json", text).deflated(), file[0].clone()];
    std::fs::write(&place.archive, zip(&entries).bytes).unwrap();
    place.rebuild("a large manifest").exits(0);
    let (run, peak) = measured(
        &place.app,
        &[
            "restore",
            "latest",
            "--to",
            place.app.path("out").to_str().unwrap(),
        ],
    );
    drop(run.exits(0));
    assert!(peak < 512, "{peak} MiB");
    assert!(place.app.path("out/static/a.txt").exists());
}
