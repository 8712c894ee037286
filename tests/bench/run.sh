#!/usr/bin/env bash
# How cofre compares with `zip -r -6`: time to create a backup of 10,000 real files with one worker, size, and
# peak memory. Prints the ratios; judges nothing (that is the reader's).
#
#   tests/bench/run.sh [FILES] [WORKERS]
#
# Needs hyperfine, zip, time and python3 (Debian packages of the same names). The corpus is made once, of the
# sources of the crates that cofre is built from, and kept in tests/bench/corpus.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
files=${1:-10000} workers=${2:-1} runs=${RUNS:-7}

for program in hyperfine zip python3 /usr/bin/time; do
    command -v "$program" >/dev/null || { echo "$program is not installed" >&2; exit 2; }
done

corpus=tests/bench/corpus/$files
if [ ! -d "$corpus" ]; then
    cargo fetch --locked
    mkdir -p "$corpus.new"
    count=0
    while IFS= read -r crate; do
        [ "$count" -ge "$files" ] && break
        cp -a "$crate" "$corpus.new/"
        count=$((count + $(find "$crate" -type f | wc -l)))
    done < <(find "${CARGO_HOME:-$HOME/.cargo}"/registry/src -mindepth 2 -maxdepth 2 -type d | sort)
    [ "$count" -ge "$files" ] || { echo "only $count files in cargo's registry" >&2; exit 2; }
    mv "$corpus.new" "$corpus"
fi
corpus=$PWD/$corpus

cargo build --release --locked
cofre=$PWD/target/release/cofre
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/cofre.toml" <<TOML
backup_dir = "backups"
[archive]
compression = "deflate"
level = 6
workers = $workers
[sources.static]
path = "$corpus"
TOML

printf '%s files, %s bytes, %s worker(s)\n' "$(find "$corpus" -type f | wc -l)" \
    "$(find "$corpus" -type f -printf '%s\n' | awk '{n += $1} END {print n}')" "$workers"
clean="rm -rf $work/backups $work/.cofre $work/zip.zip"
hyperfine --warmup 2 --runs "$runs" --prepare "$clean" --export-json "$work/times.json" \
    --command-name cofre "$cofre -q --config $work/cofre.toml create --full" \
    --command-name "zip -r -6" "cd $corpus && zip -q -r -6 $work/zip.zip ."

peak() { /usr/bin/time -f %M -o "$work/peak" "$@" >/dev/null && cat "$work/peak"; }
$clean
cofre_kib=$(peak "$cofre" -q --config "$work/cofre.toml" create --full)
zip_kib=$(cd "$corpus" && peak zip -q -r -6 "$work/zip.zip" .)
verify_kib=$(peak "$cofre" -q --config "$work/cofre.toml" verify latest)
restore_kib=$(peak "$cofre" -q --config "$work/cofre.toml" restore latest --to "$work/restored")

python3 - "$work" "$cofre_kib" "$zip_kib" "$verify_kib" "$restore_kib" <<'REPORT'
import glob, json, os, sys
work, *kib = sys.argv[1:]
cofre, zip_ = json.load(open(work + "/times.json"))["results"]
sizes = [os.path.getsize(glob.glob(work + "/backups/backup_*.zip")[0]), os.path.getsize(work + "/zip.zip")]
mib = [int(k) / 1024 for k in kib]
print(f"time    cofre {cofre['median']:.3f} s   zip {zip_['median']:.3f} s   ratio {cofre['median'] / zip_['median']:.2f} (at most 1.50)")
print(f"size    cofre {sizes[0]}   zip {sizes[1]}   ratio {sizes[0] / sizes[1]:.2f}")
print(f"memory  create {mib[0]:.0f} MiB   verify {mib[2]:.0f} MiB   restore {mib[3]:.0f} MiB (below 128)   zip {mib[1]:.0f} MiB")
REPORT
