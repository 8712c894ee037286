// cofre from Node: backups by the sandboxed component, in the same folder and catalog as the program `cofre`.

import { closeSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { Cancelled, CofreError, Corrupt, InvalidInput, NotFound, Unsupported, clean, fromOs } from './errors.js';
import { RestoreTarget, Staging, openBackups, openFolder, refuseWhileLocked } from './folders.js';
import { observe } from './observe.js';
import { entry, plain, row, status } from './records.js';
import { checked, text, texts } from './options.js';
import { Session } from './sandbox.js';

export * from './errors.js';
export { WIT_VERSION } from './sandbox.js';

/** Now, RFC 3339 with the local offset and microseconds. */
function now() {
  const date = new Date();
  const offset = -date.getTimezoneOffset();
  const two = (n) => String(Math.trunc(Math.abs(n))).padStart(2, '0');
  const local = new Date(date.getTime() + offset * 60000).toISOString().slice(0, 23);
  return `${local}000${offset < 0 ? '-' : '+'}${two(offset / 60)}:${two(offset % 60)}`;
}

const cancelled = () => new Cancelled('stopped on request; nothing is left behind');

/** A backups folder and what is to be backed up. Every operation is synchronous, and blocks the event loop. */
export class Repository {
  /** @param {import('./index.d.ts').Options} options */
  constructor(options) {
    Object.assign(this, checked(options));
  }

  // Reading

  list() {
    return this.isFresh() ? [] : this.reading((session) => session.call('list').map(row));
  }

  status() {
    const totals = this.isFresh() ? undefined : this.reading((session) => session.call('status', now()));
    return status(totals, { maxBackups: this.policy.maxBackups, zipPathPrefix: this.zipPathPrefix });
  }

  find(selector) {
    return this.reading((session) => row(found(session, selector)));
  }

  entries(selector) {
    return this.reading((session) => [...pages(session, id(session, selector))].map(entry));
  }

  details(selector) {
    return this.reading((session) => {
      const { backup, ...rest } = session.call('details', id(session, selector));
      const { skips, component_version, databases } = plain(rest);
      return { backup: row(backup), component_version, databases, skipped: skips };
    });
  }

  diff(a, b) {
    return this.reading((session) => session.call('diff', id(session, a), id(session, b)).map(plain));
  }

  /** Damage is a result, not an exception. */
  verify(selector = 'latest', { quick = false, ...control } = {}) {
    const backup = this.reading((session) => found(session, selector));
    if (!['completed', 'partial'].includes(backup.status)) throw new NotFound(`${backup.name} has no archive: its run ended \`${backup.status}\``);
    let report;
    try {
      report = this.reading((session) => session.run({ tag: 'verify', val: [backup.id, quick] }, now, control, cancelled));
    } catch (error) {
      if (!(error instanceof Corrupt || error instanceof NotFound || error instanceof Unsupported)) throw error;
      report = { backup, entries: 0n, bytes: 0n, manifest: false, checksum: false, problems: [error.message] };
    }
    const result = report.problems.length > 0 ? 'failed' : report.manifest ? 'verified' : 'verified (no manifest)';
    const noted = this.exclusive && (!quick || result === 'failed') ? this.note(backup.id, 'verify', result) : undefined;
    return { ...plain(report), backup: row(noted ?? report.backup), status: result };
  }

  // Writing: see `exclusive`.

  create({ type = 'manual', plan = 'manual', full = false, ...control } = {}) {
    this.demandExclusive();
    text('type', type);
    text('plan', plan);
    try {
      mkdirSync(this.backupDir, { mode: 0o700 });
    } catch (error) {
      if (error.code !== 'EEXIST') throw fromOs(`make the backups folder ${clean(this.backupDir)}`, error);
    }
    return this.privately((backups) => {
      const writer = { name: '/backups', handle: backups, path: this.backupDir, writable: true };
      const run = { backupType: type, plan, startedAt: now(), zipPathPrefix: this.zipPathPrefix };
      const begun = new Session([writer]).call('beginRun', run);
      let report;
      try {
        report = this.pack(writer, run, begun.id, full, control);
      } catch (error) {
        try {
          new Session([writer]).call('failRun', begun.id, error.detail ?? String(error), error instanceof Cancelled, now());
        } catch (second) {
          process.emitWarning(`the failed run ${begun.id} could not be recorded (the next run does it): ${second.message}`);
        }
        throw error;
      }
      // A failure here does not fail the backup, which is good and on disk.
      try {
        new Session([writer]).call('prune', this.policy, now(), false);
      } catch (error) {
        process.emitWarning(`retention did not run after the backup: ${error.message}`);
      }
      return row(report.backup);
    });
  }

  delete(selector, { force = false } = {}) {
    return this.writing((session) => row(session.call('delete', id(session, selector), force, now())));
  }

  prune({ dryRun = false } = {}) {
    const work = (session) => session.call('prune', this.policy, now(), dryRun).map((v) => ({ ...plain(v), backup: row(v.backup) }));
    return dryRun ? this.reading(work) : this.writing(work);
  }

  pin(selector, pinned = true) {
    return this.writing((session) => row(session.call('pin', id(session, selector), pinned)));
  }

  rebuild() {
    return this.writing((session) => {
      const report = session.call('rebuild', now(), this.zipPathPrefix);
      return { ...plain(report), backups: report.backups.map(row) };
    });
  }

  /** Times come back to the microsecond: Node can't set finer ones. */
  restore(selector, { to, only = [], absoluteLinks = false, ...control } = {}) {
    texts('only', only);
    const backup = this.find(selector);
    const target = resolve(text('to', to ?? join(this.backupDir, `restore_${backup.name}`)));
    return this.umasked(() => {
      const backups = openBackups(this.backupDir);
      let partial;
      try {
        partial = new RestoreTarget(target);
        const mount = { name: '/backups', handle: backups, path: this.backupDir };
        const mounts = [mount, { name: '/target', handle: partial.handle, path: target, writable: true }];
        const request = { tag: 'restore', val: { id: BigInt(backup.id), only } };
        const report = new Session(mounts).run(request, now, control, cancelled);
        for (const item of pages(new Session([mount]), BigInt(backup.id))) if (only.length === 0 || partial.holds(item)) partial.apply(item);
        if (absoluteLinks) report.linksLeftOut.forEach((item) => partial.absoluteLink(item));
        partial.commit();
        if (this.exclusive) this.note(BigInt(backup.id), 'restore', 'restored');
        return {
          success: true,
          backup: row(report.backup),
          restore_path: target,
          metadata: metadata(target),
          links_left_out: absoluteLinks ? [] : report.linksLeftOut.map(entry),
        };
      } finally {
        partial?.close();
        closeSync(backups);
      }
    });
  }

  // The parts

  isFresh() {
    return lstatSync(this.backupDir, { throwIfNoEntry: false }) === undefined;
  }

  demandExclusive() {
    if (!this.exclusive) {
      throw new InvalidInput(
        'Node has no flock(2), so this host can\'t keep other runs out of the backups folder',
        'make sure that nothing else writes there (start the program through `flock BACKUPS …`), and pass exclusive: true',
      );
    }
  }

  reading(work) {
    const backups = openBackups(this.backupDir);
    try {
      return work(new Session([{ name: '/backups', handle: backups, path: this.backupDir }]));
    } finally {
      closeSync(backups);
    }
  }

  writing(work) {
    this.demandExclusive();
    return this.privately((backups) => work(new Session([{ name: '/backups', handle: backups, path: this.backupDir, writable: true }])));
  }

  privately(work) {
    return this.umasked(() => {
      const backups = openBackups(this.backupDir);
      try {
        refuseWhileLocked(backups, this.backupDir);
        return work(backups);
      } finally {
        closeSync(backups);
      }
    });
  }

  /** What is made is for the owner alone. Everything in between is synchronous, so that nobody else notices. */
  umasked(work) {
    if (!isMainThread) throw new Unsupported('a worker thread can\'t make files for the owner alone, since the umask is the process\'s', 'use a child process');
    const before = process.umask(0o077);
    try {
      return work();
    } finally {
      process.umask(before);
    }
  }

  note(number, check, result) {
    try {
      return this.writing((session) => session.call('recordResult', number, check, result, now()));
    } catch (error) {
      process.emitWarning(`the ${check} is done, but not noted in the catalog: ${error.message}`);
      return undefined;
    }
  }

  pack(writer, run, begun, full, control) {
    const staging = new Staging(this.stateDir);
    const handles = [];
    try {
      const mounts = [writer, { name: '/staging', handle: staging.handle, path: staging.path }];
      const leftOut = new Map();
      for (const [path, reason] of [[this.backupDir, 'the backups folder'], [this.stateDir, 'the state folder']]) {
        const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
        if (stat) leftOut.set(`${stat.dev}:${stat.ino}`, reason);
      }
      const sources = this.sources.map((source, number) => {
        const { folder } = source;
        const list = `observed-${number}.jsonl`;
        let root = `/sources/${folder}`;
        try {
          if (source.files) {
            writeFileSync(join(staging.path, list), observe(staging.stage(`files/${folder}`, source.files), new Map()), { mode: 0o600 });
            root = `/staging/files/${folder}`;
          } else {
            const handle = openFolder(source.path);
            handles.push(handle);
            mounts.push({ name: root, handle, path: source.path });
            writeFileSync(join(staging.path, list), observe(`/proc/self/fd/${handle}`, leftOut), { mode: 0o600 });
          }
        } catch (error) {
          if (error instanceof CofreError) error.detail = `source \`${clean(folder)}\`: ${error.detail}`;
          throw error;
        }
        return {
          folder,
          root,
          inventory: { tag: 'observed-file', val: list },
          include: source.include,
          exclude: source.exclude,
          allowEmpty: source.allowEmpty,
        };
      });
      const request = { run, begun, sources, databases: [], compression: this.compression, level: this.level, full };
      return new Session(mounts).run({ tag: 'create', val: request }, now, control, cancelled);
    } finally {
      handles.forEach((handle) => closeSync(handle));
      staging.close();
    }
  }
}

/** The row; `latest` is the newest that is not from the future. */
const found = (session, selector) =>
  selector === 'latest' ? session.call('newest', now()) : session.call('find', String(selector));

const id = (session, selector) => found(session, selector).id;

function* pages(session, number) {
  let after;
  for (;;) {
    const page = session.call('entries', number, after, 8192);
    if (page.length === 0) return;
    yield* page;
    after = page.at(-1).path;
  }
}

function metadata(target) {
  const file = join(target, 'backup_info.json');
  if (!lstatSync(file, { throwIfNoEntry: false })?.isFile() || dirname(file) !== target) return null;
  const { entries, ...rest } = JSON.parse(readFileSync(file, 'utf8'));
  return rest;
}

/** The original system's interface: objects, no exceptions from a run. */
export class BackupManager {
  constructor(options) {
    this.repository = new Repository(options);
  }

  createBackup(type = 'manual') {
    try {
      return this.repository.create({ type });
    } catch (error) {
      if (!(error instanceof CofreError)) throw error;
      const last = this.repository.isFresh() ? undefined : this.repository.list().at(-1);
      if (last && ['failed', 'cancelled'].includes(last.status) && last.error === error.detail) return last;
      return { id: null, name: null, type, timestamp: now().slice(0, 26), status: 'failed', size: 0, error: error.message, zip_path: null };
    }
  }

  getBackupStatus() {
    return this.repository.status();
  }

  listBackups() {
    return this.repository.list();
  }

  restoreBackup(selector, to) {
    return this.attempt(() => this.repository.restore(selector, { to }));
  }

  deleteBackup(selector) {
    return this.attempt(() => ({ success: true, backup: this.repository.delete(selector) })).success;
  }

  attempt(work) {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof CofreError)) throw error;
      return { success: false, error: error.message, code: error.code };
    }
  }
}
