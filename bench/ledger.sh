#!/usr/bin/env bash
# The ledger alone: how many entries a second, and how long one takes to its durable index and to its published proof, on two directory stores or
# two buckets, beside what moves with the machine, in the same run: the rate at which this disk syncs a small file, or that bucket takes small
# objects one after the other.
#   bash bench/ledger.sh [--stores directory|s3] [--witness PYTHON] [--profile release|dev] [--entries N] [--in-flight "K K …"] [--bin DIR]
# --stores s3: starts a Ceph RADOS gateway on loopback, in memory (as root; packaging/test-deps.sh installs it). --witness: a Python with
# aics-witness (the same script makes one), which cosigns meanwhile: how long an entry takes to a proof with its cosignature is measured, too.
# --bin: use the programs in DIR, build nothing. TMPDIR says which disk is measured.
set -euo pipefail
cd "$(dirname "$0")/.."
stores=directory profile=release entries=20000 in_flights="1 64 512" bin= witness=
while [ $# -gt 0 ]; do
    case $1 in
        --stores) stores=$2; shift 2 ;;
        --profile) profile=$2; shift 2 ;;
        --entries) entries=$2; shift 2 ;;
        --in-flight) in_flights=$2; shift 2 ;;
        --bin) bin=$2; shift 2 ;;
        --witness) witness=$2; shift 2 ;;
        *) echo "ledger: unknown argument $1" >&2; exit 64 ;;
    esac
done
if [ -z "$bin" ]; then
    bin=$(realpath -m "${CARGO_TARGET_DIR:-target}")/$([ "$profile" = dev ] && echo debug || echo "$profile")
    cargo build -q --locked --profile "$profile" -p server -p cli --bins --examples
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/exhibit-bench.XXXXXX")
trap 'kill $(jobs -p) 2>/dev/null || true; wait || true; chmod -R u+w "$work"; rm -rf "$work"' EXIT
case $stores in
    directory) places=("$work/a" "$work/b") unit=syncs ;;
    s3)
        bash packaging/test-s3/ceph.sh "$work/ceph" & ceph=$!
        until [ -s "$work/ceph/ready" ]; do kill -0 $ceph || { echo "ledger: Ceph did not start" >&2; exit 1; }; sleep 0.2; done
        # shellcheck disable=SC1091
        . "$work/ceph/ready"
        s3() { curl -sSf --aws-sigv4 aws:amz:us-east-1:s3 --user "$S3_KEY_ID:$S3_SECRET" -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' "$@"; }
        (umask 077; printf 'access_key_id = "%s"\nsecret_access_key = "%s"\n' "$S3_KEY_ID" "$S3_SECRET" >"$work/credentials")
        for bucket in one two; do
            s3 -X PUT "$S3_HTTP/$bucket"
            printf 'endpoint = "%s"\nbucket = "%s"\ncredentials = "%s"\ndomain = "%s"\n' "$S3_HTTP" $bucket "$work/credentials" $bucket >"$work/$bucket.toml"
        done
        places=("s3:$work/one.toml" "s3:$work/two.toml") unit=puts ;;
    *) echo "ledger: --stores is directory or s3" >&2; exit 64 ;;
esac
"$bin/exhibit" --home "$work/home" authority init "$work/admin" --deployment bench --person alice=responder >/dev/null
"$bin/exhibit-server" init "$work/server" --authority "$work/admin/authority" --roster "$work/admin/roster-1.signed" --store "${places[0]}" --store "${places[1]}" \
    --listen 127.0.0.1:0 --enrol-listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 --address localhost:1 --enrol-address localhost:2 >/dev/null
if [ -n "$witness" ]; then
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    log=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["log_key"])' "$work/server/deployment.json")
    aics() { local verb=$1; shift; "$witness" -m aics_witness "$verb" --config "$work/witness.json" "$@"; }
    key=$(cd "$work" && aics init --name bench.example/w --listen "127.0.0.1:$port" 2>/dev/null)
    (cd "$work" && aics add-log --origin exhibit/bench --vkey "$log" >/dev/null 2>&1)
    (cd "$work" && exec "$witness" -m aics_witness serve --config "$work/witness.json" >/dev/null 2>&1) &
    until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.1; done
    printf 'log %s\nwitness w %s http://127.0.0.1:%s\nquorum w\n' "$log" "$key" "$port" >"$work/server/ledger.policy"
fi
syncs() { # small files written, synced and renamed a second: file and directory, as a store does
    python3 - "$work" <<'PY'
import os, sys, time
folder = os.open(sys.argv[1], os.O_RDONLY)
begun, count = time.monotonic(), 0
while time.monotonic() - begun < 2:
    path = os.path.join(sys.argv[1], f"sync-{count % 64}")
    with open(path + ".new", "wb") as file:
        file.write(b"x" * 4096); file.flush(); os.fsync(file.fileno())
    os.rename(path + ".new", path); os.fsync(folder)
    count += 1
print(round(count / (time.monotonic() - begun)))
PY
}
puts() { # small objects a second, one after the other on one connection
    head -c 4096 /dev/zero >"$work/small"
    for n in $(seq 200); do printf 'url = "%s/one/put-%s"\nupload-file = "%s"\n' "$S3_HTTP" "$n" "$work/small"; done >"$work/puts"
    begun=$(date +%s%N); s3 -K "$work/puts" -o /dev/null; echo $((200 * 1000000000 / ($(date +%s%N) - begun)))
}
printf '%-10s %10s %12s %20s %20s %22s %10s %8s\n' in-flight entries 'entries/s' 'index p50/p99 ms' 'proof p50/p99 ms' 'cosigned p50/p99 ms' "$unit/s" ratio
for in_flight in $in_flights; do
    # One at a time takes a sync or more each: fewer entries tell as much.
    count=$((in_flight * 400 < entries ? in_flight * 400 : entries))
    sync=$($unit)
    "$bin/examples/ledger-load" "$work/server" "$bin/exhibit-server" "$count" "$in_flight" 2>/dev/null | python3 -c '
import json, sys
f, sync = json.load(sys.stdin), int(sys.argv[1])
i, p = f["indexed_ms"], f["proven_ms"]
rate, pair = f["entries_per_second"], lambda ms: "%.0f / %.0f" % (ms["p50"], ms["p99"])
cosigned = pair(f["cosigned_ms"]) if f["cosigned"] else "no witness"
print("%-10d %10d %12.0f %20s %20s %22s %10d %8.2f" % (f["in_flight"], f["entries"], rate, pair(i), pair(p), cosigned, sync, rate / sync))' "$sync"
done
