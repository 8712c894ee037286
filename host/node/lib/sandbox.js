// One instance of the component: the directories that it may reach, and calls with plain data. See the README for what
// preview2-shim, which stands between the component and Node's fs, does not isolate.

import { readFileSync } from 'node:fs';
import { filesystem } from '@bytecodealliance/preview2-shim';
import { WASIShim } from '@bytecodealliance/preview2-shim/instantiation';
import { CofreError, Internal, SandboxRefused, clean, fromWit } from './errors.js';

/** The version of the contract that this package speaks. */
export const WIT_VERSION = '0.1.0';

let generated;
try {
  generated = await import('./generated/cofre.js');
} catch (error) {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
  throw new SandboxRefused('this package has no component in it', 'run `npm run build` in a checkout, or install the packed tarball');
}

const modules = new Map();
const load = (name) => {
  if (!modules.has(name)) modules.set(name, new WebAssembly.Module(readFileSync(new URL(`./generated/${name}`, import.meta.url))));
  return modules.get(name);
};

const CHANGES = [
  'appendViaStream', 'createDirectoryAt', 'linkAt', 'removeDirectoryAt', 'renameAt', 'setSize', 'setTimes', 'setTimesAt', 'symlinkAt',
  'unlinkFileAt', 'write', 'writeViaStream',
];

// The shim knows no read-only preopens: this one and everything opened through it refuses changes.
function readOnly(descriptor) {
  const refuse = () => {
    throw 'read-only';
  };
  for (const name of CHANGES) descriptor[name] = refuse;
  const openAt = descriptor.openAt.bind(descriptor);
  descriptor.openAt = (pathFlags, path, openFlags, flags) => {
    if (openFlags?.create || openFlags?.truncate || flags?.write || flags?.mutateDirectory) refuse();
    return readOnly(openAt(pathFlags, path, openFlags, flags));
  };
  return descriptor;
}

/** A folder for the component: its name there, an open handle, the real path for messages, whether it may be written to. */
export class Session {
  /** @param {{name: string, handle: number, path: string, writable?: boolean}[]} mounts */
  constructor(mounts) {
    this.places = Object.fromEntries(mounts.map(({ name, path }) => [name, path]));
    const entries = mounts.map(({ name, handle, writable }) => {
      // The way to an open handle for interfaces that take paths.
      const descriptor = filesystem._createPreopenDescriptor(`/proc/self/fd/${handle}`);
      return [writable ? descriptor : readOnly(descriptor), name];
    });
    const shim = new WASIShim({ sandbox: { preopens: {}, env: {}, args: [], enableNetwork: false } });
    const imports = { ...shim.getImportObject() };
    const preopens = { getDirectories: () => entries };
    for (const key of Object.keys(imports)) if (key.startsWith('wasi:filesystem/preopens')) imports[key] = preopens;
    this.root = generated.instantiate(load, imports, (module, wants) => new WebAssembly.Instance(module, wants));
    for (const name of ['engine', 'jobs', 'shards']) {
      if (!this.root[`cofre:backup/${name}@${WIT_VERSION}`]) {
        throw new SandboxRefused(`the component has no cofre:backup/${name}@${WIT_VERSION}`, 'build the package with the program of this very version');
      }
    }
  }

  guarded(operation, work) {
    try {
      return work();
    } catch (error) {
      if (error instanceof CofreError) throw error;
      const payload = error?.payload ?? error;
      if (typeof payload?.tag === 'string') throw fromWit(payload, this.places);
      throw new Internal(`${operation}: the component failed: ${clean(String(error?.message ?? error))}`, 'this is a bug; please report it');
    }
  }

  /** Calls a function of the interface `engine` by its name in JavaScript (`beginRun`). */
  call(name, ...values) {
    return this.guarded(name, () => this.root.engine[name](...values));
  }

  /** Runs a job to its end, in steps; its report. */
  run(request, now, { signal, onProgress } = {}, cancelled) {
    const job = this.guarded('start', () => new this.root.jobs.Job(request));
    for (;;) {
      if (signal?.aborted) {
        this.guarded('cancel', () => job.cancel(now()));
        throw cancelled();
      }
      const progress = this.guarded('step', () => job.step(4n << 20n, now()));
      onProgress?.(progress);
      if (progress.outcome) return progress.outcome.val;
    }
  }
}
