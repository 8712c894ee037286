#!/usr/bin/env python3
"""The table of run.sh: report.py RESULTS COFRE. Where a limit is missed it says so; the exit code stays 0."""
import datetime
import glob
import json
import os
import platform
import statistics
import subprocess
import sys

RESULTS, COFRE = sys.argv[1:]
ZSTD, DEFLATE = os.environ["ZSTD_LEVEL"], os.environ["DEFLATE_LEVEL"]
D, Z = "cofre deflate", "cofre zstd"
MIB = 1024
# What is measured, of which group and tool, against which group and tool (None: absolute), and the most that it may
# be (None: only reported).
LIMITS = [
    ("time", "A", D, "A", "zip -6", 0.45), ("time", "A", D, "A", "restic", 1.0), ("size", "A", D, "A", "zip -6", 1.02),
    ("time", "A", Z, "A", "zip -6", 0.3), ("time", "A", Z, "A", "restic", 0.5), ("size", "A", Z, "A", D, 1.1),
    ("time", "B", D, "B", "zip -6", 0.25), ("time", "B", D, "B", "7z -mx=3", 1.0),
    ("time", "B", Z, "B", "zip -6", 0.06), ("time", "B", Z, "B", "restic", 0.45), ("size", "B", Z, "B", D, 1.1),
    ("time", "C", D, "C", "zip -6", 0.4), ("time", "D", D, "D", "zip -6", 0.6),
    *(("time", g, Z, g, "tar+zstd -T2", None) for g in "AB"),
    *(("time", "A unchanged", t, *of) for t in (D, Z) for of in (("A unchanged", "restic", 0.5), ("A", t, 0.2))),
    *(("time", "A changed", t, "A changed", "restic", 0.6) for t in (D, Z)),
    *(("time", g, "cofre " + m, g, "native " + m, most) for g, most in (("A", 1.3), ("B", 1.25)) for m in ("deflate", "zstd")),
    *(("time", g + " restore", D, g + " restore", "unzip", 1.0) for g in "AB"),
    *(("time", g + " verify", D, g + " verify", "unzip -t", 0.6) for g in "AB"),
    *(("time", g + " restore", Z, g + " restore", "7z x zstd", None) for g in "AB"),
    *(("time", g + " verify", Z, g + " verify", "7z t zstd", None) for g in "AB"),
    *(("peak", g + kind, t, None, None, 256 if g == "D" else 128)
      for g in "ABCDE" for kind in ("", " unchanged", " changed", " restore", " verify") for t in (D, Z)),
    ("time", "list", "cofre", None, None, 0.06),
    *(("time", "postgres", t, "postgres", "pg_dump -Fc -Z6", 1.2) for t in (D, Z)),
    ("time", "hosts", "cofre in Python", "hosts", "cofre, 1 worker", 1.5), ("time", "hosts", "cofre in Node", "hosts", "cofre, 1 worker", None),
    *(("peak", "postgres", t, None, None, 128) for t in (D, Z)),
    # No less than 0.8 of the peer's speed is no more than 1.25 of its time.
    *(("time", "remote", "cofre", "remote", peer, 1.25) for peer in ("aws s3 cp", "rclone copy")), ("peak", "remote", "cofre", None, None, 128),
]
GROUPS = ["A", "B", "C", "D", "E", "A unchanged", "A changed", "A restore", "B restore", "A verify", "B verify", "list", "postgres", "hosts", "remote"]
TITLES = {
    "A": "A, full: 15,341 source files, 173 MB", "B": "B, full: one file of machine code, 393 MB",
    "C": "C, full: compressed already, 259 MB", "D": "D, full: 200,000 tiny files, 218 MB",
    "E": "E, full: one sparse file, 10 GiB", "A unchanged": "A, nothing changed", "A changed": "A, 1% of the files changed",
    "A restore": "A, restore", "B restore": "B, restore", "A verify": "A, verify all", "B verify": "B, verify all",
    "list": "`list --json`, 1,000 backups", "postgres": "a PostgreSQL database of 1 GB, dumped and packed",
    "hosts": "A, full, by each host with one instance of the component",
    "remote": "an archive of 1 GB to an S3 server, by cofre encrypted and signed",
}


def read():
    """group -> tool -> {time (s), spread, size (bytes), peak (MiB)}, each where it was measured."""
    found = {}
    for group in sorted(os.listdir(RESULTS)):
        for tool in os.listdir(os.path.join(RESULTS, group)):
            folder = os.path.join(RESULTS, group, tool)
            row = found.setdefault(group, {}).setdefault(tool, {})
            times = []
            for path in glob.glob(folder + "/*.json"):
                times += json.load(open(path))["results"][0]["times"]
            if times:
                row["time"], row["spread"] = statistics.median(times), (max(times) - min(times)) / 2
            if os.path.exists(folder + "/size"):
                row["size"] = int(open(folder + "/size").read())
            row["peak"] = int(open(folder + "/peak").read().split()[-1]) / MIB
    return found


def judge(found, group, tool):
    """The lines about one row, each with its verdict."""
    lines, verdicts = [], []
    for what, of, by, base, other, most in LIMITS:
        if (of, by) != (group, tool) or what not in found[group][tool]:
            continue
        value = found[group][tool][what]
        if base is None:
            text = f"{value:.0f} MiB (≤ {most})" if what == "peak" else f"{value * 1000:.0f} ms (≤ {most * 1000:.0f})"
        else:
            against = found.get(base, {}).get(other, {}).get(what)
            name = other if base == group else "its full run"
            noun = "" if what == "time" else f"{what}: "
            if against is None:
                if base in found:
                    lines.append(f"{noun}of {name} (≤ {most})")
                    verdicts.append("not measured")
                continue
            value /= against
            text = f"{noun}{value:.2f} of {name}" + (f" (≤ {most})" if most else "")
        lines.append(text)
        verdicts.append("–" if most is None else "met" if value <= most else "**NOT met**")
    return "<br>".join(lines), "<br>".join(verdicts)


def table(found):
    """The rows, cofre's first in each group."""
    print("| | seconds (median ± half the range) | size, MB | peak, MiB | ratio (limit) | |\n|---|--:|--:|--:|---|---|")
    for group in GROUPS:
        tools = found.get(group, {})
        if tools:
            print(f"| **{TITLES[group]}** | | | | | |")
        for tool in sorted(tools, key=lambda t: (not t.startswith("cofre"), not t.startswith("native"), t)):
            row = tools[tool]
            digits = 3 if row.get("time", 1) < 1 else 2
            seconds = f"{row['time']:.{digits}f} ± {row['spread']:.{digits}f}" if "time" in row else ""
            size = f"{row['size'] / 1e6:.1f}" if "size" in row else ""
            lines, verdicts = judge(found, group, tool)
            print(f"| {tool} | {seconds} | {size} | {row['peak']:.0f} | {lines} | {verdicts} |")


def first_line(*command, nth=0):
    """What a program says of its version, or that it is not there."""
    try:
        said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    except FileNotFoundError:
        return f"no {command[0]}"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[nth] if len(lines) > nth else command[0]


def conditions():
    """Everything that a reader needs to judge the numbers."""
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    disk = first_line("stat", "-f", "-c", "%T", RESULTS)
    commit = first_line("git", "-C", os.path.dirname(os.path.abspath(__file__)), "describe", "--always", "--dirty")
    print(f"\n{datetime.date.today()}, {os.cpu_count()} × {cpu}, {memory:.0f} GiB, Linux {platform.release()}, {disk}; "
          f"load at the end {os.getloadavg()[0]:.1f}; {os.environ['RUNS']} runs each (list: four times as many), warm cache. ")
    versions = [
        f"{first_line(COFRE, '--version')} ({'not this tree' if os.environ.get('COFRE') else commit}, built for the baseline CPU)",
        first_line("hyperfine", "--version"), first_line("zip", "-v", nth=1).split(",")[0].removeprefix("This is "),
        first_line("unzip", "-v").split(" of ")[0], first_line("7z").split(" : ")[0], first_line("zstd", "--version").strip("* "),
        first_line("restic", "version").split(" compiled")[0], first_line("rustic", "--version"), first_line("borg", "--version"),
        first_line("tar", "--version"), first_line("pg_dump", "--version"), "Node " + first_line("node", "--version"),
    ]
    print(f"Versions: {'; '.join(versions)}. ")
    print(f"Flags: cofre `create --full` (without `--full` where it says unchanged or changed), deflate level {DEFLATE}, zstd level {ZSTD}, "
          "one worker for each core; native: the same engine as a native program on as many threads; `zip -q -r -6`; "
          "`7z a -tzip -mx=N -mmt=2`; `restic backup`; `rustic backup`; `borg create -C zlib,6`, not encrypted; "
          f"`tar | zstd -T2 -{ZSTD}`; `unzip -q`; `unzip -tqq`; `7z x`, `7z t`. restic, rustic and borg into a new repository, "
          "without the time that making it takes.")
    if os.environ["SKIP"].strip():
        print(f"Left out on purpose: {os.environ['SKIP'].strip()}.")


measured = read()
table(measured)
conditions()
