// The contract's records as the objects that `cofre --json` and the original system give.

const snake = (name) => name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);

/** Plain JSON data: `_` in names, numbers, null for what is not there. */
export function plain(value) {
  if (value === undefined) return null;
  if (typeof value === 'bigint') return Number(value);
  // Lists of numbers come as typed arrays.
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return Array.from(value, plain);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [snake(key), plain(field)]));
}

/** A row of the catalog. */
export function row(backup) {
  const { backup_type: type, ...rest } = plain(backup);
  const { id, name, ...others } = rest;
  return { id, name, type, ...others, status: others.status.replace('-', '_') };
}

/** The totals; `undefined` stands for a folder that does not exist yet. */
export function status(summary, config) {
  const totals = summary
    ? plain(summary)
    : {
        total_backups: 0, completed_backups: 0, failed_backups: 0, partial_backups: 0, total_size_bytes: 0, last_backup: null,
        last_success: null, archives_missing: [], archives_unknown: [], future: [],
      };
  const { last_backup: last, last_success: success, archives_missing, archives_unknown, future, ...numbers } = totals;
  return {
    ...numbers,
    total_size_mb: Math.round((numbers.total_size_bytes / 1048576) * 100) / 100,
    max_backups: config.maxBackups,
    backup_dir: config.zipPathPrefix.replace(/\/+$/, ''),
    last_backup: summary?.lastBackup ? row(summary.lastBackup) : last,
    last_success: summary?.lastSuccess ? row(summary.lastSuccess) : success,
    archives_missing,
    archives_unknown,
    future,
  };
}

const utc = (ns) => {
  const seconds = ns >= 0n ? ns / 1000000000n : -((-ns + 999999999n) / 1000000000n);
  const nanos = String(ns - seconds * 1000000000n).padStart(9, '0');
  return `${new Date(Number(seconds) * 1000).toISOString().slice(0, 19)}.${nanos}Z`;
};

/** One entry of an archive. */
export function entry(item) {
  return {
    path: item.path,
    kind: item.kind.tag,
    ...(item.kind.tag === 'symlink' ? { target: item.kind.val } : {}),
    size: Number(item.size),
    compressed_size: Number(item.compressedSize),
    mtime: item.mtimeNs === undefined ? null : utc(item.mtimeNs),
    mode: item.mode === undefined ? null : item.mode.toString(8).padStart(4, '0'),
    crc32: item.crc32 === undefined ? null : item.crc32.toString(16).padStart(8, '0'),
    changed: item.changed,
  };
}
