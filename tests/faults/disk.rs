//! A disk that keeps only what was synced: what a trace did is played into it, and it tells what may be left after the
//! power is cut.
//!
//! The worst that POSIX allows: content is lost unless the file was synced after it was written; a name that was made,
//! changed or removed is as before unless its folder was synced, and of several such changes any may have got through.

use std::collections::BTreeMap;
use std::path::Path;

use crate::injector::Call;
use crate::tree::{Node, tree};

const O_CREAT: u64 = 0o100;
const O_TRUNC: u64 = 0o1000;

/// The scratch folder of a run. Of what lies there only files are played, for none comes back to it after a crash, but an
/// archive that was fetched goes from there to the backups.
const STAGING: &str = ".cofre/staging/";

/// Up to so many changes under way, every selection of them is tried; of more, each alone and all but each.
const EVERY_SELECTION: usize = 5;

#[derive(Debug, Clone)]
enum Inode {
    Folder {
        mode: u32,
        durable: BTreeMap<String, usize>,
    },
    File {
        mode: u32,
        durable: Vec<u8>,
        now: Vec<u8>,
    },
    Link(String),
}

impl Inode {
    fn file(content: Vec<u8>, mode: u32) -> Self {
        Self::File {
            mode,
            durable: content.clone(),
            now: content,
        }
    }

    /// Plays a call on the content of a file.
    fn play(&mut self, call: &Call) {
        let Self::File { durable, now, .. } = self else {
            panic!("{call}: no such file");
        };
        let length = |bytes: u64| usize::try_from(bytes).unwrap();
        match call.name.as_str() {
            "open" if call.length & O_TRUNC == 0 => {}
            "open" => now.clear(),
            "truncate" => now.resize(length(call.length), 0),
            "fsync" => durable.clone_from(now),
            _ => {
                assert_eq!(
                    call.data.len() as i64,
                    call.result,
                    "{call}: the log has all that was written"
                );
                let at = usize::try_from(call.offset).unwrap_or(now.len());
                let end = at + call.data.len();
                now.resize(now.len().max(end), 0);
                now[at..end].copy_from_slice(&call.data);
            }
        }
    }
}

/// A change of one folder that is not durable yet.
#[derive(Debug, Clone)]
struct Change {
    folder: usize,
    remove: Option<String>,
    set: Option<(String, usize)>,
}

/// What is left after a crash: relative paths, without modification times.
pub(crate) type State = BTreeMap<String, Node>;

/// The disk.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    root: String,
    inodes: Vec<Inode>,
    pending: Vec<Change>,
    /// Files in the scratch folder.
    staged: BTreeMap<String, Inode>,
}

impl Disk {
    /// A disk with what is below `root`, all of it durable.
    pub(crate) fn of(root: &Path) -> Self {
        let folder = |mode| Inode::Folder {
            mode,
            durable: BTreeMap::new(),
        };
        let mut disk = Self {
            root: root.to_str().expect("UTF-8").to_owned(),
            inodes: vec![folder(0o700)],
            pending: Vec::new(),
            staged: BTreeMap::new(),
        };
        // A folder's own path comes before what is in it.
        for (path, node) in tree(root) {
            let inode = match node {
                Node::Folder { mode } => folder(mode),
                Node::File { mode, content, .. } => Inode::file(content, mode),
                Node::Link(target) => Inode::Link(target),
            };
            disk.add(&path, inode);
        }
        disk.sync_all();
        disk
    }

    /// Plays one call that returned well.
    pub(crate) fn play(&mut self, call: &Call) {
        let Some(path) = self.relative(&call.path) else {
            return;
        };
        if path.starts_with(STAGING) {
            return self.play_staged(path, call);
        }
        let (_, name) = split(&path);
        match call.name.as_str() {
            "open" => self.open(&path, call),
            "write" | "copy" | "truncate" => match self.inode(&path) {
                Some(inode) => inode.play(call),
                None => panic!("{call}: no such file"),
            },
            "chmod" => match self.inode(&path) {
                Some(Inode::File { mode, .. } | Inode::Folder { mode, .. }) => {
                    *mode = u32::try_from(call.length).unwrap();
                }
                _ => panic!("{call}: no such file"),
            },
            "mkdir" => self.add(
                &path,
                Inode::Folder {
                    mode: 0o700,
                    durable: BTreeMap::new(),
                },
            ),
            "symlink" => self.add(&path, Inode::Link(call.other.clone())),
            "unlink" => {
                let folder = self.folder_of(&path);
                self.pending.push(Change {
                    folder,
                    remove: Some(name.to_owned()),
                    set: None,
                });
            }
            "rename" => self.rename(&path, call),
            "fsync" => self.sync(&path, call),
            "syncfs" => self.sync_all(),
            // Owners and times are no matter of life and death.
            "utimens" | "chown" | "xattr" => {}
            _ => panic!("{call} is not known to the model of the disk"),
        }
    }

    fn play_staged(&mut self, path: String, call: &Call) {
        match call.name.as_str() {
            "open" | "write" | "copy" | "truncate" | "fsync" => {
                let file = self.staged.entry(path);
                file.or_insert_with(|| Inode::file(Vec::new(), 0o600)).play(call);
            }
            "unlink" => drop(self.staged.remove(&path)),
            "rename" => {
                let (file, to) = (self.staged.remove(&path), self.relative(&call.other));
                let (Some(file), Some(to)) = (file, to) else {
                    return;
                };
                if to.starts_with(STAGING) {
                    self.staged.insert(to, file);
                } else {
                    self.add(&to, file);
                }
            }
            _ => {}
        }
    }

    fn open(&mut self, path: &str, call: &Call) {
        if self.find(path).is_none() {
            assert!(call.length & O_CREAT != 0, "{call}, which was never made");
            self.add(path, Inode::file(Vec::new(), 0o600));
        }
        if let Some(inode @ Inode::File { .. }) = self.inode(path) {
            inode.play(call);
        }
    }

    fn rename(&mut self, path: &str, call: &Call) {
        let to = self
            .relative(&call.other)
            .unwrap_or_else(|| panic!("{call} leaves the folder"));
        let ino = self.find(path).unwrap_or_else(|| panic!("{call}: no such file"));
        let (from_folder, to_folder) = (self.folder_of(path), self.folder_of(&to));
        let remove = Some(split(path).1.to_owned());
        let set = Some((split(&to).1.to_owned(), ino));
        if from_folder == to_folder {
            self.pending.push(Change {
                folder: to_folder,
                remove,
                set,
            });
        } else {
            self.pending.push(Change {
                folder: to_folder,
                remove: None,
                set,
            });
            self.pending.push(Change {
                folder: from_folder,
                remove,
                set: None,
            });
        }
    }

    fn sync(&mut self, path: &str, call: &Call) {
        let Some(ino) = self.find(path) else { return };
        match &mut self.inodes[ino] {
            file @ Inode::File { .. } => file.play(call),
            Inode::Folder { .. } => self.settle(|change| change.folder == ino),
            Inode::Link(_) => {}
        }
    }

    fn sync_all(&mut self) {
        self.settle(|_| true);
        for inode in self.inodes.iter_mut().chain(self.staged.values_mut()) {
            if let Inode::File { durable, now, .. } = inode {
                durable.clone_from(now);
            }
        }
    }

    /// Makes the changes that `which` takes durable.
    fn settle(&mut self, which: impl Fn(&Change) -> bool) {
        let (done, left): (Vec<_>, Vec<_>) = self.pending.drain(..).partition(which);
        self.pending = left;
        for change in &done {
            if let Inode::Folder { durable, .. } = &mut self.inodes[change.folder] {
                apply(durable, change);
            }
        }
    }

    fn add(&mut self, path: &str, inode: Inode) {
        let folder = self.folder_of(path);
        self.inodes.push(inode);
        let set = Some((split(path).1.to_owned(), self.inodes.len() - 1));
        self.pending.push(Change {
            folder,
            remove: None,
            set,
        });
    }

    fn relative(&self, path: &str) -> Option<String> {
        let rest = path.strip_prefix(&self.root)?;
        Some(rest.trim_start_matches('/').to_owned())
    }

    fn folder_of(&self, path: &str) -> usize {
        let (parent, _) = split(path);
        self.find(parent).unwrap_or_else(|| panic!("no folder {parent}"))
    }

    fn inode(&mut self, path: &str) -> Option<&mut Inode> {
        let ino = self.find(path)?;
        self.inodes.get_mut(ino)
    }

    /// What has a path now, for those who run.
    fn find(&self, path: &str) -> Option<usize> {
        let all: Vec<&Change> = self.pending.iter().collect();
        path.split('/')
            .filter(|name| !name.is_empty())
            .try_fold(0, |at, name| self.entries(at, &all).get(name).copied())
    }

    fn entries(&self, folder: usize, selected: &[&Change]) -> BTreeMap<String, usize> {
        let Inode::Folder { durable, .. } = &self.inodes[folder] else {
            return BTreeMap::new();
        };
        let mut entries = durable.clone();
        for change in selected.iter().filter(|change| change.folder == folder) {
            apply(&mut entries, change);
        }
        entries
    }

    /// Everything that may be left after a crash now.
    pub(crate) fn states(&self) -> Vec<State> {
        let count = self.pending.len();
        let selections: Vec<Vec<bool>> = if count <= EVERY_SELECTION {
            (0..1_usize << count)
                .map(|bits| (0..count).map(|at| bits >> at & 1 == 1).collect())
                .collect()
        } else {
            let single =
                |chosen: bool| move |one: usize| (0..count).map(|at| (at == one) == chosen).collect();
            let all = [vec![false; count], vec![true; count]];
            all.into_iter()
                .chain((0..count).map(single(true)))
                .chain((0..count).map(single(false)))
                .collect()
        };
        let mut states = Vec::new();
        for selection in selections {
            let selected: Vec<&Change> = self
                .pending
                .iter()
                .zip(selection)
                .filter_map(|(change, taken)| taken.then_some(change))
                .collect();
            for half in [false, true] {
                let mut state = State::new();
                self.render(0, "", &selected, half, &mut state);
                states.push(state);
            }
        }
        states
    }

    fn render(&self, at: usize, path: &str, selected: &[&Change], half: bool, state: &mut State) {
        for (name, ino) in self.entries(at, selected) {
            let below = if path.is_empty() {
                name
            } else {
                format!("{path}/{name}")
            };
            let node = match &self.inodes[ino] {
                Inode::Link(target) => Node::Link(target.clone()),
                Inode::Folder { mode, .. } => {
                    self.render(ino, &below, selected, half, state);
                    Node::Folder { mode: *mode }
                }
                Inode::File { mode, durable, now } => {
                    let torn = || now[..now.len() / 2].to_vec();
                    let content = if half && durable != now {
                        torn()
                    } else {
                        durable.clone()
                    };
                    Node::File {
                        mode: *mode,
                        mtime: (0, 0),
                        content,
                    }
                }
            };
            state.insert(below, node);
        }
    }
}

/// Puts a state into an empty folder.
pub(crate) fn lay_out(state: &State, root: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    for (path, node) in state {
        let path = root.join(path);
        let mode = match node {
            Node::Link(target) => {
                std::os::unix::fs::symlink(target, &path).unwrap();
                continue;
            }
            Node::Folder { mode } => {
                std::fs::create_dir(&path).unwrap();
                mode
            }
            Node::File { mode, content, .. } => {
                std::fs::write(&path, content).unwrap();
                mode
            }
        };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(*mode)).unwrap();
    }
}

fn apply(entries: &mut BTreeMap<String, usize>, change: &Change) {
    if let Some(name) = &change.remove {
        entries.remove(name);
    }
    if let Some((name, ino)) = &change.set {
        entries.insert(name.clone(), *ino);
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}
