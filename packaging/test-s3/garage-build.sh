#!/bin/sh
# Builds Garage from the Rust registry into the cache, once; half an hour on two cores. A test tool (AGPL): run, never linked.
set -eu
version=2.5.0
cache="${EXHIBIT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/exhibit}"
[ -x "$cache/tools/bin/garage" ] && exit 0
echo "garage-build: Garage $version into $cache/tools (about half an hour, once)"
cargo install -q --locked garage --version "$version" --no-default-features --features bundled-libs,sqlite,metrics --root "$cache/tools" \
    --target-dir "$cache/garage-target"
rm -rf "$cache/garage-target"
