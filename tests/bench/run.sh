#!/usr/bin/env bash
# How cofre compares with its peers, as one Markdown table on standard output: medians, ratios against the limits
# that it is held to, sizes and peak memory. Absolute times depend on the machine; ratios within one run count.
#
#   tests/bench/run.sh [A] [B] [C] [D] [E] [incremental] [restore] [list] [postgres] [hosts] [remote]   (all of these by default)
#   tests/bench/run.sh identical
#
# A to E are full backups of the corpora that corpus.py makes; `incremental` is A unchanged and with every hundredth
# file changed; `restore` is restoring and verifying A and B; `list` a catalog of 1,000 backups;
# `postgres` a database of 1 GB, dumped and packed; `hosts` A by the hosts in Python and Node against one worker of the
# program, and `remote` copies an archive of 1 GB to an S3 server on this machine, encrypted, against `aws s3 cp` and
# `rclone copy`, which copy it as it is; for both `.ci/requirements.txt` has to be installed. `identical` measures nothing: it fails unless 1, 2, 3 and 8 workers give the same bytes on A to D, which other tools accept.
#
#   RUNS=5          timed runs of each command, in rounds over all of them, so that a slow minute strikes everybody
#   ZSTD_LEVEL=1    cofre's default level for zstd; `tar | zstd` gets the same
#   DEFLATE_LEVEL=5 cofre's default level for deflate; the peers keep theirs
#   COFRE=PATH      another build of cofre, to compare with
#   SKIP="rustic"   peers to leave out on purpose; the table says so
#   KEEP=1          keep the measurements (the folder is named at the end)
#
# Each command first runs once for its peak memory and size, which warms the cache; its output is removed and the
# disk synced before each run. Everything is on one disk, below target/. Every tool syncs or not as it does by itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD
runs=${RUNS:-5} zstd_level=${ZSTD_LEVEL:-1} deflate_level=${DEFLATE_LEVEL:-5} skip=" ${SKIP:-} " cores=$(nproc)
parts=("$@")
[ "$#" -gt 0 ] || parts=(A B C D E incremental restore list postgres hosts remote)
for part in "${parts[@]}"; do
    case $part in A | B | C | D | E | incremental | restore | list | postgres | hosts | remote | identical) ;; *) echo "no part: $part" >&2; exit 2 ;; esac
done

# command -> how to get it. A peer that is missing ends the run: a table without it would look like a win.
missing=0
while read -r program package; do
    [[ $skip == *" $program "* ]] && continue
    # A pattern is for what is not on PATH.
    compgen -G "$program" >/dev/null || command -v "$program" >/dev/null || { echo "$program is missing; install it: $package" >&2; missing=1; }
done <<'PEERS'
hyperfine apt-get install hyperfine
faketime apt-get install faketime
bsdtar apt-get install libarchive-tools
pg_dump apt-get install postgresql-client
/usr/lib/postgresql/*/bin/initdb apt-get install postgresql postgresql-contrib
/usr/bin/time apt-get install time
python3 apt-get install python3
zip apt-get install zip
unzip apt-get install unzip
7z apt-get install p7zip-full
tar apt-get install tar
zstd apt-get install zstd
restic apt-get install restic
borg apt-get install borgbackup
rustic cargo install rustic-rs --locked --version 0.11.4 --no-default-features
PEERS
if [[ " ${parts[*]} " == *" hosts "* ]]; then
    command -v npm >/dev/null && python3 -c 'import wasmtime' 2>/dev/null ||
        { echo "npm or Python's wasmtime is missing; install them: pip install --require-hashes -r .ci/requirements.txt" >&2; missing=1; }
fi
if [[ " ${parts[*]} " == *" remote "* ]]; then
    while read -r program package; do
        [[ $skip == *" $program "* ]] && continue
        command -v "$program" >/dev/null || { echo "$program is missing; install it: $package" >&2; missing=1; }
    done <<'PEERS'
weed pip install --require-hashes -r .ci/requirements.txt
curl apt-get install curl
aws pip install awscli
rclone apt-get install rclone
PEERS
fi
[ "$missing" = 0 ] || exit 2

# The build as released: for any CPU of the architecture, whatever the caller's environment says.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
cofre=${COFRE:-$root/target/release/cofre}
[ -n "${COFRE:-}" ] || cargo build --release --locked -p cofre >&2
cargo build --release --locked -p cofre-component --example native >&2
native=$root/target/release/examples/native

work=$(mktemp -d "$root/target/bench.XXXXXX")
# shellcheck disable=SC2064
if [ -n "${KEEP:-}" ]; then trap "echo 'kept in $work' >&2" EXIT; else trap "rm -rf '$work'" EXIT; fi
results=$work/results
mkdir -p "$results"
# Settings and caches of the peers: none of the user's.
export XDG_CONFIG_HOME=$work/config RESTIC_PASSWORD=x RUSTIC_PASSWORD=x BORG_BASE_DIR=$work/borg
export BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes

corpus() { python3 "$root/tests/bench/corpus.py" "$1"; }
warm() { find "$1" -type f -size -1G -exec cat {} + >/dev/null; }

# config NAME METHOD LEVEL SOURCE: a folder of its own for cofre.
config() {
    mkdir -p "$work/$1"
    printf 'backup_dir = "backups"\nmax_backups = 1000\n[archive]\ncompression = "%s"\nlevel = %s\n[sources.static]\npath = "%s"\n' \
        "$2" "$3" "$4" >"$work/$1/cofre.toml"
}

# add TOOL PREPARE COMMAND OUTPUT: one line of the group that `measure` runs; OUTPUT's size is taken ("" for none).
tools=() prepares=() commands=() outputs=()
add() {
    [[ $skip == *" ${1%% *} "* ]] && return
    tools+=("$1") prepares+=("$2") commands+=("set -o pipefail; $3") outputs+=("$4")
}

# measure GROUP ROUNDS: everything that was added, then forgets it.
measure() {
    local group=$1 rounds=$2 i round folder
    for i in "${!tools[@]}"; do
        folder="$results/$group/${tools[i]}"
        mkdir -p "$folder"
        echo "$group: ${tools[i]}" >&2
        bash -c "${prepares[i]}"
        sync
        /usr/bin/time -f %M -o "$folder/peak" bash -c "${commands[i]}" >/dev/null
        [ -z "${outputs[i]}" ] || bash -c "du -scb ${outputs[i]}" | tail -1 | cut -f1 >"$folder/size"
    done
    for ((round = 1; round <= rounds; round++)); do
        for i in "${!tools[@]}"; do
            hyperfine --shell bash --style none --runs 1 --prepare "${prepares[i]}; sync" \
                --export-json "$results/$group/${tools[i]}/$round.json" "${commands[i]}" >/dev/null
        done
        echo "$group: round $round of $rounds" >&2
    done
    for i in "${!tools[@]}"; do [ -z "${outputs[i]}" ] || rm -rf ${outputs[i]}; done
    tools=() prepares=() commands=() outputs=()
}

# Full backups of the folder $2 by cofre and everybody else.
full() {
    local group=$1 from=$2 to=$work/out method level
    for method in deflate zstd; do
        [ "$method" = zstd ] && level=$zstd_level || level=$deflate_level
        config "$method" "$method" "$level" "$from"
        add "cofre $method" "rm -rf $work/$method/backups $work/$method/.cofre" \
            "$cofre -q --config $work/$method/cofre.toml create --full" "$work/$method/backups/*.zip"
        [[ $group == [AB] ]] || continue
        add "native $method" "rm -rf $to" \
            "$native --workers $cores --method $method --level $level create $from $to" "$to/*.zip"
    done
    [ "$group" != E ] || return 0
    add "zip -6" "rm -f $to.zip" "cd $from && zip -q -r -6 $to.zip ." "$to.zip"
    add "7z -mx=3" "rm -f $to.zip" "cd $from && 7z a -tzip -mx=3 -mmt=2 -bso0 -bsp0 $to.zip ." "$to.zip"
    # On the others it takes minutes, and nothing is held against it.
    [ "$group" != A ] ||
        add "7z -mx=5" "rm -f $to.zip" "cd $from && 7z a -tzip -mx=5 -mmt=2 -bso0 -bsp0 $to.zip ." "$to.zip"
    add "restic" "rm -rf $to; $restic_init" "$restic backup -q $from" "$to"
    add "rustic" "rm -rf $to; $rustic_init" "$rustic backup $from" "$to"
    add "borg zlib,6" "rm -rf $to; $borg_init" "$borg_create" "$to"
    add "tar+zstd -T2" "rm -f $to.tar.zst" \
        "tar -C $from -cf - . | zstd -q -T2 -$zstd_level -o $to.tar.zst" "$to.tar.zst"
}

# The repositories of restic, rustic and borg at $1, for the folder $2.
repositories() {
    restic="restic -r $1 --cache-dir $1.restic-cache"
    restic_init="rm -rf $1.restic-cache; $restic init -q"
    rustic="rustic --log-level error --no-progress -r $1 --cache-dir $1.rustic-cache"
    rustic_init="rm -rf $1.rustic-cache; $rustic init >/dev/null"
    borg_init="rm -rf $BORG_BASE_DIR; borg init -e none $1"
    borg_create="borg create -C zlib,6 $1::\$(date +%s%N) $2"
}

# A unchanged, then with one file in a hundred changed before each run, each after a full backup of the same tool.
incremental() {
    local from=$work/changing change kind method tool
    cp -a "$(corpus A)" "$from"
    # Nothing may be so young that a tool must read it again.
    sleep 3
    find "$from" -type f | LC_ALL=C sort | awk 'NR % 100 == 0' >"$work/changed.txt"
    change=:
    for kind in unchanged changed; do
        for method in deflate zstd; do
            config "inc-$method" "$method" "$([ "$method" = zstd ] && echo "$zstd_level" || echo "$deflate_level")" "$from"
            # Twice, so that what was too young for the first is old enough for the second.
            $cofre -q --config "$work/inc-$method/cofre.toml" create >&2
            add "cofre $method" "$change" "$cofre -q --config $work/inc-$method/cofre.toml create" ""
        done
        for tool in restic rustic borg; do
            [[ $skip == *" $tool "* ]] && continue
            repositories "$work/inc-$tool" "$from"
            case $tool in
            restic) [ -d "$work/inc-$tool" ] || { bash -c "$restic_init" && $restic backup -q "$from"; } >&2
                add restic "$change" "$restic backup -q $from" "" ;;
            rustic) [ -d "$work/inc-$tool" ] || { bash -c "$rustic_init" && $rustic backup "$from"; } >&2
                add rustic "$change" "$rustic backup $from" "" ;;
            borg) [ -d "$work/inc-$tool" ] || { bash -c "$borg_init; $borg_create"; } >&2
                add "borg zlib,6" "$change" "$borg_create" "" ;;
            esac
        done
        change="while read -r file; do echo \"// \$RANDOM\$RANDOM\" >>\"\$file\"; done <$work/changed.txt; sleep 0.1"
        measure "A $kind" "$runs"
    done
    rm -rf "$from" "$work"/inc-*
}

# Restore and verify of an archive of cofre's, against what unzips the same archive.
restore() {
    local name from method archive to=$work/restored
    for name in A B; do
        from=$(corpus "$name")
        for method in deflate zstd; do
            config "r-$method" "$method" "$([ "$method" = zstd ] && echo "$zstd_level" || echo "$deflate_level")" "$from"
            $cofre -q --config "$work/r-$method/cofre.toml" create --full >&2
            archive=$(ls "$work/r-$method"/backups/*.zip)
            add "cofre $method" "rm -rf $to" "$cofre -q --config $work/r-$method/cofre.toml restore latest --to $to" ""
            [ "$method" = zstd ] || add "unzip" "rm -rf $to" "unzip -q $archive -d $to" ""
            add "7z x $method" "rm -rf $to" "7z x -bso0 -bsp0 -o$to $archive" ""
        done
        measure "$name restore" "$runs"
        rm -rf "$to"
        for method in deflate zstd; do
            archive=$(ls "$work/r-$method"/backups/*.zip)
            add "cofre $method" : "$cofre -q --config $work/r-$method/cofre.toml verify latest" ""
            add "native $method" : "$native --workers $cores verify $work/r-$method/backups" ""
            [ "$method" = zstd ] || add "unzip -t" : "unzip -tqq $archive" ""
            add "7z t $method" : "7z t -bso0 -bsp0 $archive" ""
        done
        measure "$name verify" "$runs"
        rm -rf "$work"/r-*
    done
}

# A catalog of 1,000 backups: one that was made, and 999 copies of it under other names.
list() {
    mkdir -p "$work/source"
    echo hello >"$work/source/file"
    config catalog deflate "$deflate_level" "$work/source"
    $cofre -q --config "$work/catalog/cofre.toml" create >&2
    python3 "$root/tests/bench/catalog.py" "$work/catalog/backups" 1000
    local listed
    listed=$($cofre --json --config "$work/catalog/cofre.toml" list | python3 -c 'import json, sys; print(len(json.load(sys.stdin)))')
    [ "$listed" = 1000 ] || { echo "the catalog lists $listed backups, not 1000" >&2; exit 1; }
    add "cofre" : "$cofre --json --config $work/catalog/cofre.toml list" ""
    measure list "$((runs * 4))"
}

# A database of 1 GB in a cluster of its own, against pg_dump's own compressed format.
postgres() {
    local bin data=$work/cluster as=() url
    bin=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -1)
    mkdir "$data"
    # The server refuses to run as root.
    if [ "$(id -u)" = 0 ]; then
        as=(runuser -u postgres --)
        chmod 711 "$work"
        chown postgres "$data"
    fi
    "${as[@]}" "$bin/initdb" -D "$data/db" -A trust -U bench >/dev/null
    "${as[@]}" "$bin/pg_ctl" -s -w -D "$data/db" -l "$data/log" -o "-k $data -c listen_addresses= -c max_wal_size=4GB" start
    # shellcheck disable=SC2064
    trap "${as[*]} $bin/pg_ctl -s -D $data/db -m immediate stop 2>/dev/null || :; rm -rf '$work'" EXIT
    "$bin/createdb" -h "$data" -U bench bench
    # What an application has: keys, times, names that come again, amounts, hashes, sentences. Not what pgbench makes, which
    # is nearly all blanks.
    "$bin/psql" -X -q -h "$data" -U bench -v ON_ERROR_STOP=1 bench <<'SQL'
CREATE TABLE orders AS
SELECT i AS id, timestamptz '2025-01-01' + i * interval '7 seconds' AS made_at,
       'customer' || (i * 7919 % 40000) || '@example.org' AS email, (i * 104729 % 1000000)::numeric / 100 AS amount,
       md5(i::text) AS token, (ARRAY['new', 'paid', 'sent', 'returned'])[1 + i % 4] AS state,
       'Order ' || i || ' of ' || (i * 31 % 977) || ' pieces, to be delivered to street ' || (i * 17 % 4999) AS note
FROM generate_series(1::bigint, 5800000) AS i;
ALTER TABLE orders ADD PRIMARY KEY (id);
SQL
    url="postgres://bench@/bench?host=$data"
    for method in deflate zstd; do
        mkdir -p "$work/pg-$method"
        printf 'backup_dir = "backups"\n[archive]\ncompression = "%s"\n[databases.bench]\nurl = "%s"\n' \
            "$method" "$url" >"$work/pg-$method/cofre.toml"
        add "cofre $method" "rm -rf $work/pg-$method/backups $work/pg-$method/.cofre" \
            "$cofre -q --config $work/pg-$method/cofre.toml create --full" "$work/pg-$method/backups/*.zip"
    done
    add "pg_dump -Fc -Z6" "rm -f $work/pg.dump" "$bin/pg_dump -h $data -U bench -Fc -Z6 -f $work/pg.dump bench" "$work/pg.dump"
    measure postgres "$runs"
    "${as[@]}" "$bin/pg_ctl" -s -D "$data/db" -m immediate stop
}

# A by every host. One worker each, since the others have one; the archives are the same, which tests/hosts shows.
hosts() {
    local from folder method=deflate
    from=$(corpus A)
    warm "$from"
    folder=$work/hosts
    config hosts "$method" "$deflate_level" "$from"
    "$cofre" component --output "$folder/cofre.wasm" >/dev/null
    cp -r "$root/host/node" "$folder/node"
    (cd "$folder/node" && npm ci --no-audit --no-fund --silent && node build_component.mjs "$cofre") >&2
    local fresh="rm -rf $folder/backups $folder/.cofre"
    add "cofre, 1 worker" "$fresh" "$cofre -q --config $folder/cofre.toml create --full --workers 1" "$folder/backups/*.zip"
    add "cofre in Python" "$fresh" \
        "cd $folder && PYTHONPATH=$root/host/python/src COFRE_COMPONENT=$folder/cofre.wasm python3 $root/tests/hosts/driver.py create '{\"full\": true}'" \
        "$folder/backups/*.zip"
    add "cofre in Node" "$fresh" \
        "cd $folder && COFRE_NODE=$folder/node/lib/index.js node $root/tests/bench/node.mjs $from $deflate_level" "$folder/backups/*.zip"
    measure hosts "$runs"
}

# An archive of 1 GB to an S3 server of its own. The bucket is emptied before each run; what the server then writes is the
# same for all, but that cofre's object is the encrypted one.
remote() {
    local folder=$work/remote endpoint=http://127.0.0.1:18333 from=$work/noise archive empty
    mkdir -p "$folder/s3" "$from"
    # Of another file each time it would be as good; bytes that don't shrink make the archive as large as the file.
    openssl enc -aes-128-ctr -K 00 -iv 00 -in /dev/zero 2>/dev/null | head -c 1000000000 >"$from/noise.bin" || :
    printf '%s' '{"identities": [{"name": "bench", "credentials": [{"accessKey": "bench", "secretKey": "benchsecret"}],
        "actions": ["Admin", "Read", "Write", "List"]}]}' >"$folder/s3.json"
    weed server -ip=127.0.0.1 -ip.bind=127.0.0.1 -master.port=19333 -volume.port=18080 -filer -filer.port=18888 -s3 \
        -s3.port=18333 -s3.port.iceberg=0 -s3.port.lance=0 -master.telemetry=false -volume.max=100 -volume.minFreeSpace=0 \
        -s3.config="$folder/s3.json" -dir="$folder/s3" >"$folder/s3.log" 2>&1 &
    # shellcheck disable=SC2064
    trap "kill $! 2>/dev/null || :; wait $! 2>/dev/null || :; rm -rf '$work'" EXIT
    # rclone refuses to start with it, and nothing here is TLS.
    unset AWS_CA_BUNDLE
    export AWS_ACCESS_KEY_ID=bench AWS_SECRET_ACCESS_KEY=benchsecret AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
    export RCLONE_S3_PROVIDER=Other RCLONE_S3_ENV_AUTH=true RCLONE_S3_ENDPOINT=$endpoint RCLONE_CONFIG=/dev/null
    local s3=(curl -q --silent --show-error --fail --aws-sigv4 aws:amz:us-east-1:s3 --user bench:benchsecret)
    curl -q --silent --retry 60 --retry-delay 1 --retry-all-errors --max-time 5 -o /dev/null "$endpoint/"
    "${s3[@]}" --retry 30 --retry-delay 1 --retry-all-errors -X PUT "$endpoint/bench" >/dev/null
    "$cofre" key new "$folder/keys" >/dev/null
    config remote deflate "$deflate_level" "$from"
    "$cofre" -q --config "$folder/cofre.toml" create --full >&2
    archive=$(ls "$folder"/backups/*.zip)
    cat >>"$folder/cofre.toml" <<TOML
[encryption]
recipients = ["$(sed -n 's/^# public key: //p' "$folder/keys/cofre-identity.txt")"]
signing_key_file = "keys/cofre-signing.key"
[[remotes]]
name = "offsite"
url = "s3://bench/cofre"
endpoint = "$endpoint"
region = "us-east-1"
TOML
    empty="aws --endpoint-url $endpoint s3 rm --recursive --only-show-errors s3://bench/cofre/; rm -rf $folder/.cofre; sleep 1"
    add "cofre" "$empty" "$cofre -q --config $folder/cofre.toml remote push offsite" ""
    add "aws s3 cp" "$empty" "aws --endpoint-url $endpoint s3 cp --only-show-errors $archive s3://bench/cofre/" ""
    add "rclone copy" "$empty" "rclone copy -q $archive :s3:bench/cofre" ""
    measure remote "$runs"
}

# The same bytes whatever the number of workers, on the corpora themselves; then the judgement of other readers.
identical() {
    local name from method workers archive digest first
    for name in A B C D; do
        from=$(corpus "$name")
        for method in deflate zstd; do
            config identical "$method" "$([ "$method" = zstd ] && echo "$zstd_level" || echo "$deflate_level")" "$from"
            first=
            for workers in 1 2 3 8; do
                rm -rf "$work/identical/backups" "$work/identical/.cofre"
                FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1 faketime -f '2040-08-31 21:52:49' \
                    "$cofre" -q --config "$work/identical/cofre.toml" create --full --workers "$workers" >/dev/null
                archive=$(ls "$work"/identical/backups/*.zip)
                digest=$(sha256sum <"$archive")
                [ "${first:=$digest}" = "$digest" ] ||
                    { echo "$name, $method: $workers workers give other bytes than 1" >&2; exit 1; }
            done
            7z t -bso0 -bsp0 "$archive"
            if [ "$method" = deflate ]; then
                unzip -tqq "$archive"
                python3 -c 'import sys, zipfile; sys.exit(zipfile.ZipFile(sys.argv[1]).testzip())' "$archive"
                bsdtar -xOf "$archive" >/dev/null
            fi
            echo "$name, $method: 1, 2, 3 and 8 workers give the same bytes, and other readers accept them" >&2
        done
    done
}

for part in "${parts[@]}"; do
    case $part in
    E) full E "$(corpus E)" && measure E 0 ;;
    [ABCD])
        from=$(corpus "$part")
        warm "$from"
        repositories "$work/out" "$from"
        full "$part" "$from"
        measure "$part" "$runs"
        ;;
    *) "$part" ;;
    esac
done
[ "${parts[*]}" = identical ] ||
    RUNS=$runs ZSTD_LEVEL=$zstd_level DEFLATE_LEVEL=$deflate_level SKIP=$skip python3 tests/bench/report.py "$results" "$cofre"
