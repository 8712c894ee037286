// One full backup by the Node host, for run.sh: `node.mjs SOURCE LEVEL`, in the folder that holds `backups`.

const { Repository } = await import(process.env.COFRE_NODE);
const [, , path, level] = process.argv;
const repository = new Repository({ sources: { static: { path } }, compression: 'deflate', level: Number(level), exclusive: true });
const row = repository.create({ full: true });
if (row.status !== 'completed') throw new Error(`${row.status}: ${row.error}`);
// The shim keeps a thread, which would keep the program.
process.exit(0);
