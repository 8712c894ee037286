//! Names, links and modes that lead out of the target, or to something else than a file.

use super::*;

pub(super) fn names(outside: &str) -> Vec<Kind> {
    let unsafe_ = |name: &str, why: &str| {
        refused(
            &format!("the name {name:?}"),
            old([entry(name, if name.ends_with('/') { "" } else { "ESCAPOU" })]),
            why,
        )
    };
    let absolute = format!("{outside}/novo.txt");
    let mut kinds = vec![
        unsafe_("../novo.txt", "it has a component `..`"),
        unsafe_("../../outside/novo.txt", "it has a component `..`"),
        unsafe_("static/../../novo.txt", "it has a component `..`"),
        unsafe_("static/..", "it has a component `..`"),
        unsafe_("../", "it has a component `..`"),
        unsafe_(&absolute, "it is absolute"),
        unsafe_("//server/share/x", "it is absolute"),
        unsafe_("./static/b.txt", "it has a component `.`"),
        unsafe_("static//b.txt", "it has an empty component"),
        unsafe_("static/b//", "it has an empty component"),
        unsafe_("", "it is empty"),
        unsafe_("/", "it is "),
        unsafe_("static/a\0.txt", "it contains a NUL"),
        unsafe_("..\\..\\outside\\novo.txt", "it contains a backslash"),
        unsafe_("static\\..\\..\\novo.txt", "it contains a backslash"),
        unsafe_("C:\\Windows\\novo.txt", "it contains a backslash"),
        unsafe_("C:/Windows/novo.txt", "it starts with a drive letter"),
        unsafe_("c:novo.txt", "it starts with a drive letter"),
        refused(
            "a name that is not UTF-8",
            old([entry(b"static/\xe9.txt", "x")]),
            "not UTF-8",
        ),
    ];
    let loud = format!("{LOUD}/../x");
    kinds.push(refused(
        "an unsafe name with control characters",
        old([entry(&loud, "x")]),
        &format!("{SHOWN}/../x"),
    ));
    let long = format!("static/{}", "x".repeat(60_000));
    kinds.push(kind(
        "a name longer than any file system's",
        old([entry(&long, "x")]),
        End::Found(String::new(), 10),
    ));
    kinds
}

pub(super) fn twins() -> Vec<Kind> {
    let twice = |a: Entry, b: Entry| old([a, b]);
    vec![
        refused(
            "a name twice",
            twice(entry("static/b", "PRIMEIRO"), entry("static/b", "SEGUNDO")),
            "the entry static/b is there twice",
        ),
        refused(
            "a loud name twice",
            twice(entry(LOUD, "1"), entry(LOUD, "2")),
            &format!("the entry {SHOWN} is there twice"),
        ),
        refused(
            "two manifests",
            old([entry("backup_info.json", INFO)]),
            "the entry backup_info.json is there twice",
        ),
        refused(
            "a folder and a file",
            twice(entry("static/p/", ""), entry("static/p", "x")),
            "the entry static/p is there twice",
        ),
        refused(
            "a file in a file",
            twice(entry("static/p", "x"), entry("static/p/q/r.txt", "x")),
            "the entry static/p is not a folder, but static/p/q/r.txt lies in it",
        ),
        fine(
            "twins but for case",
            old([entry("static/A.txt", "1"), entry("Static/a.txt", "2")]),
            &["Static/a.txt", "backup_info.json", "static/A.txt", "static/a.txt"],
        ),
        refused(
            "100,000 times the same name",
            crowd(|_| "static/igual".to_owned()),
            "the entry static/igual is there twice",
        ),
    ]
}

/// 100,000 entries, which take a ZIP64 end record.
fn crowd(name: impl Fn(usize) -> String) -> Zip {
    let entries: Vec<_> = (0..100_000).map(|n| entry(name(n), "")).collect();
    let z = zip(&entries);
    let (start, end) = (z.central[0] as u64, z.end as u64);
    z.zip64([100_000, 100_000, end - start, start])
}

pub(super) fn links(outside: &str) -> Vec<Kind> {
    let through = |target: &str| old([link("static/d", target), entry("static/d/novo.txt", "ESCAPOU")]);
    let lies_in = "the entry static/d is not a folder, but static/d/novo.txt lies in it";
    let long = format!("{}../../outside", "a/../".repeat(1_000));
    vec![
        refused("a file through an absolute link", through(outside), lies_in),
        refused(
            "a file through a relative link",
            through("../../outside"),
            lies_in,
        ),
        refused("a file through a link to its own folder", through("."), lies_in),
        refused(
            "a file in the place of a link",
            old([
                link("static/f", format!("{outside}/alvo.txt")),
                entry("static/f", "ESCAPOU"),
            ]),
            "the entry static/f is there twice",
        ),
        refused(
            "a link as manifest",
            zip(&[link("backup_info.json", "/etc/passwd")]),
            "the entry backup_info.json is not a regular file",
        ),
        unsupported(
            "a link with a folder's name",
            old([link("static/d/", "..")]),
            "static/d/ is neither file, folder nor link",
        ),
        found(
            "a link with a target that is too long",
            old([link("static/l", long)]),
            "entry static/l: its target is longer than 4095 bytes",
        ),
        found(
            "a link without a target",
            old([link("static/l", "")]),
            "entry static/l: its target is empty or contains a NUL",
        ),
        found(
            "a link with a NUL",
            old([link("static/l", "a\0b")]),
            "entry static/l: its target is empty or contains a NUL",
        ),
        fine(
            "an absolute link is left out",
            old([link("static/l", outside)]),
            PLAIN,
        ),
        fine(
            "a device as a link's target is left out",
            old([link("static/z", "/dev/zero")]),
            PLAIN,
        ),
        fine(
            "a relative link out is left out",
            old([link("static/l", "../../outside")]),
            PLAIN,
        ),
        fine(
            "a way out over another link is left out",
            old([link("static/p", "."), link("static/q", "p/../../outside")]),
            &["backup_info.json", "static/a.txt", "static/p"],
        ),
        fine(
            "links that stay inside, in a circle",
            old([link("static/p", "q"), link("static/q", "../static/p")]),
            &["backup_info.json", "static/a.txt", "static/p", "static/q"],
        ),
    ]
}

pub(super) fn modes() -> Vec<Kind> {
    let neither = "static/d is neither file, folder nor link";
    let of = |mode| {
        old([Entry {
            mode,
            ..entry("static/d", "")
        }])
    };
    let mut kinds: Vec<_> = [
        ("block device", 0o060_660),
        ("character device", 0o020_666),
        ("FIFO", 0o010_644),
        ("socket", 0o140_755),
        ("no type that there is", 0o170_000),
    ]
    .iter()
    .map(|&(what, mode)| unsupported(what, of(mode), neither))
    .collect();
    kinds.push(refused(
        "a folder with content",
        old([Entry {
            size: Some(1),
            packed_size: Some(1),
            ..entry("static/d/", "x")
        }]),
        "the folder static/d/ has content",
    ));
    kinds.push(fine(
        "setuid",
        of(0o106_755),
        &["backup_info.json", "static/a.txt", "static/d"],
    ));
    kinds
}
