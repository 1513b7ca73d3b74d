#!/bin/sh
# Installs what `make test` needs beyond git, a C compiler and Rust, by package name only. Needs root for apt; without root it says what is
# missing and the suites that need it are skipped by name (with CI=true such a skip is a failure).
#   sh packaging/test-deps.sh [--list]
set -eu
cache="${EXHIBIT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/exhibit}"

# package:command or file that proves it is there:why
apt_packages="
openssh-client:/usr/bin/ssh-keygen:signs orders, the stock verifier of SSHSIG
openssh-tests:/usr/lib/openssh/regress/misc/sk-dummy/sk-dummy.so:a FIDO key in software
openssl:/usr/bin/openssl:a real time-stamping authority, the stock verifier of checkpoints
strace:/usr/bin/strace:order of fsync, link and acknowledgement
libarchive-tools:/usr/bin/bsdtar:second reader of our tar
zstd:/usr/bin/zstd:stock decompressor
protobuf-compiler:/usr/bin/protoc:the stock compiler of our schema, as strangers have it
python3:/usr/bin/python3:third reader of our tar, TSA wrapper
python3-venv:/usr/share/doc/python3-venv:keeps the Python packages below apart
attr:/usr/bin/setfattr:extended attributes in fixtures
util-linux:/usr/bin/setpriv:suites without root
e2fsprogs:/sbin/mkfs.ext4:a small disk that fills up
btrfs-progs:/sbin/mkfs.btrfs:a file with an unreadable range: a damaged checksummed file system
systemd-journal-remote:/usr/lib/systemd/systemd-journal-remote:writes journals to read rows from
systemd:/lib/systemd/systemd:journalctl, and the init of the booted container
dbus:/usr/bin/dbus-daemon:what systemd waits for when it boots
systemd-container:/usr/bin/systemd-nspawn:boots systemd to start the packages
golang-go:/usr/bin/go:compiles a foreign reader of our ledger
golang-golang-x-mod-dev:/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog:Go's own transparency log code, that foreign reader's
ceph-mon:/usr/bin/ceph-mon:a real S3 server with Object Lock: its monitor
ceph-osd:/usr/bin/ceph-osd:the same, its memory disk
ceph-common:/usr/bin/ceph:the same, its command line
radosgw:/usr/bin/radosgw:the same, its gateway
curl:/usr/bin/curl:makes a bucket, asks whether a server answers
procps:/usr/bin/pgrep:process lists in the demo
"
# version pinned: a linter that changes its mind overnight breaks the gate
pip_packages="typos==1.52.0 dissect.target==3.25.1"
# a C2SP witness and a C2SP reader of other people, and a gRPC client on BoringSSL; apart, because they ask for a Python that Debian 12 has not and run with 3.11 all the same
strangers_packages="aics-witness==0.1.0 aics-tlog==0.2.1 cryptography==50.0.2 grpcio==1.85.3"
cargo_deny=0.20.2

if [ "${1:-}" = --list ]; then
    echo "into: $cache"; echo "apt:$apt_packages"; echo "pip: $pip_packages $strangers_packages"; echo "pip, with Python 3.13: LocalStack"; echo "cargo: cargo-deny $cargo_deny"; exit 0
fi

missing=""
old_ifs=$IFS; IFS='
'
for line in $apt_packages; do
    [ -n "$line" ] || continue
    name=${line%%:*}; rest=${line#*:}; proof=${rest%%:*}; why=${rest#*:}
    [ -e "$proof" ] && continue
    echo "test-deps: $name is missing ($why)"
    missing="$missing $name"
done
IFS=$old_ifs
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ]; then
        echo "test-deps: installing with apt:$missing"
        apt-get update -qq
        # shellcheck disable=SC2086  # a list of names
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
    else
        echo "test-deps: not root; ask an administrator to run: apt-get install$missing"
    fi
fi

mkdir -p "$cache"
venv="$cache/venv"
stamp="$venv/.exhibit-$(printf %s "$pip_packages" | sha256sum | cut -c1-16)"
if [ ! -e "$stamp" ]; then
    echo "test-deps: Python packages into $venv: $pip_packages"
    rm -rf "$venv"
    # shellcheck disable=SC2086  # a list of names
    if /usr/bin/python3 -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check $pip_packages; then
        : >"$stamp"
    else
        echo "test-deps: Python packages could not be installed; suites that need them are skipped by name"
        rm -rf "$venv"
    fi
fi

venv="$cache/venv-strangers"
stamp="$venv/.exhibit-$(printf %s "$strangers_packages" | sha256sum | cut -c1-16)"
if [ ! -e "$stamp" ]; then
    echo "test-deps: Python packages into $venv: $strangers_packages"
    rm -rf "$venv"
    # shellcheck disable=SC2086  # a list of names
    if /usr/bin/python3 -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check --ignore-requires-python $strangers_packages; then
        : >"$stamp"
    else
        echo "test-deps: foreign readers of the ledger could not be installed; suite 'strangers' is skipped by name"
        rm -rf "$venv"
    fi
fi

# LocalStack needs Python 3.13 or later; these versions work together, newer ones of its neighbours do not.
localstack_packages="localstack-core[base-runtime]==2026.3.0 cbor2==5.7.1 cryptography==42.0.8 pyOpenSSL==24.2.1 service-identity==24.1.0"
if [ ! -e "$cache/localstack/.exhibit-whole" ]; then
    python=""
    for candidate in python3 python3.13 python3.14 "$HOME"/.pyenv/versions/3.1[34]*/bin/python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 13))' 2>/dev/null; then python=$candidate; break; fi
    done
    if [ -n "$python" ]; then
        echo "test-deps: LocalStack into $cache/localstack (once)"
        rm -rf "$cache/localstack"
        # shellcheck disable=SC2086  # a list of names
        if "$python" -m venv "$cache/localstack" && "$cache/localstack/bin/pip" install -q --disable-pip-version-check $localstack_packages; then
            : >"$cache/localstack/.exhibit-whole"
        else
            echo "test-deps: LocalStack could not be installed; its tests are skipped by name"
            rm -rf "$cache/localstack"
        fi
    fi
fi

if [ ! -x "$cache/tools/bin/cargo-deny" ]; then
    echo "test-deps: cargo-deny $cargo_deny into $cache/tools (once)"
    cargo install -q --locked cargo-deny --version "$cargo_deny" --no-default-features --root "$cache/tools" --target-dir "$cache/tools-target" ||
        echo "test-deps: cargo-deny could not be built; 'deny' is skipped by name"
    rm -rf "$cache/tools-target"
fi
