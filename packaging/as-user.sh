#!/bin/sh
# as-user.sh UID CHECKOUT TARGET COMMAND...: runs COMMAND as a uid without capabilities or groups, in a mount namespace of its own where CHECKOUT
# and TARGET can be reached although a directory above them is closed to others (a checkout below a 0700 home).
set -eu
if [ "${EXHIBIT_AS_USER:-}" != inside ]; then
    EXHIBIT_AS_USER=inside exec unshare --mount --propagation private sh "$0" "$@"
fi
uid=$1 checkout=$2 target=$3
shift 3
# opens each closed ancestor of $1: an empty directory in its place, with only the way to $1 in it
reach() {
    path=$1 closed="" part=""
    old_ifs=$IFS; IFS=/
    for name in $path; do
        [ -n "$name" ] || continue
        part="$part/$name"
        case $(stat -c %A "$part") in *[xt]) ;; *) closed=$part; break ;; esac
    done
    IFS=$old_ifs
    [ -n "$closed" ] && [ "$closed" != "$path" ] || return 0
    holder=$(mktemp -d)
    mount --bind "$path" "$holder"
    mount -t tmpfs -o mode=755 tmpfs "$closed"
    mkdir -p "$path"
    mount --bind "$holder" "$path"
}
reach "$checkout"
[ -d "$target" ] && reach "$target"
# ssh-keygen refuses to work for a uid without a name: in this namespace it has one.
names=$(mktemp)
{ cat /etc/passwd; echo "exhibit-test:x:$uid:$uid::/nonexistent:/bin/sh"; } >"$names"
chmod 644 "$names"
mount --bind "$names" /etc/passwd
# where cargo lets tests keep scratch files
[ -d "$target" ] && mkdir -p "$target/tmp" && chmod 1777 "$target/tmp"
unset EXHIBIT_AS_USER
exec setpriv --reuid="$uid" --regid="$uid" --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs -- "$@"
