// Opening folders, a restore's folder aside, and the staging of single files.

import { execFileSync } from 'node:child_process';
import {
  chmodSync, closeSync, constants, existsSync, fchmodSync, fstatSync, fsyncSync, lstatSync, lutimesSync, mkdirSync, mkdtempSync,
  openSync, readFileSync, readdirSync, readlinkSync, realpathSync, renameSync, rmSync, rmdirSync, symlinkSync, utimesSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { AlreadyExists, Busy, Corrupt, InvalidInput, NotFound, SandboxRefused, SourceMissing, clean, fromOs } from './errors.js';

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** Opens a folder that is reached without a link; `missing` makes the error when there is none. */
export function openFolder(path, missing = (message) => new SourceMissing(message, 'check the path, and whether the disk is mounted')) {
  let real;
  try {
    real = realpathSync(path);
  } catch (error) {
    if (error.code === 'ENOENT') throw missing(`the folder ${clean(path)} does not exist`);
    throw fromOs(`open ${clean(path)}`, error);
  }
  if (real !== resolve(path)) {
    throw new SandboxRefused(`${clean(path)} is reached through a symbolic link, and links are not followed`, `if that is what you mean, write the real path: ${clean(real)}`);
  }
  try {
    return openSync(real, DIRECTORY);
  } catch (error) {
    if (error.code === 'ENOTDIR') throw missing(`${clean(path)} is not a folder`);
    throw fromOs(`open ${clean(path)}`, error);
  }
}

/** Whether somebody holds the flock of a folder, as far as /proc/locks tells. Asking is not locking: see the README. */
export function refuseWhileLocked(handle, path) {
  const { dev, ino } = fstatSync(handle, { bigint: true });
  const [major, minor] = [(dev >> 8n) & 0xfffn, (dev & 0xffn) | ((dev >> 12n) & 0xfff00n)];
  const hex = (n) => n.toString(16).padStart(2, '0');
  const file = `${hex(major)}:${hex(minor)}:${ino}`;
  for (const line of readFileSync('/proc/locks', 'latin1').split('\n')) {
    const words = line.trim().split(/\s+/);
    if (words[1] === 'FLOCK' && words[5] === file) {
      throw new Busy(`another run (process ${words[4]}) holds ${clean(path)}`, 'wait until it ends');
    }
  }
}

/** A private folder for one run in the state folder. */
export class Staging {
  constructor(stateDir) {
    const parent = join(stateDir, 'staging');
    mkdirSync(parent, { recursive: true, mode: 0o700 });
    // Not `run-…`, which the other hosts sweep when nobody holds its lock. Node has no lock: the name says whose it is.
    const here = /\d+/.exec(readlinkSync('/proc/self/ns/pid'))[0];
    for (const name of readdirSync(parent)) {
      const [, space, pid] = /^node-(\d+)-(\d+)-/.exec(name) ?? [];
      // A process of another container can't be seen from here.
      if (space === here && !existsSync(`/proc/${pid}`)) rmSync(join(parent, name), { recursive: true, force: true });
    }
    this.path = mkdtempSync(join(parent, `node-${here}-${process.pid}-`));
    this.handle = openSync(this.path, DIRECTORY);
  }

  /** Copies single files with their modes and times, which Node itself can't set to the nanosecond. */
  stage(folder, files) {
    const root = join(this.path, folder);
    mkdirSync(root, { recursive: true, mode: 0o700 });
    const newest = new Map();
    for (const { path, name } of files) {
      let stat;
      try {
        stat = lstatSync(path, { bigint: true });
      } catch {
        throw new SourceMissing(`the file ${clean(path)} does not exist`, 'check the path, and whether the disk is mounted');
      }
      if (!stat.isFile() || realpathSync(path) !== resolve(path)) throw new SandboxRefused(`${clean(path)} is not a regular file that is reached without a link`);
      const target = join(root, name);
      mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
      execFileSync('cp', ['--no-dereference', '--preserve=mode,timestamps', '--', path, target]);
      for (let at = dirname(target); at.length >= root.length; at = dirname(at)) {
        if (!(newest.get(at) > stat.mtimeNs)) newest.set(at, stat.mtimeNs);
      }
    }
    for (const [at, ns] of newest) execFileSync('touch', ['-d', `@${ns / 1000000000n}.${String(ns % 1000000000n).padStart(9, '0')}`, '--', at]);
    return root;
  }

  close() {
    closeSync(this.handle);
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** A restore target in the making: `.NAME.partial` beside it, renamed at the end, removed otherwise. */
export class RestoreTarget {
  constructor(target) {
    this.target = target;
    this.partial = join(dirname(target), `.${basename(target)}.partial`);
    this.directories = [];
    closeSync(openFolder(dirname(target), (message) => new InvalidInput(`restore: ${message}`, 'only the last folder of the target is made')));
    this.checkFree();
    try {
      mkdirSync(this.partial, { mode: 0o700 });
    } catch (error) {
      if (error.code === 'EEXIST') throw new AlreadyExists(`${clean(this.partial)} is in the way`, 'look at it and remove it, or restore to another place');
      throw fromOs(`restore into ${clean(target)}`, error);
    }
    this.handle = openSync(this.partial, DIRECTORY);
    // The mark by which the other hosts know that cofre made it.
    fchmodSync(this.handle, 0o1700);
  }

  checkFree() {
    const stat = lstatSync(this.target, { throwIfNoEntry: false });
    if (stat !== undefined && !(stat.isDirectory() && readdirSync(this.target).length === 0)) {
      throw new AlreadyExists(`${clean(this.target)} exists and is not an empty folder`, 'restore into a new folder and move what you need; nothing was changed');
    }
  }

  place(item) {
    return join(this.partial, item.path);
  }

  holds(item) {
    return lstatSync(this.place(item), { throwIfNoEntry: false }) !== undefined;
  }

  apply(item) {
    const path = this.place(item);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    const { tag, val } = item.kind;
    if (tag === 'symlink' && val.startsWith('/')) return;
    const good = { file: stat?.isFile() && stat.nlink === 1, directory: stat?.isDirectory(), symlink: stat?.isSymbolicLink() }[tag];
    if (good === undefined) return;
    if (!good) throw new Corrupt(`restored ${clean(item.path)} is not what the archive says it is`);
    if (tag === 'directory') this.directories.push(item);
    else this.attributes(path, item, 0o777);
  }

  attributes(path, item, bits) {
    const link = item.kind.tag === 'symlink';
    if (item.mtimeNs !== undefined) {
      // Node takes a negative number for now, and a date for what it is.
      const time = item.mtimeNs < 0n ? new Date(Number(item.mtimeNs) / 1e6) : Number(item.mtimeNs) / 1e9;
      if (link) lutimesSync(path, time, time);
      else utimesSync(path, time, time);
    }
    if (item.mode !== undefined && !link) chmodSync(path, item.mode & bits);
  }

  /** A link that the component may not make. */
  absoluteLink(item) {
    const path = this.place(item);
    symlinkSync(item.kind.val, path);
    this.attributes(path, item, 0);
  }

  commit() {
    const depth = (item) => item.path.split('/').length;
    for (const item of this.directories.sort((a, b) => depth(b) - depth(a))) this.attributes(this.place(item), item, 0o1777);
    fchmodSync(this.handle, 0o700);
    execFileSync('sync', ['--file-system', this.partial]);
    this.checkFree();
    if (existsSync(this.target)) rmdirSync(this.target);
    // A folder replaces nothing but an empty folder.
    renameSync(this.partial, this.target);
    const parent = openSync(dirname(this.target), DIRECTORY);
    fsyncSync(parent);
    closeSync(parent);
    this.done = true;
  }

  close() {
    closeSync(this.handle);
    if (!this.done) rmSync(this.partial, { recursive: true, force: true });
  }
}

/** The backups folder, which the first run makes. */
export function openBackups(path) {
  return openFolder(path, (message) => new NotFound(message, 'the first backup makes it; if it was there before, is the disk mounted?'));
}
