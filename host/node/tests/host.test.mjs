// What only this host has: the demand for `exclusive`, the refusal of changes, cancellation. That it does what the others do is
// the conformance suite's business.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readlinkSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import * as cofre from '../lib/index.js';
import { Session } from '../lib/sandbox.js';

const NOW = '2025-08-31T21:52:49.000000-03:00';
const RUN = { backupType: 'manual', plan: 'manual', startedAt: NOW, zipPathPrefix: '' };
let app;
const made = [];

beforeEach(() => {
  app = mkdtempSync(join(tmpdir(), 'cofre-node-'));
  made.push(app);
  mkdirSync(join(app, 'static'));
  writeFileSync(join(app, 'static/a.txt'), 'a');
  process.chdir(app);
});
after(() => {
  process.chdir(tmpdir());
  made.forEach((folder) => rmSync(folder, { recursive: true }));
  // The shim's thread.
  setTimeout(() => process.exit(), 100).unref();
});

const sources = { static: { path: 'static' } };
const repository = () => new cofre.Repository({ sources, exclusive: true });

test('what writes demands exclusive, what reads does not', () => {
  const careless = new cofre.Repository({ sources });
  for (const write of ['create', 'prune', 'rebuild']) {
    assert.throws(() => careless[write](), (e) => e instanceof cofre.InvalidInput && /exclusive: true/.test(e.message));
  }
  assert.throws(() => careless.delete('1'), cofre.InvalidInput);
  assert.throws(() => careless.pin('1'), cofre.InvalidInput);
  assert.deepEqual(careless.list(), []);
  assert.ok(!readdirSync(app).includes('backups'));
  repository().create();
  assert.equal(careless.list().length, 1);
  assert.equal(careless.verify().status, 'verified');
  assert.equal(careless.list()[0].verified_at, null);
});

test('a folder without the right to write is not changed', () => {
  const row = repository().create();
  const before = readdirSync('backups');
  const handle = openSync('backups', 'r');
  const calls = [
    (session) => session.call('beginRun', RUN),
    (session) => session.call('delete', BigInt(row.id), true, NOW),
    (session) => session.call('pin', BigInt(row.id), true),
  ];
  for (const call of calls) {
    const session = new Session([{ name: '/backups', handle, path: join(app, 'backups') }]);
    assert.throws(() => call(session), (e) => e instanceof cofre.AccessDenied || e instanceof cofre.Io);
  }
  closeSync(handle);
  assert.deepEqual(readdirSync('backups'), before);
});

test('a missing folder is named', () => {
  assert.throws(() => new Session([]).call('list'), (e) => e instanceof cofre.NotFound && e.message.includes('/backups'));
});

test('a cancelled run is recorded and leaves nothing', () => {
  for (let n = 0; n < 20; n++) writeFileSync(`static/${n}.bin`, Buffer.alloc(1 << 20, `${n}`));
  const abort = new AbortController();
  const onProgress = (p) => p.bytesDone > 4n << 20n && abort.abort();
  assert.throws(() => repository().create({ signal: abort.signal, onProgress }), cofre.Cancelled);
  assert.deepEqual(repository().list().map((row) => row.status), ['cancelled']);
  assert.ok(readdirSync('backups').every((name) => !name.includes('.zip')));
  assert.deepEqual(readdirSync('.cofre/staging'), []);
});

test('a killed run is cleaned up by the program', () => {
  const killer = `
    const { Repository } = await import(${JSON.stringify(new URL('../lib/index.js', import.meta.url).href)});
    new Repository({ sources: { static: { path: 'static' } }, exclusive: true })
      .create({ onProgress: () => process.kill(process.pid, 'SIGKILL') });`;
  const { signal } = spawnSync(process.execPath, ['--input-type=module', '-e', killer], { cwd: app });
  assert.equal(signal, 'SIGKILL');
  writeFileSync('cofre.toml', '[sources.static]\npath = "static"\n');
  const done = spawnSync(process.env.COFRE_BINARY, ['create'], { cwd: app, encoding: 'utf8' });
  assert.equal(done.status, 0, done.stderr);
  assert.deepEqual(repository().list().map((row) => row.status), ['failed', 'completed']);
  // Copies of files with secrets must not stay for ever; those of a run that lives must.
  const staging = () => readdirSync('.cofre/staging');
  assert.equal(staging().length, 1);
  const living = staging()[0].replace(/-\d+-[^-]+$/, `-${process.ppid}-living`);
  mkdirSync(join('.cofre/staging', living));
  repository().create();
  assert.deepEqual(staging(), [living]);
});

test('options that JavaScript would make something else of are refused', () => {
  const bad = [
    undefined, null, {}, { sources: {} }, { sources, backupdir: 'x' }, { sources, exclusive: 'yes' }, { sources, compression: 'toString' },
    { sources, level: '9' }, { sources, level: 99 }, { sources, retention: { maxBackup: 3 } }, { sources, retention: { maxBackups: 0 } },
    { sources, retention: { maxBackups: '3' } }, { sources, retention: { keepWithinSeconds: 1e20 } }, { sources, backupDir: '' },
    { sources, backupDir: 'a\0' }, { sources, backupDir: 3 }, { sources, backupDir: '.' }, { sources, backupDir: 'static' },
    { sources, stateDir: 'backups/state' },
    ...['..', 'a/b', '', 'a\u001b', 'database', 'a.'].map((name) => ({ sources: { [name]: { path: 'static' } } })),
    ...[
      null, 'static', {}, { path: 'static', files: ['a'] }, { files: [] }, { files: 'static/a.txt' }, { files: [3] },
      { path: 'static', exclude: '*.tmp' }, { path: 'static', exlude: [] }, { path: 'static', allowEmpty: 1 },
      { files: ['static/a.txt', './static/a.txt'] }, { files: ['/one/a.txt', '/other/a.txt'] },
    ].map((source) => ({ sources: { x: source } })),
  ];
  for (const options of bad) {
    assert.throws(() => new cofre.Repository(options), (e) => e instanceof cofre.InvalidInput && !/[\0\u001b]/.test(e.message), JSON.stringify(options));
  }
  assert.deepEqual(readdirSync(app), ['static']);
  const good = new cofre.Repository({ sources, exclusive: true, retention: { maxBackups: 1, keepWithinSeconds: 5, keepDaily: undefined } });
  for (const type of [null, 3, 'a\ud800', 'a\0']) assert.throws(() => good.create({ type }), cofre.InvalidInput);
  good.create();
  for (const only of ['static/**', [3]]) assert.throws(() => good.restore(1, { to: 'r', only }), cofre.InvalidInput);
  for (const to of ['a\0', 3]) assert.throws(() => good.restore(1, { to }), cofre.InvalidInput);
});

test('absolute links come back on request, and times before 1970', () => {
  symlinkSync('/etc/hostname', 'static/out');
  utimesSync('static/a.txt', new Date(-1500), new Date(-1500));
  repository().create();
  assert.deepEqual(repository().restore(1, { to: 'without' }).links_left_out.map((item) => item.path), ['static/out']);
  assert.deepEqual(readdirSync('without/static'), ['a.txt']);
  assert.deepEqual(repository().restore(1, { to: 'with', absoluteLinks: true }).links_left_out, []);
  assert.equal(readlinkSync('with/static/out'), '/etc/hostname');
  assert.equal(statSync('with/static/a.txt').mtimeMs, -1500);
});

test('a worker thread is told what to do', async () => {
  const code = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(workerData).then(({ Repository }) => {
      try { new Repository({ sources: { static: { path: 'static' } }, exclusive: true }).create(); } catch (e) { parentPort.postMessage(e.message); }
    });`;
  const worker = new Worker(code, { eval: true, workerData: new URL('../lib/index.js', import.meta.url).href });
  const message = await new Promise((done, failed) => worker.once('message', done).once('error', failed));
  assert.match(message, /use a child process/);
  await worker.terminate();
});

test('links, missing and empty sources, databases', () => {
  symlinkSync('/etc', 'elsewhere');
  const bad = (options) => new cofre.Repository({ exclusive: true, ...options });
  assert.throws(() => bad({ sources: { x: { path: 'elsewhere' } } }).create(), cofre.SandboxRefused);
  assert.throws(() => bad({ sources: { x: { path: 'gone' } } }).create(), cofre.SourceMissing);
  mkdirSync('void');
  assert.throws(() => bad({ sources: { x: { path: 'void' } } }).create(), cofre.SourceMissing);
  assert.throws(() => bad({ sources: {} }), cofre.InvalidInput);
  assert.throws(() => bad({ sources, databases: {} }), cofre.Unsupported);
  assert.throws(() => bad({ sources, compression: 'rar' }), cofre.InvalidInput);
  assert.deepEqual(repository().list().map((row) => row.status), ['failed', 'failed', 'failed']);
});

test('the manager gives objects and never throws', () => {
  const manager = new cofre.BackupManager({ sources, exclusive: true });
  const row = manager.createBackup('manual');
  assert.equal(row.status, 'completed');
  assert.equal(statSync(`backups/${row.name}.zip`).mode & 0o777, 0o600);
  assert.deepEqual(manager.getBackupStatus().last_backup, row);
  assert.equal(manager.restoreBackup(row.id).restore_path, join(app, `backups/restore_${row.name}`));
  assert.equal(manager.restoreBackup(77).success, false);
  assert.equal(manager.deleteBackup(row.id), false);
  rmSync('static', { recursive: true });
  const failed = manager.createBackup();
  assert.equal(failed.status, 'failed');
  assert.equal(failed.id, 2);
});
