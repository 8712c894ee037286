//! The sources of the workload, which change while they are read. Each file begins with the SHA-256 of its rest and is
//! replaced as a whole, so that a restored one is either right or torn.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::site::Site;
use crate::support::Rng;

use super::shared::Shared;

const FILES: u64 = 60;
/// Longest file, bytes.
const LONGEST: u64 = 60_000;

pub(super) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn name(rng: &mut Rng) -> String {
    let number = rng.below(FILES);
    format!("pasta-{}/f-{number}.dat", number % 7)
}

/// Text that compresses somewhat.
fn content(rng: &mut Rng) -> Vec<u8> {
    let length = usize::try_from(rng.below(LONGEST)).unwrap();
    let words = [&b"backup "[..], b"cofre ", b"relatorio ", b"0123456789 "];
    let mut body = Vec::with_capacity(length + 16);
    while body.len() < length {
        let word = words[usize::try_from(rng.below(4)).unwrap()];
        body.extend_from_slice(word);
        body.extend_from_slice(&rng.next().to_le_bytes());
    }
    let mut whole = digest(&body).into_bytes();
    whole.extend_from_slice(&body);
    whole
}

fn replace(site: &Site, name: &str, bytes: &[u8]) {
    site.app.write("novo.tmp", bytes);
    let target = site.app.path("static").join(name);
    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
    std::fs::rename(site.app.path("novo.tmp"), target).unwrap();
}

pub(super) fn fill(site: &Site, rng: &mut Rng) {
    for _ in 0..FILES {
        let (name, bytes) = (name(rng), content(rng));
        replace(site, &name, &bytes);
    }
}

/// One change: replaced, removed, or a log that grows.
pub(super) fn change(shared: &Shared<'_>, rng: &mut Rng) {
    let site = shared.site;
    match rng.below(8) {
        0 => drop(std::fs::remove_file(site.app.path("static").join(name(rng)))),
        1 => {
            use std::io::Write as _;
            let path = site.app.path("static/crescente.log");
            let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
            file.and_then(|mut file| file.write_all(b"mais uma linha\n"))
                .unwrap();
        }
        _ => {
            let (name, bytes) = (name(rng), content(rng));
            replace(site, &name, &bytes);
        }
    }
    shared.count("changes of the sources");
    shared.pause_random(rng, 60);
}

/// Every file below a restored folder is one that was written, whole. How many there are.
pub(super) fn check_restored(shared: &Shared<'_>, folder: &Path) -> u64 {
    let mut found = 0;
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "dat") {
                continue;
            }
            found += 1;
            let bytes = std::fs::read(&path).unwrap();
            let whole = bytes.len() >= 64 && digest(&bytes[64..]).as_bytes() == &bytes[..64];
            if !whole {
                shared.violation(format!("{} is torn, {} bytes", path.display(), bytes.len()));
            }
        }
    }
    found
}
