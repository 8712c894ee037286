// What a caller says is checked here, once and before anything is made: JavaScript would turn most slips into something else
// (a misspelled `maxBackups` into the default, a string into a list of its letters).

import { basename, relative, resolve } from 'node:path';
import { InvalidInput, Unsupported, clean } from './errors.js';

const LEVELS = { deflate: [5, 9], zstd: [1, 22], store: [5, 9] };
const KEYS = ['backupDir', 'stateDir', 'sources', 'compression', 'level', 'retention', 'exclusive', 'databases'];
const SOURCE_KEYS = ['path', 'files', 'include', 'exclude', 'allowEmpty'];
const RETENTION = {
  maxBackups: 30, keepDaily: 0, keepWeekly: 0, keepMonthly: 0, keepYearly: 0, keepWithinSeconds: 0n, keepPartial: 3,
  keepFailedSeconds: 2592000n,
};
const MOST = 100_000;
const HUNDRED_YEARS = 100 * 366 * 86400;

const bad = (message, remedy) => {
  throw new InvalidInput(message, remedy);
};
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** A string that the contract and the file system can carry. */
export function text(what, value) {
  if (typeof value !== 'string') bad(`${what}: has to be a string, and is ${value === null ? 'null' : typeof value}`);
  if (value.includes('\0') || !value.isWellFormed()) bad(`${what}: \`${clean(value)}\` contains a NUL character or what is no Unicode`);
  return value;
}

/** A list of strings. */
export function texts(what, value) {
  if (!Array.isArray(value)) bad(`${what}: has to be a list of strings`);
  return value.map((item) => text(what, item));
}

function path(what, value) {
  if (text(what, value) === '') bad(`${what}: a path can't be empty`);
  return resolve(value);
}

function known(what, value, keys) {
  if (!isObject(value)) bad(`${what}: has to be an object`);
  for (const key of Object.keys(value)) {
    if (!keys.includes(key)) bad(`${what}: \`${clean(key)}\` is unknown`, `known here: ${keys.join(', ')}`);
  }
}

function whole(what, value, least, most) {
  if (!Number.isInteger(value) || value < least || value > most) bad(`${what}: has to be a whole number from ${least} to ${most}, and is ${clean(String(value))}`);
  return value;
}

const inside = (folder, other) => other === folder || other.startsWith(folder === '/' ? folder : `${folder}/`);

/** A file below the current folder keeps its path in the archive, another one only its name. */
function singleFile(what, file) {
  const full = path(what, file);
  const below = relative(process.cwd(), full);
  return { path: full, name: below === '' || below === '..' || below.startsWith('../') ? basename(full) : below };
}

function source(folder, given, backupDir) {
  const what = `sources.${clean(folder)}`;
  // eslint-disable-next-line no-control-regex
  if (!folder || ['.', '..'].includes(folder) || /[/\\:\u0000-\u001f\u007f-\u009f]|^ |[. ]$/.test(folder) || Buffer.byteLength(folder) > 64) {
    bad(`${what}: can't be the name of a folder in the archive`);
  }
  if (['database', 'backup_info.json'].includes(folder.toLowerCase())) bad(`${what}: the name is taken in every archive`, 'choose another name');
  known(what, given, SOURCE_KEYS);
  if ((given.path === undefined) === (given.files === undefined)) bad(`${what}: a source has either \`path\` or \`files\``);
  const checked = {
    folder,
    include: texts(`${what}.include`, given.include ?? []),
    exclude: texts(`${what}.exclude`, given.exclude ?? []),
    allowEmpty: given.allowEmpty ?? false,
  };
  if (typeof checked.allowEmpty !== 'boolean') bad(`${what}.allowEmpty: has to be true or false`);
  if (given.path !== undefined) checked.path = path(`${what}.path`, given.path);
  else {
    checked.files = texts(`${what}.files`, given.files).map((file) => singleFile(`${what}.files`, file));
    if (checked.files.length === 0) bad(`${what}.files: the list is empty`);
    const names = new Set();
    for (const { name } of checked.files) {
      if (names.has(name)) bad(`${what}.files: two files would both be \`${clean(name)}\` in the archive`, 'put one of them into a source of its own');
      names.add(name);
    }
  }
  for (const place of checked.files?.map((file) => file.path) ?? [checked.path]) {
    if (inside(backupDir, place)) bad(`${what}: ${clean(place)} is the backups folder or inside it`, 'choose another backupDir');
  }
  return checked;
}

function retention(given) {
  known('retention', given, Object.keys(RETENTION));
  const policy = { ...RETENTION };
  for (const [key, value] of Object.entries(given)) {
    if (value === undefined) continue;
    const what = `retention.${key}`;
    // Seconds are the contract's 64-bit numbers; a plain number will do.
    if (key.endsWith('Seconds')) policy[key] = BigInt(whole(what, typeof value === 'bigint' ? Number(value) : value, 0, HUNDRED_YEARS));
    else policy[key] = whole(what, value, key === 'maxBackups' ? 1 : 0, MOST);
  }
  return policy;
}

/** The options with defaults and whole paths. Throws `InvalidInput` for what is wrong, unknown or contradictory. */
export function checked(options) {
  known('options', options, KEYS);
  if (options.databases !== undefined) throw new Unsupported('the Node host dumps no databases', 'make these backups with the program `cofre` or the Python host');
  const { backupDir = 'backups', exclusive = false, compression = 'deflate' } = options;
  if (typeof exclusive !== 'boolean') bad('exclusive: has to be true or false');
  if (typeof compression !== 'string' || !Object.hasOwn(LEVELS, compression)) bad(`compression: ${clean(String(compression))} is none of ${Object.keys(LEVELS).join(', ')}`);
  const [level, most] = LEVELS[compression];
  const folder = path('backupDir', backupDir);
  const stateDir = path('stateDir', options.stateDir ?? '.cofre');
  if (inside(folder, stateDir)) bad("stateDir: can't be the backups folder or inside it (the component writes there)");
  if (!isObject(options.sources) || Object.keys(options.sources).length === 0) bad('sources: there is nothing to back up');
  return {
    exclusive,
    backupDir: folder,
    stateDir,
    zipPathPrefix: `${backupDir.replace(/\/+$/, '')}/`,
    // By name as in the program: the first failure is then the same one.
    sources: Object.entries(options.sources)
      .map(([name, given]) => source(name, given, folder))
      .sort((a, b) => Buffer.compare(Buffer.from(a.folder), Buffer.from(b.folder))),
    compression,
    level: whole('level', options.level ?? level, 1, most),
    policy: retention(options.retention ?? {}),
  };
}
