"""Dumps of SQLite databases: byte for byte those of the program, from databases in use as well, and they load again."""

import os
import random
import sqlite3
import struct
import subprocess
import threading
import zipfile
from pathlib import Path

import pytest
from conftest import App, tool

import cofre
from cofre.sqlite.file_name import file_names
from cofre.sqlite.literal import real

ODD = """
PRAGMA page_size = 8192;
PRAGMA auto_vacuum = FULL;
PRAGMA user_version = 7;
PRAGMA application_id = 77;
CREATE TABLE plain(a, b TEXT DEFAULT 'x;y', c REAL);
CREATE TABLE "Foto"(id INTEGER PRIMARY KEY AUTOINCREMENT, dados BLOB);
CREATE TABLE "odd ""name"" / é"(x -- a comment
);
CREATE TABLE keyed(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
CREATE TABLE made(a INT, b INT GENERATED ALWAYS AS (a * 2) VIRTUAL, rowid TEXT);
CREATE TABLE schema(a); CREATE TABLE restore(a); CREATE TABLE con(a); CREATE TABLE "x"(a);
CREATE TABLE checked(a CHECK (a > 0));
CREATE TABLE empty(a);
CREATE INDEX plain_a ON plain(a);
CREATE VIEW seen AS SELECT a,
 b FROM plain;
CREATE TRIGGER touched AFTER INSERT ON keyed BEGIN INSERT INTO plain(a) VALUES (new.k); END;
CREATE VIRTUAL TABLE texts USING fts5(body);
INSERT INTO texts VALUES ('o rato roeu'), ('a roupa');
PRAGMA ignore_check_constraints = ON;
INSERT INTO checked VALUES (-1);
INSERT INTO made(a, rowid) VALUES (1, 'one'), (2, 'two');
"""

VALUES: list[object] = [
    None, 0, -1, 2**63 - 1, -(2**63), 0.0, -0.0, 1.5, 0.1, 1 / 3, 1e15, 1e16, 1e22, 1e300, -1e-300, 5e-324, 1.7976931348623157e308,
    float("inf"), float("-inf"), 4.35, 2.5e-8, 123456789.12345678, "", "O'Brien", "a\r\nb", "\\n\n", "\\r\\n\r\n", "çãé€𝄞", "tab\t",
    "a\0b", b"", b"\0\xff", os.urandom(600), "--", "/* */", "x" * 5000,
]  # fmt: skip


def odd(path: Path, encoding: str, wal: bool) -> None:
    """A database with a bit of everything."""
    db = sqlite3.connect(path, isolation_level=None)
    # Each row is a commit of its own, which need not survive the machine.
    db.execute("PRAGMA synchronous = OFF")
    db.execute(f"PRAGMA encoding = '{encoding}'")
    db.executescript(ODD)
    if wal:
        db.execute("PRAGMA journal_mode = WAL")
    with db:
        for value in VALUES:
            db.execute("INSERT INTO plain VALUES (?, ?, ?)", (value, value, value))
            db.execute('INSERT INTO "Foto"(dados) VALUES (?)', (value,))
        db.execute("INSERT INTO plain(a) VALUES (CAST(x'ff41' AS TEXT))")
        db.execute("INSERT INTO plain(b) VALUES (CAST(x'00d841' AS TEXT))")
        db.executemany("INSERT INTO keyed VALUES (?, ?)", ((f"k{n:04}", n) for n in range(700)))
        db.execute("DELETE FROM plain WHERE rowid = 3")
        db.execute("ANALYZE")
    db.close()


def dumped(app: App, name: str) -> dict[str, bytes]:
    """The files below `database/` in an archive."""
    with zipfile.ZipFile(app.backups / f"{name}.zip") as archive:
        return {n: archive.read(n) for n in archive.namelist() if n.startswith("database/") and not n.endswith("/")}


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
@pytest.mark.parametrize("wal", [False, True])
def test_the_dump_is_that_of_the_program(app: App, encoding: str, wal: bool) -> None:
    odd(app.root / "app.db", encoding, wal)
    app.config.write_text('[databases.app]\nurl = "sqlite:app.db"\n')
    theirs, ours = app.cofre("create"), app.repository().create()
    assert ours is not None
    a, b = dumped(app, theirs["name"]), dumped(app, ours["name"])
    assert list(a) == list(b)
    for name in a:
        assert a[name] == b[name], name
    assert [d | {"version": ""} for d in app.repository().details(1)["databases"]] == [
        d | {"version": ""} for d in app.repository().details(2)["databases"]
    ]
    beside = {path.name for path in app.root.iterdir()} & {"app.db-wal", "app.db-shm", "app.db-journal"}
    assert not beside, "nothing is left beside the original"
    loads_again(app, ours["name"])


def loads_again(app: App, name: str) -> None:
    """The shell loads the dump, and what it loads has the same rows."""
    folder = app.root / "loaded"
    with zipfile.ZipFile(app.backups / f"{name}.zip") as archive:
        archive.extractall(folder)
    with (folder / "database/restore.sql").open() as script:
        subprocess.run([tool("sqlite3"), "-bail", "new.db"], stdin=script, cwd=folder / "database", check=True)
    pairs = [sqlite3.connect(path) for path in (app.root / "app.db", folder / "database/new.db")]
    for table in ("plain", '"Foto"', "keyed", "made", "checked", "texts", "sqlite_sequence"):
        rows = []
        for db in pairs:
            db.text_factory = bytes
            rows.append([tuple(map(repr, row)) for row in db.execute(f"SELECT * FROM {table}")])
        assert rows[0] == rows[1], table
    for db in pairs:
        db.close()


def test_two_databases_have_folders_of_their_own(app: App) -> None:
    for name in ("um", "dois"):
        odd(app.root / f"{name}.db", "UTF-8", False)
    app.config.write_text('[databases.um]\nurl = "sqlite:um.db"\n[databases.dois]\nurl = "sqlite:dois.db"\n')
    theirs, ours = app.cofre("create"), app.repository().create()
    assert ours is not None
    assert dumped(app, theirs["name"]) == dumped(app, ours["name"])
    assert "database/um/restore.sql" in dumped(app, ours["name"])


@pytest.mark.parametrize("wal", [False, True])
def test_the_application_s_own_connection_keeps_its_locks(app: App, wal: bool) -> None:
    odd(app.root / "app.db", "UTF-8", wal)
    app.config.write_text('[databases.app]\nurl = "sqlite:app.db"\n')
    ours = sqlite3.connect(app.root / "app.db", isolation_level=None)
    ours.execute("BEGIN IMMEDIATE")
    ours.execute("INSERT INTO empty VALUES ('not yet')")
    row = app.repository().create()
    assert row is not None and b"not yet" not in dumped(app, row["name"])["database/empty.sql"]
    # The lock of the open transaction still holds against others: it went with the process's handles otherwise.
    other = subprocess.run(
        [tool("sqlite3"), "app.db", "BEGIN IMMEDIATE;"], cwd=app.root, capture_output=True, text=True, check=False
    )
    assert "locked" in other.stderr, other
    ours.execute("COMMIT")
    row = app.repository().create()
    assert row is not None and b"not yet" in dumped(app, row["name"])["database/empty.sql"]
    ours.close()


def test_the_dump_is_of_one_moment_while_others_write(app: App) -> None:
    path = app.root / "app.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript("PRAGMA journal_mode = WAL; CREATE TABLE a(n); CREATE TABLE b(n);")
    db.executescript("INSERT INTO a VALUES (0); INSERT INTO b VALUES (0);")
    stop = threading.Event()

    def write() -> None:
        mine = sqlite3.connect(path, isolation_level=None, timeout=30)
        while not stop.is_set():
            mine.executescript("BEGIN IMMEDIATE; UPDATE a SET n = n + 1; UPDATE b SET n = n + 1; COMMIT")
        mine.close()

    writer = threading.Thread(target=write)
    writer.start()
    app.config.write_text('[databases.app]\nurl = "sqlite:app.db"\n')
    seen = []
    try:
        for _ in range(5):
            row = app.repository().create()
            assert row is not None
            files = dumped(app, row["name"])
            a, b = (files[f"database/{table}.sql"].splitlines()[-1] for table in "ab")
            assert a == b
            seen.append(a)
    finally:
        stop.set()
        writer.join()
        db.close()
    assert len(set(seen)) > 1, "others wrote meanwhile"


def test_a_wal_of_a_dead_writer_is_in_the_dump(app: App) -> None:
    code = """
import os, sqlite3
db = sqlite3.connect("app.db", isolation_level=None)
db.executescript("PRAGMA journal_mode = WAL; CREATE TABLE t(a); INSERT INTO t VALUES ('in the wal');")
os._exit(0)
"""
    app.python(code)
    (app.root / "app.db-shm").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in app.root.glob("app.db*")}
    app.config.write_text('[databases.app]\nurl = "sqlite:app.db"\n')
    row = app.repository().create()
    assert row is not None and b"in the wal" in dumped(app, row["name"])["database/t.sql"]
    assert {path.name: path.stat().st_mtime_ns for path in app.root.glob("app.db*")} == before


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"", cofre.SourceMissing, "is an empty file"),
        (b"no database at all, but long enough" * 10, cofre.DumpFailed, "is not a SQLite database"),
        (None, cofre.SourceMissing, "does not exist"),
    ],
)
def test_what_is_no_database(app: App, content: bytes | None, error: type[Exception], message: str) -> None:
    if content is not None:
        app.write("app.db", content)
    app.config.write_text('[databases.app]\nurl = "sqlite:app.db"\n')
    with pytest.raises(error, match=message):
        app.repository().create()
    assert app.cofre("create", code=10)["code"] == error.code  # type: ignore[attr-defined]
    assert not app.left()


def test_a_damaged_database_fails_the_run(app: App) -> None:
    odd(app.root / "app.db", "UTF-8", False)
    data = bytearray((app.root / "app.db").read_bytes())
    for at in range(3 * 8192, 6 * 8192, 97):
        data[at] ^= 0xFF
    app.write("app.db", bytes(data))
    app.config.write_text('[databases.app]\nurl = "sqlite:app.db"\n')
    with pytest.raises(cofre.DumpFailed):
        app.repository().create()
    assert not app.left()


def test_a_live_database_in_a_source_is_left_out(app: App) -> None:
    odd(app.root / "static/app.db", "UTF-8", False)
    app.config.write_text('[sources.static]\npath = "static"\n[databases.app]\nurl = "sqlite:static/app.db"\n')
    row = app.repository().create()
    assert row is not None and "static/app.db" not in app.names(row)
    assert app.repository().details(row["id"])["skipped"] == [
        {"path": "static/app.db", "reason": "live database, dumped as `app`", "missing": False}
    ]


def test_reals_come_back_to_the_bit_in_the_shell() -> None:
    numbers = [v for v in VALUES if isinstance(v, float)]
    dice = random.Random(1)
    while len(numbers) < 8_000:
        number = struct.unpack("<d", dice.randbytes(8))[0] if len(numbers) % 2 else dice.randrange(10**9) / 100
        if number == number:
            numbers.append(number)
    sql = "".join(f"SELECT hex(ieee754_to_blob({real(number)}));\n" for number in numbers)
    shown = subprocess.run([tool("sqlite3"), ":memory:"], input=sql, capture_output=True, text=True, check=True).stdout
    for number, line in zip(numbers, shown.split(), strict=True):
        # SQLite has one zero.
        assert struct.unpack(">d", bytes.fromhex(line))[0] == number, number


def test_file_names_follow_the_program_s_rule() -> None:
    for name, file in (
        ("relatorios", "relatorios.sql"),
        ("relatórios", "relatórios.sql"),
        ("sem linhas", "sem%20linhas.sql"),
        ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd.sql"),
        ("schema", "%73chema.sql"),
        ("nul.x", "%6Eul.x.sql"),
        ("COM1", "%43OM1.sql"),
        ("-rf", "%2Drf.sql"),
        ("end.", "end%2E.sql"),
        ("", "%.sql"),
        ("e\u0301", "e%CC%81.sql"),
    ):
        assert file_names([name]) == [file]
    assert file_names(["foto", "Foto", "other"]) == ["foto.sql", "%46oto.sql", "other.sql"]
    long = file_names(["é" * 150, "é" * 150 + "x"])
    assert len(set(long)) == 2 and all(len(file.encode()) <= 204 for file in long)


def test_tables_that_are_left_out_keep_their_definition(app: App) -> None:
    odd(app.root / "app.db", "UTF-8", False)
    app.config.write_text('[databases.app]\nurl = "sqlite:app.db"\nexclude_tables = ["k*", "public.te[vx]ts", "{none,empty}"]\n')
    theirs, ours = app.cofre("create"), app.repository().create()
    assert ours is not None
    files = dumped(app, ours["name"])
    assert files == dumped(app, theirs["name"])
    assert b"INSERT" not in files["database/keyed.sql"] + files["database/texts.sql"]
    assert b"INSERT" in files["database/plain.sql"]


@pytest.mark.parametrize("glob", ["", "[a", "{a"])
def test_a_bad_glob_of_tables_is_refused(app: App, glob: str) -> None:
    app.config.write_text(f'[databases.app]\nurl = "sqlite:app.db"\ntables = ["{glob}"]\n')
    with pytest.raises(cofre.ConfigInvalid, match="is not a pattern"):
        cofre.load(app.config)
    app.cofre("create", code=2)
