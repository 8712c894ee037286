// What the host sees in a source and the component can't: modes, ctimes, absolute links, names that are not UTF-8. One JSON line a
// path, as the program `cofre` writes them.

import { lstatSync, readdirSync, readlinkSync } from 'node:fs';
import { fromOs } from './errors.js';

const SLASH = Buffer.from('/');
const utf8 = new TextDecoder('utf-8', { fatal: true });
const decoded = (name) => {
  try {
    return utf8.decode(name);
  } catch {
    return undefined;
  }
};
const ESCAPED = { 9: '\\t', 10: '\\n', 13: '\\r', 34: '\\"', 39: "\\'", 92: '\\\\' };
const escapeName = (name) =>
  [...name].map((b) => ESCAPED[b] ?? (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : `\\x${b.toString(16).padStart(2, '0')}`)).join('');

// The system's own words, as the other hosts have them, so that a manifest is the same whoever wrote it.
const WORDS = {
  EACCES: 'Permission denied', EIO: 'Input/output error', ELOOP: 'Too many levels of symbolic links', ENAMETOOLONG: 'File name too long',
  EPERM: 'Operation not permitted', ESTALE: 'Stale file handle',
};
const describe = (error) => `${WORDS[error.code] ?? error.code} (os error ${-error.errno})`;

/**
 * The lines for everything below `root`, the root itself included.
 * @param {string} root
 * @param {Map<string, string>} leftOut reasons by `dev:ino`
 */
export function observe(root, leftOut) {
  const lines = [];
  const bare = (path, kind, reason) => lines.push(JSON.stringify({ path, kind, reason, size: 0 }));
  const line = (path, kind, stat, target) =>
    lines.push(
      // BigInts are exact and JSON.stringify knows none.
      `{"path":${JSON.stringify(path)},"kind":"${kind}",${target === undefined ? '' : `"target":${JSON.stringify(target)},`}` +
        `"size":${kind === 'file' ? stat.size : 0},"mtime_ns":${stat.mtimeNs},"ctime_ns":${stat.ctimeNs},"inode":${stat.ino},` +
        `"mode":${stat.mode & 0o7777n},"uid":${stat.uid},"gid":${stat.gid}}`,
    );
  const top = Buffer.from(root);
  const pending = [''];
  while (pending.length > 0) {
    const path = pending.pop();
    const folder = path === '' ? top : Buffer.concat([top, SLASH, Buffer.from(path)]);
    let names;
    try {
      line(path, 'directory', lstatSync(path === '' ? Buffer.concat([top, SLASH, Buffer.from('.')]) : folder, { bigint: true }));
      names = readdirSync(folder, { encoding: 'buffer' });
    } catch (error) {
      if (path === '') throw fromOs('list the source', error);
      if (error.code !== 'ENOENT') bare(path, 'unreadable', `the folder can't be listed: ${describe(error)}`);
      continue;
    }
    for (const name of names) {
      const full = Buffer.concat([folder, SLASH, name]);
      const text = decoded(name);
      const below = `${path === '' ? '' : `${path}/`}${text ?? escapeName(name)}`;
      let stat;
      try {
        stat = lstatSync(full, { bigint: true });
      } catch (error) {
        if (error.code !== 'ENOENT') bare(below, 'unreadable', describe(error));
        continue;
      }
      const reason = leftOut.get(`${stat.dev}:${stat.ino}`);
      if (reason !== undefined) bare(below, 'left-out', reason);
      else if (text === undefined) {
        bare(below, 'unreadable', stat.isDirectory() ? 'the name is not UTF-8, nothing in this folder is saved' : 'the name is not UTF-8');
      } else if (stat.isDirectory()) pending.push(below);
      else if (stat.isFile()) line(below, 'file', stat);
      else if (stat.isSymbolicLink()) {
        const target = decoded(readlinkSync(full, { encoding: 'buffer' }));
        if (target === undefined) bare(below, 'unreadable', 'the target of the link is not UTF-8');
        else line(below, 'symlink', stat, target);
      } else line(below, 'special', stat);
    }
  }
  return `${lines.join('\n')}\n`;
}
