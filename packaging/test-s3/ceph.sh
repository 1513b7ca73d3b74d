#!/bin/bash
# A Ceph RADOS gateway of Debian's packages, for tests: one monitor, one memory OSD, one gateway (plain and TLS), loopback only.
#   ceph.sh DIR      runs until it is told to end; DIR/ready appears when it answers, everything it makes lies below DIR
# DIR/ready is shell text: S3_HTTP S3_HTTPS S3_CA S3_KEY_ID S3_SECRET S3_CONF. As root; needs ceph-mon ceph-osd ceph-common radosgw openssl.
set -euo pipefail
[ $# = 1 ] || { echo "usage: ceph.sh DIR" >&2; exit 64; }
mkdir -p "$1"; cd "$1"; dir=$PWD
mkdir -p mon osd run log; : >keyring
# Each daemon ends with this script, also when the script is killed; nothing is left on the machine.
with_us="setpriv --pdeathsig TERM"
trap 'trap - EXIT; kill $(jobs -p) 2>/dev/null || true; wait || true' EXIT
trap 'exit 0' TERM INT

# Ports that are free now; Ceph cannot be asked which one it took.
read -r mon_port http_port https_port < <(python3 -c '
import socket
held = [socket.socket() for _ in range(3)]
for one in held: one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in held))')

# A small authority and the gateway's certificate: the client has to be told of both.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=test-s3 authority" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.pem 2>log/openssl
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=127.0.0.1" -keyout gateway.key -out gateway.csr 2>>log/openssl
openssl x509 -req -in gateway.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out gateway.crt \
    -extfile <(printf 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\nbasicConstraints=critical,CA:FALSE\n') 2>>log/openssl
cat gateway.key gateway.crt >gateway.pem

fsid=$(cat /proc/sys/kernel/random/uuid)
# Messenger v1 only: with v2 and no authentication the gateway of this version never connects.
cat >ceph.conf <<EOF
[global]
fsid = $fsid
mon initial members = a
mon host = v1:127.0.0.1:$mon_port
auth cluster required = none
auth service required = none
auth client required = none
ms bind msgr2 = false
public addr = 127.0.0.1
cluster addr = 127.0.0.1
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
run dir = $dir/run
log file = $dir/log/\$name.log
admin socket = $dir/run/\$name.asok
pid file =
keyring = $dir/keyring
[mon]
mon data = $dir/mon
mon data avail crit = 1
mon data avail warn = 2
[osd]
osd data = $dir/osd
osd objectstore = memstore
memstore device bytes = 4294967296
osd class update on start = false
osd crush update on start = false
[client.rgw.a]
rgw frontends = beast tcp_nodelay=1 endpoint=127.0.0.1:$http_port ssl_endpoint=127.0.0.1:$https_port ssl_certificate=$dir/gateway.pem
rgw bucket quota ttl = 1
rgw dns name = s3.exhibit.test
rgw crypt require ssl = false
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = exhibit-test=$(openssl rand -base64 32)
rgw user quota bucket sync interval = 1
EOF
conf="-c $dir/ceph.conf"
as_root="--setuser root --setgroup root"
# The command line client fails now and then with "wrong fsid" on a monitor that is just starting.
cluster() { for _ in 1 2 3 4 5 6; do timeout 30 ceph $conf "$@" >>log/client 2>&1 && return 0; sleep 0.3; done; echo "ceph.sh: ceph $* failed" >&2; return 1; }
answers() { for _ in $(seq 200); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done; echo "ceph.sh: no answer: $*" >&2; return 1; }

monmaptool --create --fsid "$fsid" --addv a "[v1:127.0.0.1:$mon_port]" monmap >/dev/null
ceph-mon $conf -i a --mkfs --monmap monmap $as_root
$with_us ceph-mon $conf -f -i a $as_root >log/mon.out 2>&1 &
answers timeout 5 ceph $conf mon stat
uuid=$(cat /proc/sys/kernel/random/uuid)
cluster osd new "$uuid"
cluster osd crush add osd.0 1.0 root=default host=here
ceph-osd $conf -i 0 --mkfs --osd-uuid "$uuid" $as_root >log/osd.out 2>&1
for _ in 1 2 3 4; do # the daemon's start fails as the client's does
    $with_us ceph-osd $conf -f -i 0 $as_root >>log/osd.out 2>&1 & osd=$!
    if answers sh -c "! kill -0 $osd || timeout 5 ceph $conf osd stat | grep -q '1 up'" && kill -0 $osd 2>/dev/null; then break; fi
done
$with_us radosgw $conf -f -n client.rgw.a $as_root >log/rgw.out 2>&1 &
answers curl -sf -o /dev/null "http://127.0.0.1:$http_port/"
key_id=EXHIBITTEST000000001 secret=$(openssl rand -hex 20)
radosgw-admin $conf -n client.rgw.a user create --uid exhibit --display-name exhibit --access-key "$key_id" --secret-key "$secret" >>log/client 2>&1
cat >ready.new <<EOF
S3_HTTP=http://127.0.0.1:$http_port
S3_HTTPS=https://127.0.0.1:$https_port
S3_CA=$dir/ca.pem
S3_KEY_ID=$key_id
S3_SECRET=$secret
S3_CONF=$dir/ceph.conf
EOF
mv ready.new ready
wait
