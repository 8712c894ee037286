import type * as Contract from './generated/interfaces/cofre-backup-types.js';
import type { RetentionPolicy } from './generated/interfaces/cofre-backup-engine.js';
import type { Progress } from './generated/interfaces/cofre-backup-jobs.js';

export type { Contract };
export declare const WIT_VERSION: string;

/** One folder of the archive: a folder on disk, or single files. */
export type Source = ({ path: string; files?: undefined } | { files: string[]; path?: undefined }) & {
  include?: string[];
  exclude?: string[];
  allowEmpty?: boolean;
};

export interface Options {
  /** Default: `backups`. */
  backupDir?: string;
  /** Where runs stage their files; default: `.cofre`. */
  stateDir?: string;
  /** By the name of the folder in the archive. */
  sources: Record<string, Source>;
  compression?: 'deflate' | 'zstd' | 'store';
  level?: number;
  retention?: { [Key in keyof RetentionPolicy]?: RetentionPolicy[Key] extends bigint ? bigint | number : RetentionPolicy[Key] };
  /** That nothing else writes to the backups folder meanwhile: demanded by everything that writes, since Node has no flock(2). */
  exclusive?: boolean;
}

/** A row of the catalog, as `cofre --json` gives it. */
export interface Row {
  id: number | null;
  name: string | null;
  type: string;
  timestamp: string;
  status: 'in_progress' | 'completed' | 'partial' | 'failed' | 'cancelled';
  size: number;
  error: string | null;
  zip_path: string | null;
  [field: string]: unknown;
}

export interface Control {
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
}

export interface Restored {
  success: true;
  backup: Row;
  restore_path: string;
  metadata: Record<string, unknown> | null;
  links_left_out: object[];
}

export declare class Repository {
  constructor(options: Options);
  list(): Row[];
  status(): Record<string, unknown>;
  find(selector: string | number): Row;
  entries(selector: string | number): object[];
  details(selector: string | number): { backup: Row; component_version: string | null; databases: object[]; skipped: object[] };
  diff(a: string | number, b: string | number): { path: string; change: string }[];
  verify(selector?: string | number, options?: { quick?: boolean } & Control): { status: string; problems: string[]; backup: Row };
  create(options?: { type?: string; plan?: string; full?: boolean } & Control): Row;
  delete(selector: string | number, options?: { force?: boolean }): Row;
  prune(options?: { dryRun?: boolean }): { backup: Row; keep: boolean; reasons: string[] }[];
  pin(selector: string | number, pinned?: boolean): Row;
  rebuild(): { backups: Row[]; kept_aside: string | null; problems: string[]; left_out: string[] };
  restore(selector: string | number, options?: { to?: string; only?: string[]; absoluteLinks?: boolean } & Control): Restored;
}

export declare class BackupManager {
  constructor(options: Options);
  createBackup(type?: string): Row;
  getBackupStatus(): Record<string, unknown>;
  listBackups(): Row[];
  restoreBackup(selector: string | number, to?: string): Restored | { success: false; error: string; code: string };
  deleteBackup(selector: string | number): boolean;
}

export declare class CofreError extends Error {
  code: string;
  /** The cause without the remedy. */
  detail: string;
  remedy?: string;
}
export declare class InvalidInput extends CofreError {}
export declare class SourceMissing extends CofreError {}
export declare class NotFound extends CofreError {}
export declare class AlreadyExists extends CofreError {}
export declare class Refused extends CofreError {}
export declare class Corrupt extends CofreError {}
export declare class CatalogInvalid extends CofreError {}
export declare class AccessDenied extends CofreError {}
export declare class NoSpace extends CofreError {}
export declare class Io extends CofreError {}
export declare class Unsupported extends CofreError {}
export declare class Cancelled extends CofreError {}
export declare class Busy extends CofreError {}
export declare class SandboxRefused extends CofreError {}
export declare class Internal extends CofreError {}
