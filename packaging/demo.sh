#!/usr/bin/env bash
# The whole job on this very host, with real evidence. Everything lies in DEMO_DIR (default ./demo): admin, server, endpoint, responder, bundle.
#   bash packaging/demo.sh [--profile release|dev] [--bin DIR]
# --bin takes programs that are built already.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=release bin=""
while [ $# -gt 0 ]; do
    case $1 in
        --profile) profile=$2; shift 2 ;;
        --bin) bin=$2; shift 2 ;;
        *) echo "demo: unknown argument $1. Usage: demo.sh [--profile release|dev] [--bin DIR]" >&2; exit 64 ;;
    esac
done
demo=$(realpath -m "${DEMO_DIR:-demo}")
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
host=$(hostname | tr 'A-Z_' 'a-z-' | tr -cd 'a-z0-9.-'); host=${host:-this-host}

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
run() { printf '\033[2m$ %s\033[0m\n' "${*//$bin\//}" >&2; "$@"; }
need() { command -v "$1" >/dev/null || { echo "demo: $1 is missing. Install it: apt-get install $2" >&2; exit 2; }; }
need ssh-keygen openssh-client; need openssl openssl; need tar tar; need zstd zstd; need python3 python3; need sha256sum coreutils

if [ -e "$demo" ]; then
    if [ ! -e "$demo/.exhibit-demo" ]; then
        echo "demo: $demo exists and is not a demo of ours. Choose another place: DEMO_DIR=… make demo" >&2; exit 2
    fi
    chmod -R u+w "$demo"; rm -rf "$demo"
fi

if [ -z "$bin" ]; then
    say "Build ($profile), without the bucket store"
    echo "The demo keeps evidence in directories. The store for S3 buckets is left out to build faster. The packages have it."
    begun_build=$SECONDS
    bin=$target/$([ "$profile" = dev ] && echo debug || echo "$profile")
    cargo build --locked --profile "$profile" --no-default-features -p agent -p server -p cli -p exhibit-verify
    echo "built in $((SECONDS - begun_build)) s"
fi
begun=$SECONDS
mkdir -p "$demo"; : >"$demo/.exhibit-demo"; chmod 700 "$demo"

pids=()
stop_all() {
    for pid in "${pids[@]:-}"; do [ -n "$pid" ] && kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]:-}"; do [ -n "$pid" ] && wait "$pid" 2>/dev/null || true; done
}
trap stop_all EXIT
wait_for() { # what, test...
    local what=$1 left=300; shift
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || { echo "demo: $what did not come up in 30 s; logs are in $demo/*/log" >&2; exit 2; }
        sleep 0.1
    done
}
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
exhibit() { run "$bin/exhibit" --home "$demo/responder" "$@"; }

say "Admin's machine: authority key, first roster, a responder's SSH key"
run "$bin/exhibit" authority init "$demo/admin" --deployment demo --person alice=responder,endpoint-admin,auditor

say "A time-stamping authority (openssl) on loopback"
python3 packaging/test-tsa/tsa.py "$demo/tsa" >"$demo/tsa.log" 2>&1 &
pids+=($!)
wait_for "the time-stamping authority" test -s "$demo/tsa/address"

say "Collector: its own CA and log key, SQLite, two stores (same disk here, and it says so)"
run "$bin/exhibit-server" init "$demo/server" --authority "$demo/admin/authority" --roster "$demo/admin/roster-1.signed" \
    --store "$demo/store-a" --store "$demo/store-b" --listen "127.0.0.1:$(free_port)" --enrol-listen "127.0.0.1:$(free_port)" --metrics-listen 127.0.0.1:0 --tsa "http://$(cat "$demo/tsa/address")/"
"$bin/exhibit-server" run "$demo/server" >"$demo/server/log" 2>&1 &
pids+=($!)
wait_for "the collector" test -s "$demo/server/run/addresses.json"

say "Responder alice: pins, login"
exhibit setup --card "$demo/server/deployment.json" --authority "$demo/admin/authority" --person alice --key "$demo/admin/keys/alice" --tsa-ca "$demo/tsa/ca.pem"
exhibit login

say "Endpoint $host: token, enrolment, agent"
token=$("$bin/exhibit" --home "$demo/responder" endpoint token "$host" --quiet)
run "$bin/exhibit-agent" enrol --token "$token" --state "$demo/endpoint"
"$bin/exhibit-agent" run --state "$demo/endpoint" >"$demo/endpoint.log" 2>&1 &
agent=$!
pids+=("$agent")
wait_for "the agent" sh -c "'$bin/exhibit' --home '$demo/responder' --json endpoint list | grep -q '\"connected\": *true'"
exhibit endpoint list

say "Incident and collection"
exhibit incident open --title "Demonstration on $host" --severity high --tlp amber --class intrusions
incident=$("$bin/exhibit" --home "$demo/responder" --json incident list | sed -n 's/.*"incident": *"\(INC-[0-9-]*\)".*/\1/p' | head -n 1)
exhibit collect --incident "$incident" --on "$host" --profile linux-triage --purpose "Show the whole job" --wait
collection=$("$bin/exhibit" --home "$demo/responder" --json collection list --incident "$incident" | sed -n 's/.*"collection": *"\([0-9a-f]\{64\}\)".*/\1/p' | head -n 1)
exhibit collection show "$collection"

say "One item through the one door, by its path; then the custody timeline"
exhibit evidence cat "$collection" /etc/hostname --purpose "Which host is this"
exhibit incident show "$incident"

say "Export a bundle"
exhibit bundle export "$incident" --out "$demo/bundle" --purpose "Hand over to the consultant"
exhibit trust export "$demo/trust"

say "Verify with exhibit-verify"
run "$bin/exhibit-verify" "$demo/bundle" --trust "$demo/trust"

say "Verify with stock tools alone (python3, ssh-keygen, openssl, zstd)"
run python3 packaging/verify.py "$demo/bundle" "$demo/trust"
run sh -c "tar --zstd -tf '$demo/bundle/evidence/$collection/container.tar.zst' | tail -n 3"

say "Tamper with a copy: one bit of one stored byte"
cp -r "$demo/bundle" "$demo/tampered"; chmod -R u+w "$demo/tampered"
python3 - "$demo/tampered/evidence/$collection/container.tar.zst" <<'PY'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(4096); byte = f.read(1)[0]; f.seek(4096); f.write(bytes([byte ^ 1]))
PY
code=0; run "$bin/exhibit-verify" "$demo/tampered" --trust "$demo/trust" || code=$?
[ "$code" = 1 ] || { echo "demo: tampering was not caught (exit $code)" >&2; exit 1; }
echo "caught: exit 1"

say "Stop everything"
stop_all; pids=()
chmod -R u+w "$demo/tampered"; rm -rf "$demo/tampered"
cat <<END

Done in $((SECONDS - begun)) s. Everything lies in $demo:
  admin/      authority key, roster, alice's key     (in real life: an offline machine)
  server/     CA, log key, database, log             store-a/ store-b/   the two copies
  endpoint/   agent's keys, its own log              responder/          alice's pins and session
  bundle/     what a consultant gets                 trust/              what the consultant pins
END
