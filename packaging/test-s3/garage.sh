#!/bin/bash
# Garage, one node, for tests: a second independent server with checksums, without conditional writes and lock. Loopback only.
#   garage.sh DIR     runs until it is told to end; DIR/ready as in ceph.sh. GARAGE: the program, as garage-build.sh made it
set -euo pipefail
[ $# = 1 ] || { echo "usage: garage.sh DIR" >&2; exit 64; }
mkdir -p "$1"; cd "$1"; dir=$PWD
mkdir -p meta data
read -r api rpc admin < <(python3 -c '
import socket
held = [socket.socket() for _ in range(3)]
for one in held: one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in held))')
trap 'trap - EXIT; kill $(jobs -p) 2>/dev/null || true; wait || true' EXIT
trap 'exit 0' TERM INT
cat >garage.toml <<EOF
metadata_dir = "$dir/meta"
data_dir = "$dir/data"
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:$rpc"
rpc_public_addr = "127.0.0.1:$rpc"
rpc_secret = "$(openssl rand -hex 32)"
[s3_api]
s3_region = "garage"
api_bind_addr = "127.0.0.1:$api"
[admin]
api_bind_addr = "127.0.0.1:$admin"
admin_token = "$(openssl rand -hex 16)"
EOF
# Its own form: GK and 24 hex digits, 64 hex digits.
key_id=GK$(openssl rand -hex 12) secret=$(openssl rand -hex 32)
export GARAGE_DEFAULT_ACCESS_KEY=$key_id GARAGE_DEFAULT_SECRET_KEY=$secret GARAGE_DEFAULT_BUCKET=first
setpriv --pdeathsig TERM "$GARAGE" -c garage.toml server --single-node --default-bucket >log 2>&1 &
for _ in $(seq 200); do curl -s -o /dev/null "http://127.0.0.1:$api/" && break; kill -0 $! || exit 1; sleep 0.1; done
for _ in $(seq 50); do "$GARAGE" -c garage.toml key allow --create-bucket "$key_id" >>log 2>&1 && break; sleep 0.1; done
printf 'S3_HTTP=http://127.0.0.1:%s\nS3_REGION=garage\nS3_KEY_ID=%s\nS3_SECRET=%s\n' "$api" "$key_id" "$secret" >ready.new
mv ready.new ready
wait
