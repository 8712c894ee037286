//! Manifests that lie, or are none.

use super::*;

pub(super) fn manifests(name: &str) -> Vec<Kind> {
    let entries = || {
        vec![
            entry("static/a.txt", "ola"),
            entry("static/b.txt", "bom dia").deflated(),
            link("static/l", "a.txt"),
        ]
    };
    let with = |text: String| {
        let mut all = entries();
        all.insert(0, entry("backup_info.json", text).deflated());
        zip(&all)
    };
    let good = || manifest(name, &entries());
    let swapped = |from: &str, to: &str| {
        let text = good();
        assert!(text.contains(from), "{from} in {text}");
        with(text.replacen(from, to, 1))
    };
    let row = r#"{"path":"static/a.txt","kind":"file","size":3,"mode":"0644","crc32":"2b7b5131"},"#;
    let crc = format!("{:08x}", entry("", "ola").true_crc());
    let first = row.replace("2b7b5131", &crc);
    let damaged = "backup_info.json is damaged: ";
    let absolute = |links: &[(&str, &str)]| {
        let mut all = entries();
        all.insert(0, entry("pasta/c.txt", "em uma pasta"));
        let rows: String = links
            .iter()
            .map(|(path, target)| {
                format!(r#"{{"path":"{path}","kind":"absolute-symlink","size":1,"target":"{target}"}},"#)
            })
            .collect();
        let text = manifest(name, &all).replacen(r#""entries":["#, &format!(r#""entries":[{rows}"#), 1);
        all.insert(0, entry("backup_info.json", text).deflated());
        zip(&all)
    };
    let mut lies = vec![entry("static/z", vec![0; 20 << 20]).deflated()];
    lies[0].size = Some(2_000_000_000);
    let lying = manifest(name, &lies);
    lies.insert(0, entry("backup_info.json", lying).deflated());
    vec![
        fine(
            "a manifest that is right",
            with(good()),
            &["backup_info.json", "static/a.txt", "static/b.txt", "static/l"],
        ),
        fine(
            "no manifest at all",
            zip(&[entry("static/a.txt", "ola")]),
            &["static/a.txt"],
        ),
        found(
            "another size",
            swapped(r#""size":3"#, r#""size":4"#),
            "static/a.txt has size 4 in the manifest and 3 in the archive",
        ),
        found(
            "another CRC",
            swapped(&crc, "00000000"),
            "static/a.txt has CRC 00000000 in the manifest",
        ),
        found(
            "another mode",
            swapped("0644", "4755"),
            "static/a.txt has mode 4755 in the manifest and 0644 in the archive",
        ),
        found(
            "another kind",
            swapped(r#""kind":"file""#, r#""kind":"directory""#),
            "static/a.txt has kind directory in the manifest and file in the archive",
        ),
        found(
            "a kind with control characters",
            swapped(r#""kind":"file""#, r#""kind":"\u001b[2J\nINJECTED""#),
            r"kind \u{1b}[2J\nINJECTED in the manifest",
        ),
        found(
            "another target",
            swapped(r#""target":"a.txt""#, r#""target":"/etc/passwd""#),
            "static/l has target /etc/passwd in the manifest and another in the archive",
        ),
        found(
            "a row too few",
            swapped(&first, ""),
            "static/a.txt is in the archive, but not in the manifest",
        ),
        found(
            "a row too many",
            swapped(
                &first,
                &format!(
                    "{first}{}",
                    first.replace("static/a.txt", r"static/\u001b[2J\nINJECTED")
                ),
            ),
            &format!("{SHOWN} is in the manifest, but not in the archive"),
        ),
        found(
            "a row twice",
            swapped(&first, &format!("{first}{first}")),
            "static/a.txt is in the manifest twice",
        ),
        found(
            "another count",
            swapped(r#""file_count":2"#, r#""file_count":7"#),
            "the manifest counts 7 files and lists 2",
        ),
        found(
            "a recorded link that leads out",
            swapped(
                &first,
                &format!(
                    r#"{first}{{"path":"../../outside/l","kind":"absolute-symlink","size":1,"target":"/etc"}},"#
                ),
            ),
            "../../outside/l is recorded as a link, but not a safe path",
        ),
        found(
            "a recorded link whose target has a NUL",
            absolute(&[("static/abs", "/a\\u0000b")]),
            "static/abs is recorded as an absolute link, but has a target that no link can have",
        ),
        found(
            "a recorded link whose target is too long",
            absolute(&[("static/abs", &format!("/{}", "x".repeat(4_096)))]),
            "static/abs is recorded as an absolute link, but has a target that no link can have",
        ),
        found(
            "a recorded link twice",
            absolute(&[("static/abs", "/etc"), ("static/abs", "/tmp")]),
            "static/abs is recorded as an absolute link twice",
        ),
        found(
            "a recorded link in the place of a folder",
            absolute(&[("pasta", "/tmp")]),
            "pasta is not a folder, but pasta/c.txt lies in it",
        ),
        found(
            "a recorded link in a file",
            absolute(&[("static/a.txt/abs", "/tmp")]),
            "static/a.txt is not a folder, but static/a.txt/abs lies in it",
        ),
        found(
            "a recorded link in a link",
            absolute(&[("static/l/abs", "/tmp")]),
            "static/l is not a folder, but static/l/abs lies in it",
        ),
        found(
            "a recorded link in a recorded link",
            absolute(&[("abs/x/y", "/tmp"), ("abs", "/etc")]),
            "abs is not a folder, but abs/x/y lies in it",
        ),
        kind(
            "a recorded link with a name longer than any file system's",
            absolute(&[(&format!("static/{}", "x".repeat(300)), "/etc")]),
            End::FineWithout(10),
        ),
        fine(
            "recorded links, also in a folder that has nothing else",
            absolute(&[("static/abs", "/etc"), ("so/links/abs", "/tmp"), ("so/abs", "/")]),
            &[
                "backup_info.json",
                "pasta/c.txt",
                "static/a.txt",
                "static/b.txt",
                "static/l",
            ],
        ),
        found(
            "blocks that can't be",
            swapped(r#","crc32""#, r#","blocks":[1,2],"crc32""#),
            "static/a.txt has blocks in the manifest that its content in the archive can't have",
        ),
        found(
            "a manifest that lies with the headers",
            zip(&lies),
            "entry static/z: it has 20971520 bytes, its header says 2000000000",
        ),
        refused("a manifest that is not JSON", with("olá".to_owned()), damaged),
        refused("an empty manifest", with(String::new()), damaged),
        refused("a manifest cut off", with(good()[..200].to_owned()), damaged),
        refused("a manifest and more", with(format!("{}{{}}", good())), damaged),
        refused(
            "rows twice",
            swapped(r#","entries":["#, r#","entries":[],"entries":["#),
            damaged,
        ),
        refused(
            "a deeply nested manifest",
            with(format!("{}{}", r#"{"format":1,"x":"#, "[".repeat(1_000_000))),
            damaged,
        ),
        refused(
            "a manifest of a run that failed",
            swapped(r#""completed""#, r#""failed""#),
            "its manifest's status is that of a run without an archive",
        ),
        unsupported(
            "a manifest of the future",
            swapped(r#"{"format":1"#, r#"{"format":2"#),
            "it has format 2, this version reads 1",
        ),
        refused(
            "a manifest of 4 GiB",
            zip(&[Entry {
                size: Some(u32::MAX - 1),
                ..entry("backup_info.json", "{}").deflated()
            }]),
            "the manifest is larger than that of this many entries can be",
        ),
        refused(
            "a row of twenty million blocks",
            swapped(
                r#","crc32""#,
                &format!(r#","blocks":[{}1],"crc32""#, "1,".repeat(20 << 20)),
            ),
            "more blocks than a file can have",
        ),
        refused(
            "a name of 40 MiB",
            swapped(name, &"x".repeat(40 << 20)),
            "too long to be real",
        ),
    ]
}
