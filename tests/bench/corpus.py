#!/usr/bin/env python3
"""Makes what the benchmark backs up, once, in tests/bench/corpus; the same bytes on every machine.

    tests/bench/corpus.py [A B C D E]

A  15,341 small text files: the sources of the crates that crates/Cargo.lock pins
B  one file of machine code: the largest libraries of the wheels that wheels.txt pins, one after another
C  already compressed: the packed crates and wheels themselves, as files of 2 to 8 MiB
D  200,000 files of 100 to 2,000 bytes of text in 2,000 folders: cuttings of A
E  one sparse file of 10 GiB with a MiB of machine code in every 256

The packages come through cargo and pip, which check their hashes; the digest of each finished corpus is compared
with corpus.sha256. E is made of B, and not digested: its 10 GiB take longer to read than to trust.
"""
import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
CORPUS = os.path.join(HERE, "corpus")
MIB = 1 << 20
# Everything below has this time: long before any run, so that nothing counts as just written.
MTIME = 1_600_000_000
# Bytes on disk, with room for blocks that are not full.
NEED = {"A": 260, "B": 400, "C": 280, "D": 900, "E": 50, "download": 400}
# In this order.
LIBRARIES = [
    ("llvmlite", "libllvmlite.so"),
    ("polars", "polars.abi3.so"),
    ("pyarrow", "libarrow.so.1801"),
    ("pyarrow", "libarrow_flight.so.1801"),
    ("pyarrow", "libparquet.so.1801"),
    ("duckdb", "duckdb.cpython-311-x86_64-linux-gnu.so"),
]


def crates():
    """The packed crates of A. Import libraries for Windows are not text."""
    manifest = os.path.join(HERE, "crates", "Cargo.toml")
    subprocess.run(["cargo", "fetch", "--quiet", "--locked", "--manifest-path", manifest], check=True)
    with open(os.path.join(HERE, "crates", "Cargo.lock"), "rb") as lock:
        packages = tomllib.load(lock)["package"]
    caches = os.path.join(os.environ.get("CARGO_HOME", os.path.expanduser("~/.cargo")), "registry", "cache")
    for package in packages:
        if "checksum" not in package or package["name"].startswith(("windows", "winapi")):
            continue
        name = f"{package['name']}-{package['version']}.crate"
        for path in (os.path.join(caches, registry, name) for registry in sorted(os.listdir(caches))):
            if os.path.exists(path) and file_digest(path) == package["checksum"]:
                yield path
                break
        else:
            sys.exit(f"{name} is not in cargo's cache, or damaged there")


def wheels():
    """The wheels, by distribution name."""
    folder = os.path.join(CORPUS, "wheels")
    wanted = open(os.path.join(HERE, "wheels.txt")).read().count("--hash=")
    if not os.path.isdir(folder) or len(os.listdir(folder)) != wanted:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--require-hashes", "--only-binary", ":all:", "--python-version", "311", "--implementation", "cp",
             "--platform", "manylinux2014_x86_64", "--dest", folder,
             "--requirement", os.path.join(HERE, "wheels.txt")],
            check=True,
        )
    return {name.split("-")[0]: os.path.join(folder, name) for name in sorted(os.listdir(folder))}


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as out:
        out.write(data)


def make_a(to):
    for crate in crates():
        with tarfile.open(crate) as tar:
            for member in tar:
                if member.isfile():
                    if member.name.startswith("/") or ".." in member.name.split("/"):
                        sys.exit(f"{crate} has an unsafe name")
                    write(os.path.join(to, member.name), tar.extractfile(member).read())


def make_b(to):
    found = wheels()
    os.makedirs(to)
    with open(os.path.join(to, "libraries.bin"), "wb") as out:
        for wheel, library in LIBRARIES:
            with zipfile.ZipFile(found[wheel]) as archive:
                [name] = [n for n in archive.namelist() if n.endswith("/" + library)]
                with archive.open(name) as data:
                    shutil.copyfileobj(data, out, MIB)


def make_c(to):
    rng = random.Random(3)
    packed = bytearray()
    number = 0

    def cut(least):
        nonlocal packed, number
        while len(packed) > least:
            n = rng.randrange(2 * MIB, 8 * MIB)
            write(os.path.join(to, f"{number // 10:02}", f"media-{number:03}.bin"), packed[:n])
            packed, number = packed[n:], number + 1

    for path in [*wheels().values(), *crates()]:
        with open(path, "rb") as data:
            packed += data.read()
        cut(8 * MIB)
    cut(0)


def make_d(to):
    rng = random.Random(4)
    text = bytearray()
    for folder, names, files in os.walk(corpus("A")):
        names.sort()
        for name in sorted(files):
            if name.endswith(".rs"):
                with open(os.path.join(folder, name), "rb") as data:
                    text += data.read()
    for number in range(200_000):
        size = rng.randint(100, 2_000)
        at = rng.randrange(len(text) - size)
        write(os.path.join(to, f"{number // 4000:02}", f"{number // 100:04}", f"note-{number:06}.txt"), text[at : at + size])


def make_e(to):
    os.makedirs(to)
    with open(os.path.join(corpus("B"), "libraries.bin"), "rb") as code, open(os.path.join(to, "disk.img"), "wb") as out:
        for at in range(0, 10 << 30, 256 * MIB):
            out.seek(at)
            out.write(code.read(MIB))
        out.truncate(10 << 30)


def file_digest(path):
    with open(path, "rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def tree_digest(top):
    """Of names and contents, and sets the times on the way."""
    whole = hashlib.sha256()
    for folder, names, files in os.walk(top):
        names.sort()
        for name in sorted(files):
            path = os.path.join(folder, name)
            os.chmod(path, 0o644)
            os.utime(path, (MTIME, MTIME))
            whole.update(f"{os.path.relpath(path, top)}\0{file_digest(path)}\n".encode())
    for folder, _, _ in os.walk(top, topdown=False):
        os.utime(folder, (MTIME, MTIME))
    return whole.hexdigest()


def corpus(name):
    """The folder of a corpus, which is made where it is missing."""
    done = os.path.join(CORPUS, name)
    if os.path.isdir(done):
        return done
    os.makedirs(CORPUS, exist_ok=True)
    free, need = shutil.disk_usage(CORPUS).free // MIB, NEED[name] + NEED["download"]
    if free < need:
        sys.exit(f"corpus {name} and what it is made of take {need} MiB, and {free} are free")
    print(f"making corpus {name}", file=sys.stderr)
    new = done + ".new"
    shutil.rmtree(new, ignore_errors=True)
    globals()["make_" + name.lower()](new)
    if name != "E":
        digest = tree_digest(new)
        with open(os.path.join(HERE, "corpus.sha256")) as pins:
            expected = re.search(rf"^([0-9a-f]{{64}})  {name}$", pins.read(), re.M)
        if not expected or expected[1] != digest:
            sys.exit(f"corpus {name} is not what it should be: {digest}")
    os.rename(new, done)
    return done


if __name__ == "__main__":
    for name in sys.argv[1:] or "ABCDE":
        print(corpus(name))
