//! A folder with all that is in it, as a value that can be compared.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What is at one path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Folder {
        mode: u32,
    },
    File {
        mode: u32,
        mtime: (i64, i64),
        content: Vec<u8>,
    },
    Link(String),
}

/// Everything below `root` by its relative path; `root` itself too where it is no folder.
pub(crate) fn tree(root: &Path) -> BTreeMap<String, Node> {
    let mut nodes = BTreeMap::new();
    add(root, String::new(), &mut nodes);
    nodes.retain(|path, node| !path.is_empty() || !matches!(node, Node::Folder { .. }));
    nodes
}

fn add(path: &Path, name: String, nodes: &mut BTreeMap<String, Node>) {
    let meta = path
        .symlink_metadata()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mode = meta.mode() & 0o7777;
    let node = if meta.is_symlink() {
        Node::Link(std::fs::read_link(path).unwrap().to_string_lossy().into_owned())
    } else if meta.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let child = entry.file_name().to_string_lossy().into_owned();
            let below = if name.is_empty() {
                child
            } else {
                format!("{name}/{child}")
            };
            add(&entry.path(), below, nodes);
        }
        Node::Folder { mode }
    } else {
        let content = std::fs::read(path).unwrap();
        // A single file is as old as the run that made it.
        let mtime = if name.is_empty() {
            (0, 0)
        } else {
            (meta.mtime(), meta.mtime_nsec())
        };
        Node::File { mode, mtime, content }
    };
    nodes.insert(name, node);
}

/// The same without modification times.
pub(crate) fn timeless(mut nodes: BTreeMap<String, Node>) -> BTreeMap<String, Node> {
    for node in nodes.values_mut() {
        if let Node::File { mtime, .. } = node {
            *mtime = (0, 0);
        }
    }
    nodes
}

/// The first thing that differs; none when the trees are the same.
pub(crate) fn difference(a: &BTreeMap<String, Node>, b: &BTreeMap<String, Node>) -> Option<String> {
    let paths = a.keys().chain(b.keys());
    let mut differing = paths.filter(|path| a.get(*path) != b.get(*path));
    differing.next().cloned()
}
