#!/usr/bin/env node
// Writes lib/generated: the released component as an ES module, with types from the contract.
//
//   node build_component.mjs [COFRE]      COFRE: the program; default: target/release/cofre of this checkout, else `cofre`

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { transpileBytes } from '@bytecodealliance/jco-transpile';

const here = import.meta.dirname;
const built = join(here, '../../target/release/cofre');
const program = process.argv[2] ?? (existsSync(built) ? built : 'cofre');
const work = mkdtempSync(join(tmpdir(), 'cofre-'));
try {
  const wasm = join(work, 'cofre.wasm');
  execFileSync(program, ['component', '--output', wasm], { stdio: ['ignore', 'ignore', 'inherit'] });
  const { files } = await transpileBytes(readFileSync(wasm), { name: 'cofre', instantiation: 'sync', emitTypescriptDeclarations: true });
  const target = join(here, 'lib/generated');
  rmSync(target, { recursive: true, force: true });
  for (const [name, bytes] of Object.entries(files)) {
    const file = join(target, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, bytes);
  }
} finally {
  rmSync(work, { recursive: true });
}
