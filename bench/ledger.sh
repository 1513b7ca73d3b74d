#!/usr/bin/env bash
# The ledger alone: how many entries a second, and how long one takes to its durable index and to its published proof, on two directory stores,
# beside the rate at which this disk syncs a small file in the same run: the figure that moves with the machine.
#   bash bench/ledger.sh [--profile release|dev] [--entries N] [--in-flight "K K …"] [--bin DIR]
# --bin: use the programs in DIR, build nothing. TMPDIR says which disk is measured.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=release entries=20000 in_flights="1 64 512" bin=
while [ $# -gt 0 ]; do
    case $1 in
        --profile) profile=$2; shift 2 ;;
        --entries) entries=$2; shift 2 ;;
        --in-flight) in_flights=$2; shift 2 ;;
        --bin) bin=$2; shift 2 ;;
        *) echo "ledger: unknown argument $1" >&2; exit 64 ;;
    esac
done
if [ -z "$bin" ]; then
    bin=$(realpath -m "${CARGO_TARGET_DIR:-target}")/$([ "$profile" = dev ] && echo debug || echo "$profile")
    cargo build -q --locked --profile "$profile" -p server -p cli --bins --examples
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/exhibit-bench.XXXXXX")
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
"$bin/exhibit" --home "$work/home" authority init "$work/admin" --deployment bench --person alice=responder >/dev/null
"$bin/exhibit-server" init "$work/server" --authority "$work/admin/authority" --roster "$work/admin/roster-1.signed" --store "$work/a" --store "$work/b" \
    --listen 127.0.0.1:0 --enrol-listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 --address localhost:1 --enrol-address localhost:2 >/dev/null
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
printf '%-10s %10s %12s %22s %22s %12s %8s\n' in-flight entries 'entries/s' 'index p50/p99 ms' 'proof p50/p99 ms' 'syncs/s' ratio
for in_flight in $in_flights; do
    # One at a time takes a sync or more each: fewer entries tell as much.
    count=$((in_flight * 400 < entries ? in_flight * 400 : entries))
    sync=$(syncs)
    "$bin/examples/ledger-load" "$work/server" "$bin/exhibit-server" "$count" "$in_flight" 2>/dev/null | python3 -c '
import json, sys
f, sync = json.load(sys.stdin), int(sys.argv[1])
i, p = f["indexed_ms"], f["proven_ms"]
rate = f["entries_per_second"]
print("%-10d %10d %12.0f %22s %22s %12d %8.2f" % (f["in_flight"], f["entries"], rate, "%.0f / %.0f" % (i["p50"], i["p99"]), "%.0f / %.0f" % (p["p50"], p["p99"]), sync, rate / sync))' "$sync"
done
