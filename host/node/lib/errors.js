// Why an operation did not do what was asked: one class for each case of the WIT variant `error`, and those that only a
// host knows. `code` is the same stable word as in `cofre --json`.

/** Any failure. */
export class CofreError extends Error {
  static code = 'internal';

  constructor(message, remedy) {
    super();
    this.name = new.target.name;
    this.code = new.target.code;
    /** The cause without the remedy, as the catalog has it. */
    this.detail = message;
    this.remedy = remedy;
  }

  get message() {
    return this.remedy ? `${this.detail} (${this.remedy})` : this.detail;
  }
}

const kind = (name, code) => ({ [name]: class extends CofreError { static code = code; } })[name];

export const InvalidInput = kind('InvalidInput', 'usage');
export const SourceMissing = kind('SourceMissing', 'source_missing');
export const NotFound = kind('NotFound', 'not_found');
export const AlreadyExists = kind('AlreadyExists', 'already_exists');
export const Refused = kind('Refused', 'refused');
export const Corrupt = kind('Corrupt', 'corrupt');
export const CatalogInvalid = kind('CatalogInvalid', 'catalog_invalid');
export const AccessDenied = kind('AccessDenied', 'access_denied');
export const NoSpace = kind('NoSpace', 'no_space');
export const Io = kind('Io', 'io');
export const Unsupported = kind('Unsupported', 'unsupported');
export const Cancelled = kind('Cancelled', 'cancelled');
export const Busy = kind('Busy', 'busy');
export const SandboxRefused = kind('SandboxRefused', 'sandbox_refused');
export const Internal = kind('Internal', 'internal');

const VARIANTS = {
  'invalid-input': InvalidInput,
  'source-missing': SourceMissing,
  'not-found': NotFound,
  'already-exists': AlreadyExists,
  refused: Refused,
  corrupt: Corrupt,
  'catalog-invalid': CatalogInvalid,
  'access-denied': AccessDenied,
  'no-space': NoSpace,
  io: Io,
  unsupported: Unsupported,
  cancelled: Cancelled,
};

const BY_ERRNO = { EACCES: AccessDenied, EPERM: AccessDenied, EROFS: AccessDenied, ENOSPC: NoSpace, EDQUOT: NoSpace, EEXIST: AlreadyExists };

/** Control characters as escapes: harmless for a terminal and a log. */
export const clean = (text) =>
  // eslint-disable-next-line no-control-regex
  text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, (c) => `\\u{${c.charCodeAt(0).toString(16)}}`);

/** The error of a case of the contract; `places` maps preopens to the folders that people know. */
export function fromWit({ tag, val }, places) {
  let subject = val.subject;
  for (const [name, real] of Object.entries(places)) {
    if (subject === name || subject?.startsWith(`${name}/`)) {
      subject = real + subject.slice(name.length);
      break;
    }
  }
  const about = subject === undefined ? '' : ` ${subject}`;
  return new (VARIANTS[tag] ?? Internal)(clean(`${val.operation}${about}: ${val.message}`), val.remedy && clean(val.remedy));
}

/** The error of a failed system call while doing `what`. */
export function fromOs(what, error) {
  return new (BY_ERRNO[error.code] ?? Io)(`${what}: ${error.code ?? error.message}`);
}
