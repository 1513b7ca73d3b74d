#!/bin/bash
# LocalStack's S3 (an emulator: it checks no signature), for tests of checksums, conditional writes and lock in one server. Loopback only.
#   localstack.sh DIR     runs until it is told to end; DIR/ready as in ceph.sh. LOCALSTACK_VENV: where test-deps.sh put it (Python 3.13 or later)
set -euo pipefail
[ $# = 1 ] || { echo "usage: localstack.sh DIR" >&2; exit 64; }
mkdir -p "$1"; cd "$1"; dir=$PWD
mkdir -p volume files
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
trap 'trap - EXIT; kill $(jobs -p) 2>/dev/null || true; wait || true' EXIT
trap 'exit 0' TERM INT
export GATEWAY_LISTEN=127.0.0.1:$port GATEWAY_SERVER=hypercorn SERVICES=s3 EAGER_SERVICE_LOADING=1 DISABLE_EVENTS=1 SKIP_SSL_CERT_DOWNLOAD=1 \
    DNS_ADDRESS=0 PERSISTENCE=0 LS_LOG=warning LOCALSTACK_VOLUME_DIR=$dir/volume FILESYSTEM_ROOT=$dir/files
setpriv --pdeathsig TERM "$LOCALSTACK_VENV/bin/python" -m localstack.runtime.main >log 2>&1 &
for _ in $(seq 600); do curl -sf -o /dev/null "http://127.0.0.1:$port/_localstack/health" && break; kill -0 $! || exit 1; sleep 0.1; done
printf 'S3_HTTP=http://127.0.0.1:%s\nS3_KEY_ID=test\nS3_SECRET=test\n' "$port" >ready.new
mv ready.new ready
wait
