//! Archives that were changed by somebody who knows them: the zip is written anew by Python, and whatever would give
//! the change away (rows of the manifest, checksum, catalog) is put right, so that the drill itself has to find it.

use std::process::Command;

use serde_json::Value;

use crate::support::{App, run, tool};

const SCRIPT: &str = r#"
import copy, hashlib, json, os, sys, zipfile, zlib
archive, change = sys.argv[1], sys.argv[2]
z = zipfile.ZipFile(archive)
infos = {i.filename: i for i in z.infolist()}
files = {n: z.read(i) for n, i in infos.items()}
manifest = json.loads(files['backup_info.json'])
def text(name): return files[name].decode()
def replace(name, old, new):
    assert old in text(name), (name, old, text(name))
    files[name] = text(name).replace(old, new, 1).encode()
def append(name, more): files[name] = (text(name) + more).encode()
exec(change)
rows = {e['path']: e for e in manifest['entries']}
for name, content in files.items():
    if name == 'backup_info.json': continue
    if name.endswith('/'):
        rows.setdefault(name[:-1], {'path': name[:-1], 'kind': 'directory', 'size': 0, 'mode': '0755'})
        continue
    row = rows.setdefault(name, {'path': name, 'kind': 'file', 'mode': '0600'})
    row.update(size=len(content), crc32='%08x' % zlib.crc32(content))
    row.pop('blocks', None)
gone = [p for p in rows if p not in files and p + '/' not in files]
for path in gone: del rows[path]
manifest['entries'] = [rows[p] for p in sorted(rows, key=lambda p: p.encode())]
contents = [n for n in files if not n.endswith('/') and n != 'backup_info.json']
manifest['file_count'] = len(contents)
manifest['source_bytes'] = sum(len(files[n]) for n in contents)
files['backup_info.json'] = json.dumps(manifest).encode()
names = sorted((n for n in files if n != 'backup_info.json'), key=lambda n: n.rstrip('/').encode()) + ['backup_info.json']
with zipfile.ZipFile(archive + '.new', 'w', zipfile.ZIP_DEFLATED) as out:
    for name in names:
        info = copy.copy(infos.get(name, infos['backup_info.json']))
        new = zipfile.ZipInfo(name, info.date_time)
        is_new_folder = name.endswith('/') and name not in infos
        new.external_attr, new.create_system = 0o40755 << 16 | 0x10 if is_new_folder else info.external_attr, 3
        new.compress_type = zipfile.ZIP_STORED if name.endswith('/') else zipfile.ZIP_DEFLATED
        out.writestr(new, files[name])
os.replace(archive + '.new', archive)
data = open(archive, 'rb').read()
digest = hashlib.sha256(data).hexdigest()
name = os.path.basename(archive)
open(archive + '.sha256', 'w').write(f'{digest}  {name}\n')
history = os.path.join(os.path.dirname(archive), 'backup_history.json')
catalog = json.load(open(history))
for row in catalog:
    if row['name'] + '.zip' == name: row.update(sha256=digest, size=len(data))
json.dump(catalog, open(history, 'w'))
"#;

/// Changes an archive by lines of Python: `files` maps names to bytes, `manifest` is the manifest, `replace(name, old,
/// new)` and `append(name, more)` change a text. The result verifies.
#[track_caller]
pub(super) fn tamper(app: &App, record: &Value, change: &str) {
    let archive = app.archive(record);
    run(Command::new(tool("python3"))
        .arg("-c")
        .arg(SCRIPT)
        .arg(&archive)
        .arg(change))
    .exits(0);
    app.cofre(&["verify"]).exits(0);
}

/// Flips one bit of the archive, and nothing else.
#[track_caller]
pub(super) fn flip(app: &App, record: &Value) {
    let archive = app.archive(record);
    let mut bytes = std::fs::read(&archive).expect("the archive");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&archive, bytes).expect("write it");
}
