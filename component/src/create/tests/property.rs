//! Whatever a tree looks like, what is restored from its backup is the tree: contents, kinds and targets on the
//! disk, modes and times in the manifest, with each compression and any number of workers.
//!
//! Many more cases: `PROPTEST_CASES=20000 cargo test --release -p cofre-component property`.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::spread::spread_out;
use super::*;
use crate::archive::BLOCK;
use crate::entries::entries;
use crate::fs::TARGET;
use crate::types::RestoreRequest;

/// What lies at a path of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Folder,
    /// So many bytes of so many values.
    File {
        length: u64,
        values: u8,
    },
    Link(String),
}

/// A path, what is there, its mode and its time.
type Planned = (Vec<String>, Node, u32, i64);

fn names() -> impl Strategy<Value = String> {
    let odd = select(vec![
        " ",
        "a ",
        ".a",
        "...",
        "-rf",
        "*",
        "[a]",
        "a\\b",
        "C:",
        "a:b",
        "\u{202e}gpj",
        "é",
        "e\u{301}",
        "日本",
        "\n",
        "\u{1b}[31m",
        "\u{7f}",
        "\u{feff}",
        "CON",
        "a.zip",
        "backup_info.json",
        "\u{10ffff}",
        "'\"$(x)`",
    ]);
    prop_oneof![
        4 => select(vec!["a", "b", "c", "d"]).prop_map(str::to_owned),
        3 => odd.prop_map(str::to_owned),
        2 => "[^/\u{0}]{1,20}",
        1 => "[a-z]{255}",
    ]
    .prop_filter("what no system takes", |name| {
        name != "." && name != ".." && name.len() <= 255
    })
}

fn nodes() -> impl Strategy<Value = Node> {
    let border = select(vec![
        65_535,
        65_536,
        65_537,
        BLOCK - 1,
        BLOCK,
        BLOCK + 1,
        2 * BLOCK,
        2 * BLOCK + 1,
    ]);
    let length = prop_oneof![12 => 0..300_u64, 6 => 300..70_000_u64, 1 => border];
    prop_oneof![
        2 => Just(Node::Folder),
        6 => (length, 1..=255_u8).prop_map(|(length, values)| Node::File { length, values }),
        1 => vec(names(), 1..4).prop_map(|parts| Node::Link(parts.join("/"))),
        1 => select(vec!["..", "../../..", "/", "/etc/passwd", "a", "."]).prop_map(|t| Node::Link(t.to_owned())),
    ]
}

fn trees() -> impl Strategy<Value = Vec<Planned>> {
    // Before 1970, within a second, and beyond what a ZIP's own fields hold.
    let time = prop_oneof![
        4 => 1_500_000_000_000_000_000..1_700_000_000_000_000_000_i64,
        1 => -3_000_000_000_000_000_000..8_000_000_000_000_000_000_i64,
    ];
    vec((vec(names(), 1..5), nodes(), 0..=0o7777_u32, time), 1..15)
}

fn content(length: u64, values: u8) -> Vec<u8> {
    let mut x = length | 1;
    (0..length)
        .map(|_| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (x >> 56).to_le_bytes()[0] % values
        })
        .collect()
}

/// Makes what fits into the tree and gives what was seen of it, as a host sees it.
fn make(root: &Path, plan: &[Planned]) -> Vec<Observation> {
    let mut seen: BTreeMap<String, Observation> = BTreeMap::new();
    for (parts, node, mode, time) in plan {
        let path = root.join(parts.join("/"));
        // A link on the way leads out of the tree, and may lead to the disk that the tests run on.
        let through_a_link = (1..parts.len()).any(|n| root.join(parts[..n].join("/")).is_symlink());
        if path.as_os_str().len() > 1_000
            || through_a_link
            || disk::create_dir_all(path.parent().unwrap()).is_err()
        {
            continue;
        }
        let kind = match node {
            Node::Folder if disk::create_dir(&path).is_ok() => Kind::Directory,
            Node::File { length, values } if !path.exists() && !path.is_symlink() => {
                disk::write(&path, content(*length, *values)).unwrap();
                let time = if *time < 0 {
                    SystemTime::UNIX_EPOCH - Duration::from_nanos(time.unsigned_abs())
                } else {
                    SystemTime::UNIX_EPOCH + Duration::from_nanos(time.unsigned_abs())
                };
                File::options()
                    .write(true)
                    .open(&path)
                    .unwrap()
                    .set_modified(time)
                    .unwrap();
                Kind::File
            }
            Node::Link(target) if symlink(target, &path).is_ok() => Kind::Symlink(target.clone()),
            _ => continue,
        };
        let stat = disk::symlink_metadata(&path).unwrap();
        seen.insert(
            parts.join("/"),
            Observation {
                size: stat.size(),
                mtime_ns: Some(stat.mtime() * 1_000_000_000 + stat.mtime_nsec()),
                ctime_ns: Some(stat.ctime() * 1_000_000_000 + stat.ctime_nsec()),
                inode: Some(stat.ino()),
                mode: Some(*mode),
                ..Observation::new(parts.join("/"), kind)
            },
        );
    }
    // Folders on the way, which nobody planned.
    for path in seen.keys().cloned().collect::<Vec<_>>() {
        for (at, _) in path.match_indices('/') {
            let folder = path[..at].to_owned();
            seen.entry(folder.clone())
                .or_insert_with(|| Observation::new(folder, Kind::Directory));
        }
    }
    seen.into_values().collect()
}

/// Every path below `folder`, with its content.
fn on_disk(folder: &Path) -> BTreeMap<PathBuf, (Node, Vec<u8>)> {
    let mut out = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in disk::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let kind = disk::symlink_metadata(&path).unwrap().file_type();
            let thing = if kind.is_symlink() {
                let target = disk::read_link(&path).unwrap();
                (Node::Link(target.to_str().unwrap().to_owned()), vec![])
            } else if kind.is_dir() {
                folders.push(path.clone());
                (Node::Folder, vec![])
            } else {
                (Node::File { length: 0, values: 0 }, disk::read(&path).unwrap())
            };
            out.insert(path.strip_prefix(folder).unwrap().to_owned(), thing);
        }
    }
    out
}

fn is_absolute(thing: &Node) -> bool {
    matches!(thing, Node::Link(target) if target.starts_with('/'))
}

fn comes_back_as_it_was(
    plan: &[Planned],
    (compression, level): (Compression, u8),
    workers: usize,
) -> std::result::Result<(), TestCaseError> {
    let place = Place::new();
    let seen = make(&place.path("s"), plan);
    if seen.iter().all(|o| o.kind == Kind::Directory) {
        return Ok(()); // refused as empty
    }
    let mut request = request();
    request.sources[0].inventory = Inventory::Observed(seen.clone());
    (request.compression, request.level) = (compression, level);
    let roots = place.roots.clone().with(TARGET, place.path("out"));
    let out = 2 * workers;
    let Outcome::Created(report) = spread_out(&roots, Request::Create(request), workers, out) else {
        panic!()
    };
    prop_assert_eq!((report.skips, report.changed), (vec![], vec![]));
    let id = report.backup.record.id;

    let verify = Request::Verify { id, quick: false };
    let Outcome::Verified(report) = spread_out(&roots, verify, workers, out) else {
        panic!()
    };
    prop_assert_eq!(report.problems, Vec::<String>::new());

    let restore = Request::Restore(RestoreRequest { id, only: vec![] });
    let Outcome::Restored(report) = spread_out(&roots, restore, workers, out) else {
        panic!()
    };
    let mut expected = on_disk(&place.path("s"));
    let all = expected.len();
    expected.retain(|_, (node, _)| !is_absolute(node));
    prop_assert_eq!(report.links_left_out.len(), all - expected.len());
    prop_assert!(on_disk(&place.path("out/s")) == expected, "another tree");

    let listed = entries(&roots, id, None, u32::MAX).unwrap();
    let listed: BTreeMap<&str, _> = listed.iter().map(|e| (e.path.as_str(), e)).collect();
    for seen in &seen {
        let entry = listed[format!("s/{}", seen.path).as_str()];
        prop_assert_eq!(&entry.kind, &seen.kind);
        prop_assert_eq!(
            (entry.mode, entry.mtime_ns),
            (seen.mode, seen.mtime_ns),
            "{}",
            &seen.path
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(
        std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(64)) })]

    #[test]
    fn property_a_tree_comes_back_as_it_was(
        plan in trees(),
        packing in select(vec![(Compression::Deflate, 1), (Compression::Deflate, 6), (Compression::Zstd, 3), (Compression::Store, 0)]),
        workers in 1..5_usize,
    ) {
        comes_back_as_it_was(&plan, packing, workers)?;
    }
}
