// Asks the Node host for one operation: `driver.mjs OPERATION ARGUMENTS-AS-JSON`; prints `{"ok": …}` or `{"error": code}`.

import { readFileSync } from 'node:fs';

const { CofreError, Repository } = await import(process.env.COFRE_NODE ?? '../../host/node/lib/index.js');
const [, , operation, text] = process.argv;
const given = JSON.parse(text);
const compression = /compression = "(\w+)"/.exec(readFileSync('cofre.toml', 'utf8'))[1];
const repository = new Repository({
  sources: {
    static: { path: 'static', exclude: ['**/*.tmp'] },
    config: { files: ['requirements.txt', 'etc/app.ini'] },
    logs: { path: 'logs', allowEmpty: true },
    some: { path: 'static', include: ['js/**', '**/*.css'] },
  },
  compression,
  retention: { maxBackups: 3 },
  exclusive: true,
});
const { selector, a, b, pinned, dry_run: dryRun, absolute_links: absoluteLinks, ...rest } = given;
const calls = {
  list: () => repository.list(),
  status: () => repository.status(),
  find: () => repository.find(selector),
  entries: () => repository.entries(selector),
  details: () => repository.details(selector),
  diff: () => repository.diff(a, b),
  verify: () => repository.verify(selector),
  create: () => repository.create(rest),
  delete: () => repository.delete(selector),
  pin: () => repository.pin(selector, pinned),
  prune: () => repository.prune({ dryRun }),
  rebuild: () => repository.rebuild(),
  restore: () => repository.restore(selector, { absoluteLinks, ...rest }),
};
let answer;
try {
  answer = { ok: calls[operation]() };
} catch (error) {
  if (!(error instanceof CofreError)) throw error;
  console.error(error.message);
  answer = { error: error.code };
}
console.log(JSON.stringify(answer));
// The shim keeps a thread, which would keep the program.
process.exit(0);
