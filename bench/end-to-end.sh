#!/usr/bin/env bash
# End to end, one run, page cache warm: order → collect → seal → store twice → acknowledged, beside what stock tools need for reading, hashing and
# compressing the same tree with nothing sent, verified, stored twice or signed: tar | tee >(openssl sha256) | zstd -1 >file.
#   bash bench/end-to-end.sh [--profile release|dev] [--rounds N] [--corpora "big small many"] [--bin DIR]
# --bin: use the programs in DIR, build nothing.
# `many`, 1,000,000 files of 7 bytes, is for memory: it takes minutes and is not among the defaults.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=release rounds=3 corpora="big small" bin=
while [ $# -gt 0 ]; do
    case $1 in
        --profile) profile=$2; shift 2 ;;
        --rounds) rounds=$2; shift 2 ;;
        --corpora) corpora=$2; shift 2 ;;
        --bin) bin=$(realpath "$2"); shift 2 ;;
        *) echo "end-to-end: unknown argument $1" >&2; exit 64 ;;
    esac
done
if [ -z "$bin" ]; then
    bin=$(realpath -m "${CARGO_TARGET_DIR:-target}")/$([ "$profile" = dev ] && echo debug || echo "$profile")
    cargo build -q --locked --profile "$profile" -p agent -p server -p cli -p exhibit-verify
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/exhibit-bench.XXXXXX")
pids=()
trap 'for pid in "${pids[@]:-}"; do [ -n "$pid" ] && kill "$pid" 2>/dev/null || true; done; wait 2>/dev/null || true; chmod -R u+w "$work"; rm -rf "$work"' EXIT
for corpus in $corpora; do python3 bench/corpus.py $corpus "$work/$corpus"; done

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
e=("$bin/exhibit" --home "$work/home")
"${e[@]}" authority init "$work/admin" --deployment bench --person alice=responder,endpoint-admin >/dev/null
"$bin/exhibit-server" init "$work/server" --authority "$work/admin/authority" --roster "$work/admin/roster-1.signed" --store "$work/a" --store "$work/b" \
    --listen "127.0.0.1:$(free_port)" --enrol-listen "127.0.0.1:$(free_port)" --metrics-listen 127.0.0.1:0 >/dev/null
"$bin/exhibit-server" run "$work/server" >"$work/server.log" 2>&1 & pids+=($!)
until [ -s "$work/server/run/addresses.json" ]; do sleep 0.05; done
"${e[@]}" setup --card "$work/server/deployment.json" --authority "$work/admin/authority" --person alice --key "$work/admin/keys/alice" >/dev/null
"${e[@]}" login >/dev/null
"$bin/exhibit-agent" enrol --token "$("${e[@]}" endpoint token bench --quiet)" --state "$work/state" >/dev/null
"$bin/exhibit-agent" run --state "$work/state" >"$work/agent.log" 2>&1 & agent=$!; pids+=("$agent")
until "${e[@]}" --json endpoint list | grep -q '"connected": *true'; do sleep 0.1; done
incident=$("${e[@]}" --json incident open --title bench --severity low --tlp green --class other | sed -n 's/.*"incident": *"\(INC-[0-9-]*\)".*/\1/p')
pss() { # KiB of PSS of the agent and its children
    local sum=0 pid
    for pid in $agent $(pgrep -P "$agent" || true); do
        sum=$((sum + $(awk '/^Pss:/ {print $2}' "/proc/$pid/smaps_rollup" 2>/dev/null || echo 0)))
    done
    echo $sum
}
now() { date +%s.%N; }
printf '%-6s %-9s %10s %10s %8s %12s\n' corpus what MB/s seconds ratio 'PSS max MiB'
for corpus in $corpora; do
    bytes=$(find "$work/$corpus" -type f -printf '%s\n' | awk '{s += $1} END {print s}')
    cat >"$work/$corpus.toml" <<TOML
schema = 1
name = "bench-$corpus"
version = "1"
os = "linux"
description = "benchmark"
[limits]
wall = "1h"
stored = "64GiB"
plain = "64GiB"
item = "8GiB"
items = 2_000_000
cpu_pct = 100
[[step]]
collector = "files"
item = "8GiB"
one_filesystem = false
on_larger = "skip"
paths = ["$work/$corpus/**"]
exclude = []
TOML
    cat "$work/$corpus"/* >/dev/null 2>&1 || true
    for round in $(seq "$rounds"); do
        t0=$(now)
        tar -C "$work" -cf - "$corpus" | tee >(openssl sha256 >/dev/null) | zstd -q -1 -T1 >"$work/peer.zst"
        t1=$(now)
        "${e[@]}" collect --incident "$incident" --on bench --profile "$work/$corpus.toml" --purpose bench --wait >/dev/null 2>&1 & collect=$!
        most=0
        while kill -0 $collect 2>/dev/null; do p=$(pss); [ "$p" -gt "$most" ] && most=$p; sleep 0.05; done
        wait $collect
        t2=$(now)
        rm -f "$work/peer.zst"
        awk -v c=$corpus -v b="$bytes" -v t0="$t0" -v t1="$t1" -v t2="$t2" -v m=$most 'BEGIN {
            p = t1 - t0; o = t2 - t1
            printf "%-6s %-9s %10.0f %10.2f\n", c, "tar|zstd", b / 1e6 / p, p
            printf "%-6s %-9s %10.0f %10.2f %8.2f %12.0f\n", c, "exhibit", b / 1e6 / o, o, p / o, m / 1024 }'
    done
done
