#!/usr/bin/env bash
# Builds exhibit-agent, exhibit-server and exhibit as Debian packages with dpkg-deb alone. Reproducible: file times are those of the last commit.
#   bash packaging/build-deb.sh [--profile release|dev] [--out DIR] [--bin DIR]
# --bin packs programs that are built already.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=release out="" bin=""
while [ $# -gt 0 ]; do
    case $1 in
        --profile) profile=$2; shift 2 ;;
        --out) out=$2; shift 2 ;;
        --bin) bin=$2; shift 2 ;;
        *) echo "build-deb: unknown argument $1. Usage: build-deb.sh [--profile release|dev] [--out DIR] [--bin DIR]" >&2; exit 64 ;;
    esac
done
target=${CARGO_TARGET_DIR:-target}
out=${out:-$target/deb}
if [ -z "$bin" ]; then
    bin=$target/$([ "$profile" = dev ] && echo debug || echo "$profile")
    cargo build --locked --profile "$profile" -p agent -p server -p cli -p exhibit-verify
fi
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
arch=$(dpkg --print-architecture)
epoch=$(git log -1 --format=%ct 2>/dev/null || date +%s)
export SOURCE_DATE_EPOCH=$epoch
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

control() { # name, depends, description
    mkdir -p "$root/DEBIAN"
    cat >"$root/DEBIAN/control" <<CONTROL
Package: $1
Version: $version
Architecture: $arch
Maintainer: Exhibit maintainers <maintainers@users.noreply.example>
Section: admin
Priority: optional
Depends: $2
Installed-Size: $(du -sk "$root" | cut -f1)
Description: $3
 Exhibit collects forensic evidence on signed orders and proves what was read,
 that it was not altered since, and who handled it.
CONTROL
}
finish() { # name
    install -Dm644 LICENSE "$root/usr/share/doc/$1/copyright"
    gzip -9nc CHANGELOG.md | install -Dm644 /dev/stdin "$root/usr/share/doc/$1/changelog.gz"
    # The texts lie to each other as in the source, so that every link between them holds.
    cp -rt "$root/usr/share/doc/$1" -- *.md docs
    rm -r "$root/usr/share/doc/$1/docs/guide/examples"
    chmod -R u=rwX,go=rX "$root/usr/share/doc/$1"
    install -Dm644 -t "$root/usr/share/doc/$1/examples" docs/guide/examples/* packaging/policy.toml cli/profiles/linux-triage.toml
    find "$root" -newermt "@$epoch" -print0 | xargs -0r touch --no-dereference --date="@$epoch"
    dpkg-deb --root-owner-group -Zxz -z2 --build "$root" "$out/${1}_${version}_${arch}.deb" >/dev/null
    echo "$out/${1}_${version}_${arch}.deb"
}
man() { # program, section of the commands
    mkdir -p "$root/usr/share/man/man$2" "$work/man-$1"
    "$bin/$1" man --dir "$work/man-$1" >/dev/null
    for page in "$work/man-$1"/*.1; do
        page_name=$(basename "$page" .1)
        sed "s/^\\(\\.TH [^ ]*\\) 1/\\1 $2/" "$page" | gzip -9nc >"$root/usr/share/man/man$2/$page_name.$2.gz"
    done
    chmod 644 "$root/usr/share/man/man$2"/*
}
libc="libc6 (>= 2.34), libgcc-s1"

root=$work/exhibit-agent
install -Dsm755 "$bin/exhibit-agent" "$root/usr/bin/exhibit-agent"
install -Dm644 packaging/exhibit-agent.service "$root/usr/lib/systemd/system/exhibit-agent.service"
install -Dm644 packaging/policy.toml "$root/etc/exhibit/policy.toml"
man exhibit-agent 8
mkdir -p "$root/DEBIAN"; echo /etc/exhibit/policy.toml >"$root/DEBIAN/conffiles"
install -m755 packaging/deb/exhibit-agent.postinst "$root/DEBIAN/postinst"
install -m755 packaging/deb/exhibit-agent.prerm "$root/DEBIAN/prerm"
install -m755 packaging/deb/exhibit-agent.postrm "$root/DEBIAN/postrm"
control exhibit-agent "$libc, adduser" "evidence agent for endpoints"
finish exhibit-agent

root=$work/exhibit-server
install -Dsm755 "$bin/exhibit-server" "$root/usr/bin/exhibit-server"
install -Dm644 packaging/exhibit-server.service "$root/usr/lib/systemd/system/exhibit-server.service"
man exhibit-server 8
mkdir -p "$root/DEBIAN"
install -m755 packaging/deb/exhibit-server.postinst "$root/DEBIAN/postinst"
install -m755 packaging/deb/exhibit-server.prerm "$root/DEBIAN/prerm"
install -m755 packaging/deb/exhibit-server.postrm "$root/DEBIAN/postrm"
control exhibit-server "$libc, adduser" "evidence collector with custody ledger"
finish exhibit-server

root=$work/exhibit
install -Dsm755 "$bin/exhibit" "$root/usr/bin/exhibit"
install -Dsm755 "$bin/exhibit-verify" "$root/usr/bin/exhibit-verify"
install -Dm755 packaging/verify.py "$root/usr/share/exhibit/verify.py"
man exhibit 1
mkdir -p "$root/usr/share/bash-completion/completions"
"$bin/exhibit" completions bash >"$root/usr/share/bash-completion/completions/exhibit"
chmod 644 "$root"/usr/share/bash-completion/completions/*
control exhibit "$libc, openssh-client, openssl, python3, zstd" "responder's command line and offline verifier"
finish exhibit
