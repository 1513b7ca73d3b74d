#!/bin/sh
# Checks a bundle with stock tools alone, for people who trust nobody's program: docs/spec/bundle.md is the text behind it.
#   sh verify.sh BUNDLE TRUSTDIR
# Needs sha256sum, find, ssh-keygen (8.2 or later), openssl (3.0 or later), base64, tar, zstd, awk, sed, grep, sort, od; python3 for the proofs and rules of the ledger.
# TRUSTDIR holds what you pinned: authority, policy, perhaps tsa.pem and roster_version_min; never take it from the bundle. Use your own copy
# of this script: its digest is published with each release.
# Exit: 1 a check failed; 2 a check could not be made; 0 all checks below hold. What they do not cover is printed last.
set -u
LC_ALL=C; export LC_ALL
umask 077

[ $# -eq 2 ] || { echo "usage: sh verify.sh BUNDLE TRUSTDIR" >&2; exit 64; }
bundle=$(cd -- "$1" 2>/dev/null && pwd) || { echo "verify: $1 is no folder; unpack an archive first" >&2; exit 2; }
trust=$(cd -- "$2" 2>/dev/null && pwd) || { echo "verify: $2 is no folder" >&2; exit 2; }
for tool in sha256sum find ssh-keygen openssl base64 tar zstd awk sed grep sort comm head tail od; do
    command -v "$tool" >/dev/null || { echo "verify: $tool is missing; install it" >&2; exit 2; }
done
for file in "$bundle/SHA256SUMS" "$bundle/bundle.json" "$trust/authority" "$trust/policy"; do
    [ -f "$file" ] || { echo "verify: $file is missing" >&2; exit 2; }
done
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 2' HUP INT TERM
failed=0; open=0; disposed=0

# A full disk cuts what a check compares, so a check made on one says nothing of the bundle.
room() {
    printf '%8192s' '' 2>/dev/null >"$work/room" && true >"$work/room" && return
    echo "verify: no room is left in $work, nothing is said of the bundle; set TMPDIR to a folder with more room" >&2; exit 2
}
ok() { room; printf 'ok           %-18s %s\n' "$1" "$2"; }
bad() { room; printf 'FAILED       %-18s %s\n' "$1" "$2"; failed=$((failed + 1)); }
skip() { printf 'not checked  %-18s %s\n' "$1" "$2"; open=$((open + 1)); }
result() { if [ "$3" -eq 0 ]; then ok "$1" "${2% }"; else bad "$1" "${2% }"; fi; } # check, what it says, 0 or another
digest() { sha256sum <"$1" | cut -d ' ' -f 1; }
# The first value of a text or number field. A quote inside a text is escaped, so a text cannot pretend to be a field.
text() { grep -o "\"$2\":\"[^\"\\\\]*\"" "$1" | head -n 1 | sed 's/^[^:]*:"//; s/"$//'; }
number() { grep -o "\"$2\":[0-9][0-9]*" "$1" | head -n 1 | sed 's/^.*://'; }
# Does a signature hold?  allowed_signers, principal, namespace, signature, document
signed() { ssh-keygen -Y verify -f "$1" -I "$2" -n "$3" -s "$4" <"$5" >"$work/said" 2>&1; }

# --- Files: what is listed has its digest, and nothing else is there.
odd=$(cd "$bundle" && find . ! -type f ! -type d | head -n 3)
[ -z "$odd" ]; result files "only plain files and folders ${odd:+(found $odd)}" $?
odd=$(cd "$bundle" && find . -type f | grep -v -E '^(\./[A-Za-z0-9_#-][A-Za-z0-9._#-]*|\.)(/[A-Za-z0-9_#-][A-Za-z0-9._#-]*)*$' | head -n 3)
[ -z "$odd" ]; result files.names "every name is one that a bundle may hold ${odd:+(found $odd)}" $?
grep -q -v -E '^[0-9a-f]{64}  [A-Za-z0-9_#-][A-Za-z0-9._#/-]*$' "$bundle/SHA256SUMS"
[ $? -eq 1 ] && ! grep -q '\.\./' "$bundle/SHA256SUMS"; result sums.form "SHA256SUMS is well-formed" $?
(cd "$bundle" && sha256sum -c --strict --quiet SHA256SUMS) >"$work/said" 2>&1
result sums "$(wc -l <"$bundle/SHA256SUMS" | tr -d ' ') listed files have their digests $(head -n 1 "$work/said")" $?
cut -c 67- "$bundle/SHA256SUMS" | sort >"$work/listed"
[ -z "$(uniq -d "$work/listed")" ]; result sums.unique "no file is listed twice" $?
for file in SHA256SUMS SHA256SUMS.sig SHA256SUMS.tsr SHA256SUMS.2.tsr SHA256SUMS.3.tsr SHA256SUMS.4.tsr export/checkpoint export/consistency export/entry export/entry.tlog-proof; do echo "$file"; done | sort >"$work/uncovered"
(cd "$bundle" && find . -type f | sed 's|^\./||' | sort) | comm -23 - "$work/listed" | comm -23 - "$work/uncovered" >"$work/extra"
[ ! -s "$work/extra" ]; result sums.extra "no file is there that SHA256SUMS does not cover $(head -n 3 "$work/extra" | tr '\n' ' ')" $?

# --- Rosters: signed by enough of the pinned authority keys; from each, what its persons' keys may sign.
threshold=$(sed -n '1s/^# threshold \([0-9][0-9]*\)$/\1/p' "$trust/authority")
[ -n "$threshold" ] || { echo "verify: $trust/authority does not begin with '# threshold <k>'" >&2; exit 2; }
newest=0; versions=""
for file in "$bundle"/deployment/roster-*.json; do
    version=${file##*/roster-}; version=${version%.json}
    case $version in '' | *[!0-9]*) bad roster "${file##*/} is no roster's name"; continue ;; esac
    : >"$work/keys"
    for sig in "$file.sig" "${file%.json}".json.[0-9]*.sig; do
        [ -f "$sig" ] || continue
        if signed "$trust/authority" authority exhibit-roster-v1 "$sig" "$file"; then sed -n 's/^.* key //p' "$work/said" >>"$work/keys"; fi
    done
    count=$(sort -u "$work/keys" | wc -l | tr -d ' ')
    if [ "$count" -lt "$threshold" ] || [ "$(number "$file" version)" != "$version" ]; then
        bad roster "version $version: $count of $threshold authority signatures"; continue
    fi
    ok roster "version $version: $count of the $threshold authority signatures it needs"
    versions="$versions $version"
    [ "$version" -gt "$newest" ] && newest=$version
    # {"id":…,"keys":[…],"roles":[…]} one a line; signed, so its form is known.
    sed 's/^.*"persons":\[//; s/\],"rules":.*$//; s/},{/}\
{/g' "$file" | awk '
    BEGIN {
        may["responder"] = "exhibit-act-v1,exhibit-bundle-v1,exhibit-login-v1,exhibit-order-v1"; may["approver"] = "exhibit-act-v1,exhibit-approval-v1,exhibit-login-v1"
        may["analyst"] = may["auditor"] = "exhibit-act-v1,exhibit-login-v1"; may["endpoint-admin"] = "exhibit-act-v1,exhibit-login-v1,exhibit-token-v1"
    }
    /"id":"/ {
        id = $0; sub(/^.*"id":"/, "", id); sub(/".*$/, "", id)
        keys = $0; sub(/^.*"keys":\[/, "", keys); sub(/\].*$/, "", keys); gsub(/"/, "", keys)
        roles = $0; sub(/^.*"roles":\[/, "", roles); sub(/\].*$/, "", roles); gsub(/"/, "", roles)
        split("", seen); names = ""
        n = split(roles, role, ",")
        for (i = 1; i <= n; i++) { m = split(may[role[i]], space, ","); for (j = 1; j <= m; j++) if (!(space[j] in seen)) { seen[space[j]] = 1; names = names (names == "" ? "" : ",") space[j] } }
        n = split(keys, key, ",")
        for (i = 1; i <= n; i++) if (names != "") printf "person:%s namespaces=\"%s\" %s\n", id, names, key[i]
    }' >"$work/allowed-$version"
done
minimum=1; [ -f "$trust/roster_version_min" ] && minimum=$(tr -d ' \n' <"$trust/roster_version_min")
[ "$newest" -ge "$minimum" ] && [ "$newest" -gt 0 ]; result roster.minimum "newest roster is version $newest, at least $minimum" $?
for version in $versions; do
    before="$bundle/deployment/roster-$((version - 1)).json"
    [ -f "$before" ] || continue
    [ "$(text "$bundle/deployment/roster-$version.json" previous)" = "$(digest "$before")" ]
    result roster.link "version $version follows version $((version - 1))" $?
done
: >"$work/allowed-0"; [ "$newest" -gt 0 ] || versions=0
# By a person of any verified roster here?  person, namespace, signature, document
by_person() { for v in $versions; do signed "$work/allowed-$v" "person:$1" "$2" "$3" "$4" && return 0; done; return 1; }

# --- The signature over the sums, by the exporter.
by=$(text "$bundle/bundle.json" by); by=${by#person:}
signed "$work/allowed-$newest" "person:$by" exhibit-bundle-v1 "$bundle/SHA256SUMS.sig" "$bundle/SHA256SUMS"
result sums.signature "signed by $by, a responder of roster $newest" $?

# --- The ledger's head, under the pinned log key: openssl checks Ed25519 over the note's text.
vkey=$(awk '$1 == "log" { print $2; exit }' "$trust/policy"); key="the pinned log key"; until=""
size=$(sed -n 2p "$bundle/ledger/checkpoint")
sed 's/exhibit-roster-v1/exhibit-log-key-v1/' "$trust/authority" >"$work/allowed-log-key"
vouched() { # entry of a change of the log key: its document into change.json, how many keys of the authority signed it into count
    sed -n 2p "$1" >"$work/change.json"
    tail -n +3 "$1" | awk -v base="$work/change." '/^-----BEGIN/ { n++ } { print >(base n ".sig") }'
    : >"$work/keys"
    for sig in "$work"/change.*.sig; do
        if signed "$work/allowed-log-key" authority exhibit-log-key-v1 "$sig" "$work/change.json"; then sed -n 's/^.* key //p' "$work/said" >>"$work/keys"; fi
        rm -f "$sig"
    done
    count=$(sort -u "$work/keys" | wc -l | tr -d ' ')
    [ "$count" -ge "$threshold" ]
}
placed() { # does the envelope say what change.json says, at the place where it may stand?
    type=log.succession; at=$(number "$work/change.json" size); [ "$(text "$work/change.json" reason)" != planned ] || type=key.rotated
    [ "$(text "$work/envelope" type)" = $type ] &&
        grep -q -F "\"refs\":[[\"log\",\"$(text "$work/change.json" new)\"],[\"size\",\"$at\"]]" "$work/envelope" || return 1
    if [ "$(text "$work/change.json" reason)" = compromised ]; then [ "$index" -eq "$at" ]; else [ "$index" -ge "$at" ]; fi
}
# Changes of the log key from the pinned one on, each signed by the pinned authority and below this head; the proofs of their entries are checked with all others.
shown=0
for index in $(ls "$bundle/custody/deployment" 2>/dev/null | sed -n 's/\.entry$//p' | sort -n); do
    file="$bundle/custody/deployment/$index.entry"
    head -n 1 "$file" | grep -Eq '"type":"(key\.rotated|log\.succession)"' || continue
    head -n 1 "$file" >"$work/envelope"
    vouched "$file" && [ "$index" -lt "$size" ] && placed
    good=$?; shown=$((shown + 1)); cp "$work/change.json" "$work/shown.$shown"
    result log.key "change $(number "$work/change.json" number), entry $index: $count of the $threshold authority signatures it needs" $good
    [ $good -eq 0 ] && [ "$(text "$work/change.json" old)" = "$vkey" ] || continue # one that led to the pinned key
    vkey=$(text "$work/change.json" new); key="$vkey, which the authority let follow the pinned log key"
done
# A bundle of before the pinned key: the line that led to it is beside the pin. The key before the first change that the bundle does not have signed it, up to where that change ended it.
known=0
for pair in $(tr '{' '\n' 2>/dev/null <"$trust/log-keys.json" | sed -n 's/.*"entry":"\([^"]*\)","proof":"\([^"]*\)".*/\1,\2/p'); do
    known=$((known + 1)); good=0
    printf '%s' "${pair%%,*}" | base64 -d >"$work/change.entry" 2>/dev/null && vouched "$work/change.entry" || good=1
    if [ $known -le $shown ]; then
        cmp -s "$work/change.json" "$work/shown.$known" || good=1
        [ $good -eq 0 ] || bad log.key "change $known is another than the one beside the pin"
    elif [ $known -eq $((shown + 1)) ]; then
        vkey=$(text "$work/change.json" old); key="$vkey, which was the log's key before change $known"
        until=$(printf '%s' "${pair#*,}" | base64 -d 2>/dev/null | sed -n 's/^index \([0-9][0-9]*\)$/\1/p' | head -n 1)
        [ "$(text "$work/change.json" reason)" != compromised ] || until=$(number "$work/change.json" size)
        [ $good -eq 0 ] && [ -n "$until" ] && [ "$size" -le "$until" ]
        result log.key "change $known, beside the pin: $count of the $threshold authority signatures; the key before it signs up to size $until" $?
    fi
done
log=${vkey%%+*}; rest=${vkey#*+}
printf '%s' "${rest#*+}" | base64 -d 2>/dev/null | tail -c +2 >"$work/point"
{ printf '\060\052\060\005\006\003\053\145\160\003\041\000'; cat "$work/point"; } >"$work/log.der" # RFC 8410
note() { # check, file
    awk 'length($0) == 0 { exit } { print }' "$2" >"$work/text"
    awk -v name="$log" 'past && $1 == "\342\200\224" && $2 == name { print $3; exit } length($0) == 0 { past = 1 }' "$2" | base64 -d 2>/dev/null | tail -c +5 >"$work/signature"
    [ "$(head -n 1 "$work/text")" = "$log" ] && [ "$(wc -l <"$work/text")" -eq 3 ] && { [ -z "$until" ] || [ "$(sed -n 2p "$work/text")" -le "$until" ]; } &&
        openssl pkeyutl -verify -pubin -keyform DER -inkey "$work/log.der" -rawin -in "$work/text" -sigfile "$work/signature" >"$work/said" 2>&1
    result "$1" "$log at size $(sed -n 2p "$work/text"), signed by $key" $?
}
note checkpoint "$bundle/ledger/checkpoint"
note export.checkpoint "$bundle/export/checkpoint"

# --- Cosigners (c2sp.org/tlog-cosignature): each line of a pinned key must hold; then the arithmetic of the pinned policy.
awk 'length($0) == 0 { exit } { print }' "$bundle/ledger/checkpoint" >"$work/text"
: >"$work/cosigned"; wrong=""; pinned=0; mirror=""; complete=""
while read -r word name vkey rest; do
    [ "$word" = witness ] || continue
    pinned=$((pinned + 1)); key=${vkey%%+*}; rest=${vkey#*+}; id=${rest%%+*}; since=""
    case $key in */mirror) mirror="$mirror $name" ;; esac
    printf '%s' "${rest#*+}" | base64 -d 2>/dev/null >"$work/point"
    [ "$(head -c 1 "$work/point" | od -An -tx1 | tr -d ' \n')" = 04 ] || { wrong="$name: not a cosigner's key"; continue; }
    { printf '\060\052\060\005\006\003\053\145\160\003\041\000'; tail -c +2 "$work/point"; } >"$work/cosigner.der"
    awk -v name="$key" 'past && $1 == "\342\200\224" && $2 == name { print $3 } length($0) == 0 { past = 1 }' "$bundle/ledger/checkpoint" >"$work/lines"
    while read -r line; do
        printf '%s' "$line" | base64 -d 2>/dev/null >"$work/blob"
        [ "$(head -c 4 "$work/blob" | od -An -tx1 | tr -d ' \n')" = "$id" ] || continue # another key of this name: unknown
        time=$(printf '%d' "0x$(tail -c +5 "$work/blob" | head -c 8 | od -An -tx1 | tr -d ' \n')" 2>/dev/null)
        tail -c 64 "$work/blob" >"$work/signature"
        { printf 'cosignature/v1\ntime %s\n' "$time"; cat "$work/text"; } >"$work/message"
        [ "$(wc -c <"$work/blob")" -eq 76 ] && openssl pkeyutl -verify -pubin -keyform DER -inkey "$work/cosigner.der" -rawin -in "$work/message" -sigfile "$work/signature" >"$work/said" 2>&1 ||
            { wrong="the line of $name does not hold"; continue; }
        if [ -z "$since" ] || [ "$time" -lt "$since" ]; then since=$time; fi
    done <"$work/lines"
    [ -n "$since" ] || continue
    echo "$name" >>"$work/cosigned"
    case $key in */mirror) complete="$complete $name" ;; esac
    printf '             %-18s %s\n' "vouched for by" "$name ($key), since $(date -u -d "@$since" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || echo "$since s after 1970")"
done <"$trust/policy"
count=$(wc -l <"$work/cosigned" | tr -d ' ')
verdict=$(awk -v cosigned="$(tr '\n' ' ' <"$work/cosigned")" '
    BEGIN { n = split(cosigned, names, " "); for (i = 1; i <= n; i++) met[names[i]] = 1 }
    $1 == "group" { n = 0; for (i = 4; i <= NF; i++) n += ($i in met); if (n >= ($3 == "any" ? 1 : $3 == "all" ? NF - 3 : $3 + 0)) met[$2] = 1 }
    $1 == "quorum" { print $2 == "none" ? "none" : ($2 in met) ? "met" : "short" }' "$trust/policy")
waived=no; grep -q '"without_quorum":true' "$bundle/bundle.json" && waived=yes
if [ -n "$wrong" ]; then bad quorum "$wrong"
elif [ "$verdict" = none ]; then printf 'not checked  %-18s %s\n' quorum "the pinned policy asks for no cosigners"
elif [ "$verdict" = met ]; then ok quorum "$count of the $pinned pinned cosigners signed this head"
elif [ $waived = yes ]; then skip quorum "exported WITHOUT QUORUM: $count of the $pinned pinned cosigners"
else bad quorum "$count of the $pinned pinned cosigners: fewer than the pinned policy asks"; fi
if [ -n "$complete" ]; then ok custody.complete "every entry below this head was checked by$complete"
elif [ -n "$mirror" ] && [ "$verdict" != none ]; then skip custody.complete "no word of$mirror: vouched for by the collector alone"
else printf 'not checked  %-18s %s\n' custody.complete "no mirror vouches: vouched for by the collector"; fi

# --- Time stamps (RFC 3161): each at the time it names, for certificates end and stamps stay.
stamps() { # check, data, name of the first response without its ending
    found=no; holds=""; strangers=""; gap=no
    for ending in tsr 2.tsr 3.tsr 4.tsr; do
        if [ ! -f "$3.$ending" ]; then gap=yes
        elif [ $gap = yes ]; then bad "$1" "${3##*/}.$ending is there, and one before it is not"; return; fi
    done
    for ending in tsr 2.tsr 3.tsr 4.tsr; do
        name="${3##*/}.$ending"
        [ -f "$3.$ending" ] || continue
        found=yes
        [ -f "$trust/tsa.pem" ] || continue
        size=$(openssl asn1parse -inform DER -in "$3.$ending" 2>/dev/null | sed -n '1s/^ *0:d=0 *hl= *\([0-9]*\) *l= *\([0-9]*\).*/\1 + \2/p')
        [ "$((${size:-0}))" -eq "$(wc -c <"$3.$ending")" ] || { holds=yes; bad "$1" "$name is no time-stamp response, or something stands behind it"; continue; }
        time=$(openssl ts -reply -in "$3.$ending" -text 2>/dev/null | sed -n 's/^Time stamp: //p')
        epoch=$(date -u -d "$(printf '%s' "$time" | sed 's/\.[0-9]*//')" +%s 2>/dev/null)
        holds_under() { openssl ts -verify -data "$2" -in "$3" -CAfile "$1" ${epoch:+-attime "$epoch"} $4 >"$work/said" 2>&1; }
        if holds_under "$trust/tsa.pem" "$2" "$3.$ending" ""; then
            holds=yes; ok "$1" "existed at $time ($name)"
        elif grep -q -i 'certificate verify error\|unable to get local issuer' "$work/said"; then
            # Of an authority that nobody pinned it is asked all else, under the certificates that it brings along: whole, and over these bytes.
            openssl ts -reply -in "$3.$ending" -token_out -out "$work/token" 2>/dev/null
            openssl pkcs7 -inform DER -in "$work/token" -print_certs -out "$work/brought.pem" 2>/dev/null
            if holds_under "$work/brought.pem" "$2" "$3.$ending" -partial_chain; then strangers="$strangers $name"
            else holds=yes; bad "$1" "$name does not hold, whoever signed it: $(head -n 1 "$work/said")"; fi
        else holds=yes; bad "$1" "$name does not hold: $(head -n 1 "$work/said")"; fi
    done
    if [ $found = no ]; then printf 'not checked  %-18s %s\n' "$1" "there is no stamp"
    elif [ ! -f "$trust/tsa.pem" ]; then printf 'not checked  %-18s %s\n' "$1" "no tsa.pem is pinned"
    elif [ -z "$holds" ]; then bad "$1" "by no authority that tsa.pem pins:$strangers"
    elif [ -n "$strangers" ]; then printf 'not checked  %-18s %s\n' "$1" "by an authority that tsa.pem does not pin:$strangers"; fi
}
# A bundle that was stamped once is not handed over without the second stamp, by whoever took it away.
if [ -e "$trust/tsa.pem" ] && ls "$bundle"/ledger/checkpoint*.tsr >/dev/null 2>&1 && ! ls "$bundle"/SHA256SUMS*.tsr >/dev/null 2>&1; then
    skip sums.stamp "there is a stamp over the checkpoint and none over SHA256SUMS: ask for the bundle again"
else
    stamps sums.stamp "$bundle/SHA256SUMS" "$bundle/SHA256SUMS"
fi
stamps checkpoint.stamp "$bundle/ledger/checkpoint" "$bundle/ledger/checkpoint"

# --- Custody: inclusion of every entry, the chain, event ids, the export. The acts are laid out for ssh-keygen below.
mkdir "$work/acts"
if command -v python3 >/dev/null; then
    cat >"$work/custody.py" <<'PY'
import base64, hashlib, json, os, re, sys
bundle, acts = sys.argv[1:3]
sha = lambda data: hashlib.sha256(data).digest()
node = lambda left, right: sha(b"\1" + left + right)
read = lambda name: open(os.path.join(bundle, name), "rb").read()
def say(check, words): print(check + "\t" + words)
def once(pairs):
    if len({key for key, _ in pairs}) != len(pairs): raise ValueError("a key stands twice in one object")
    return dict(pairs)
load = lambda data: json.loads(data, object_pairs_hook=once)
def write(name, data):
    with open(os.path.join(acts, name), "wb") as out: out.write(data)
# docs/spec/ledger.md, Entry types: who signs an act of its type, and the acts that are documents of their own.
RESPONDER, APPROVER, ADMIN = {"responder"}, {"approver"}, {"endpoint-admin"}
ROLES = {
    "incident.opened": RESPONDER, "incident.noted": {"analyst", "responder"}, "incident.closed": RESPONDER, "incident.reopened": RESPONDER,
    "order.cancelled": RESPONDER, "bundle.exported": RESPONDER, "hold.placed": {"approver", "responder"}, "hold.released": APPROVER,
    "retention.changed": APPROVER, "disposition.approved": {"approver", "responder"}, "endpoint.retired": ADMIN, "mirror.admitted": ADMIN, "mirror.retired": ADMIN,
}
MIRROR = {"disposition.confirmed", "evidence.replicated"}
NOBODY = {
    "log.genesis", "order.refused", "collection.progress", "collection.interrupted", "collection.malformed", "collection.contradicted", "evidence.accessed",
    "tsa.stamped", "evidence.fixity_failed", "evidence.repaired", "disposition.executed", "recovery.performed",
}
DOCUMENTS = {
    "agent.enrolled": "exhibit-enrolment-v1", "agent.renewed": "exhibit-renewal-v1", "login.issued": "exhibit-login-v1", "collection.started": "exhibit-delegation-v1",
    "order.approved": "exhibit-approval-v1", "order.rejected": "exhibit-approval-v1", "key.rotated": "exhibit-log-key-v1", "log.succession": "exhibit-log-key-v1",
}
FILED = {"roster.published", "endpoint.admitted", "order.issued", "collection.stored"}
# docs/spec/roster.md: what a key of a person with the role may sign.
MAY = {
    "responder": {"exhibit-order-v1", "exhibit-act-v1", "exhibit-login-v1", "exhibit-bundle-v1"}, "approver": {"exhibit-approval-v1", "exhibit-act-v1", "exhibit-login-v1"},
    "analyst": {"exhibit-act-v1", "exhibit-login-v1"}, "auditor": {"exhibit-act-v1", "exhibit-login-v1"}, "endpoint-admin": {"exhibit-token-v1", "exhibit-act-v1", "exhibit-login-v1"},
}
def head(note):
    text, _, signatures = note.partition(b"\n\n")
    lines = text.decode().split("\n")
    if len(lines) != 3: raise ValueError("checkpoint has not three lines")
    return int(lines[1]), base64.b64decode(lines[2], validate=True), lines, set(signatures.split(b"\n"))
def included(entry, proof, want):
    top, _, note = proof.partition(b"\n\n")
    lines = top.decode().split("\n")
    if lines[0] != "c2sp.org/tlog-proof@v1": raise ValueError("no tlog-proof")
    if len(lines) < 2 or not lines[1].startswith("index "): raise ValueError("no index, or extra data that nothing covers")
    index = at = int(lines[1][6:])
    size, root, text, signatures = head(note)
    if text != want[2] or not signatures <= want[3]: raise ValueError("proof leads to another checkpoint")
    if not 0 <= index < size: raise ValueError("index outside the log")
    last, value = size - 1, sha(b"\0" + entry)
    for line in lines[2:]:
        sibling = base64.b64decode(line, validate=True)
        if last == 0 or len(sibling) != 32: raise ValueError("proof too long")
        if at & 1 or at == last:
            value = node(sibling, value)
            while not at & 1 and at: at >>= 1; last >>= 1
        else: value = node(value, sibling)
        at >>= 1; last >>= 1
    if last or value != root: raise ValueError("not in the checkpoint")
    return index
def consistent(old, new, proof):
    if old[0] > new[0] or old[0] < 1: raise ValueError("sizes reversed")
    if old[0] == new[0]:
        if proof or old[1] != new[1]: raise ValueError("two roots at one size")
        return
    at, last = old[0] - 1, new[0] - 1
    while at & 1: at >>= 1; last >>= 1
    proof = ([old[1]] if old[0] & (old[0] - 1) == 0 else []) + proof
    one = two = proof[0]
    for sibling in proof[1:]:
        if last == 0: raise ValueError("proof too long")
        if at & 1 or at == last:
            one, two = node(sibling, one), node(sibling, two)
            while not at & 1 and at: at >>= 1; last >>= 1
        else: two = node(two, sibling)
        at >>= 1; last >>= 1
    if last or one != old[1] or two != new[1]: raise ValueError("another history")
class Entry:
    def __init__(self, name, want):
        self.name, self.bytes = name, read(name + ".entry" if name != "export/entry" else name)
        self.index = included(self.bytes, read(name + ".tlog-proof"), want)
        self.leaf = sha(b"\0" + self.bytes).hex()
        line, _, act = self.bytes.partition(b"\n")
        self.envelope = load(line)
        self.type, self.seq, self.time, self.refs = self.envelope["type"], self.envelope["seq"], self.envelope["time"], once(self.envelope["refs"])
        self.act, self.document, self.armours = None, b"", b""
        if act:
            document, _, self.armours = act.partition(b"\n")
            self.document = document + b"\n"
            if hashlib.sha256(self.document).hexdigest() != self.envelope["event"]: raise ValueError("event is not its act's digest")
            self.act = load(document)
        elif self.envelope["act"] != "digest": raise ValueError("its act is missing")
def roster(index):
    """The roster in force at an entry, and the roles of its persons."""
    version = max((v for at, v in published if at < index), default=0)
    if not version: raise ValueError("no roster was in force")
    if version not in persons: persons[version] = {one["id"]: one["roles"] for one in load(read(f"deployment/roster-{version}.json"))["persons"]}
    return version, persons[version]
def about(kind):
    """Entries of the incident of one type, by collection."""
    named = {}
    for entry in chain:
        if entry.type == kind: named.setdefault(entry.refs["collection"], []).append(entry)
    return named
def judge(entry):
    """Is it what its type says, by whom its type says? Leaves the signatures to ssh-keygen."""
    kind, act = entry.type, entry.act
    if act is None:
        if kind not in FILED: raise ValueError("its act is missing")
        return
    if act["type"] != DOCUMENTS.get(kind, "exhibit-act-v1"): raise ValueError("its act is of another type")
    if kind in DOCUMENTS: return
    if any(act[ours] != entry.envelope[its] for ours, its in (("act", "type"), ("deployment", "deployment"), ("incident", "incident"), ("refs", "refs"))):
        raise ValueError("its act is about something else")
    room, _, who = act["by"].partition(":")
    base = entry.name.replace("/", "_")
    if kind in NOBODY:
        if room != "collector" or entry.armours: raise ValueError(f"recorded in the name of {act['by']}")
        return
    if kind in ROLES:
        version, roles = roster(entry.index)
        if room != "person" or not ROLES[kind] & set(roles.get(who, [])): raise ValueError(f"{act['by']} did not have the role then that {kind} asks for")
        write(base + ".by", f"{who} {version}\n".encode())
    elif kind in MIRROR:
        of = lambda type_: [one for one in deployment if one.type == type_ and one.refs["mirror"] == who and one.index < entry.index]
        if room != "mirror" or entry.refs["mirror"] != who or not of("mirror.admitted"): raise ValueError(f"no mirror {who} had been admitted")
        if of("mirror.retired"): raise ValueError(f"mirror {who} had been retired")
        if kind == "evidence.replicated":
            of_it = stored.get(entry.refs["collection"], [])
            if not any(one.index < int(entry.refs["size"]) <= entry.index and one.refs["manifest"] == entry.refs["manifest"] for one in of_it):
                raise ValueError("no such collection had been stored with that manifest below that size")
        write(base + ".mirror", (of("mirror.admitted")[0].refs["key"] + "\n").encode())
    else:
        unknown.append(kind)
        return
    write(base + ".json", entry.document)
    write(base + ".sig", entry.armours)
class Course:
    """docs/spec/ledger.md, Disposal: an incident's chain, folded."""
    def __init__(self):
        self.closed, self.holds, self.until, self.changed, self.seq = False, set(), None, 0, 0
        self.collections, self.texts, self.plans, self.gone, self.stated, self.kept_once = [], [], {}, [], set(), set()
    def kept(self, time):
        if self.holds: return f"under legal hold; {len(self.holds)} stand"
        if not self.closed: return "the incident is open"
        if self.until is None: return "no retention is set"
        return f"it is kept until {self.until}" if time < self.until else None
    def plan(self, count):
        start = max((plan["count"] for plan in self.plans.values() if plan["approved"] and plan["approved"][0] < count), default=0)
        pick = lambda named: sorted({one for seq, one in named if start <= seq < count})
        plan = {"from": start, "count": count, "collections": pick(self.collections), "details": pick(self.texts), "approvals": [], "approved": None}
        text = f"exhibit-disposition-v1\ndeployment {overview['deployment']}\nincident {overview['incident']}\nentries {start} {count}\n"
        text += "".join(f"collection {one}\n" for one in plan["collections"]) + "".join(f"detail {one}\n" for one in plan["details"])
        return hashlib.sha256(text.encode()).hexdigest(), plan
    def objects(self, plan): return [one + "/evidence" for one in plan["collections"]] + ([overview["incident"] + "/details"] if plan["details"] else [])
    def left(self, digest, object, place): return any(one["object"] == object and one["from"] == place and (object.endswith("/evidence") or one["plan"] == digest) for one in self.gone)
    def stores(self, collection): return sum(one["object"] == collection + "/evidence" and "store" in one["from"] for one in self.gone)
    def take(self, entry):
        kind, refs, seq = entry.type, entry.refs, self.seq
        self.seq += 1
        if kind == "disposition.approved": self.approve(entry, seq)
        elif entry.act and entry.act.get("detail"): self.texts.append((seq, entry.act["detail"]))
        if kind.split(".")[0] in ("collection", "incident", "intake", "order"): self.changed = self.seq
        if kind in ("incident.opened", "incident.reopened", "incident.closed"): self.closed = kind == "incident.closed"
        elif kind == "hold.placed": self.holds.add(entry.envelope["event"])
        elif kind == "hold.released": self.holds.discard(refs["hold"])
        elif kind == "retention.changed": self.until = refs["until"]
        elif kind == "collection.started": self.collections.append((seq, refs["collection"]))
        elif kind == "collection.stored": self.kept_once.add(refs["collection"])
        elif kind == "evidence.replicated": self.stated.add((refs["collection"], refs["mirror"]))
        elif kind in ("disposition.executed", "disposition.confirmed"): self.leave(entry)
    def approve(self, entry, seq):
        count, person = int(entry.refs["count"]), entry.act["by"][len("person:"):]
        why = self.kept(entry.time)
        if why: raise ValueError(why)
        if self.plans.get(entry.refs["plan"], {}).get("approved"): raise ValueError("the plan is approved by two persons already")
        digest, made = self.plan(count)
        if not self.changed <= count <= seq or digest != entry.refs["plan"]: raise ValueError("the plan is not what the chain holds")
        if not self.objects(made): raise ValueError("the plan names nothing")
        plan = self.plans.setdefault(digest, made)
        if any(one["person"] == person for one in plan["approvals"]): raise ValueError(f"{person} approved it before: the second approval is another person's")
        plan["approvals"].append({"person": person, "approver": "approver" in roster(entry.index)[1].get(person, []), "time": entry.time, "index": entry.index})
        if len(plan["approvals"]) < 2: return
        if not any(one["approver"] for one in plan["approvals"]): raise ValueError("neither of the two persons has the role approver")
        plan["approved"], self.changed = (seq, entry.index), self.seq
    def leave(self, entry):
        refs = entry.refs
        why = self.kept(entry.time) if entry.type == "disposition.executed" else None
        if why: raise ValueError(why)
        plan, place = self.plans.get(refs["plan"]), {name: refs[name] for name in ("store", "mirror") if name in refs}
        if not plan or not plan["approved"]: raise ValueError("the plan is not approved by two persons")
        if refs["object"] not in self.objects(plan): raise ValueError(f"the plan does not name {refs['object']}")
        if self.left(refs["plan"], refs["object"], place): raise ValueError(f"{refs['object']} was gone from there before")
        self.gone.append({"plan": refs["plan"], "object": refs["object"], "from": place, "count": int(refs["count"]), "time": entry.time, "index": entry.index})
    def certificate(self):
        plans = []
        for digest, plan in sorted(self.plans.items(), key=lambda one: (one[1]["approved"] or (0, 0), one[0])):
            if not plan["approved"]: continue
            waiting = []
            for object in self.objects(plan):
                named = object.partition("/evidence")[0] # of what was never stored nobody could state anything: whoever stated some may hold it
                holders = sorted({mirror for collection, mirror in self.stated if named not in self.kept_once or named == collection})
                waiting += [{"object": object, "mirror": mirror, "retired": mirror in retired} for mirror in holders if not self.left(digest, object, {"mirror": mirror})]
            gone = [{key: value for key, value in one.items() if key != "plan"} for one in self.gone if one["plan"] == digest]
            plans.append({"plan": digest, "from": plan["from"], "count": plan["count"], "collections": plan["collections"], "details": len(plan["details"]),
                          "approved": plan["approvals"], "gone": gone, "waiting": waiting})
        document = {"type": "exhibit-destruction-v1", "deployment": overview["deployment"], "incident": overview["incident"], "entries": self.seq, "plans": plans}
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
def disposition():
    """The course of the chain, each entry about disposal judged; the certificate says what it says."""
    course = Course()
    for entry in chain:
        try: course.take(entry)
        except ValueError as why: raise ValueError(f"{entry.type} at {entry.index}: {why}")
    here = os.path.exists(os.path.join(bundle, "destruction.json"))
    if here != (bool(course.gone) and not overview["partial"]): raise ValueError("destruction.json is " + ("here, though nothing is gone, or this is a part" if here else "missing, though something is gone"))
    if here and read("destruction.json") != course.certificate(): raise ValueError("destruction.json says something else than the chain")
    if course.gone: say("disposition", f"ok {sum(bool(plan['approved']) for plan in course.plans.values())} plans, each approved by two persons when nothing kept the evidence; {len(course.gone)} objects recorded as gone")
    elif course.plans: say("disposition", "ok approvals hold; nothing is gone yet")
    return course
def coverage(course):
    """Each collection that the chain names is here, or was disposed of; returns those that were."""
    started, progress, interrupted = about("collection.started"), about("collection.progress"), about("collection.interrupted")
    folder = os.path.join(bundle, "evidence")
    folders = set(os.listdir(folder)) if os.path.isdir(folder) else set()
    if not folders <= set(started): raise ValueError("evidence that the ledger does not name: " + min(folders - set(started)))
    whole = sorted(one for one in folders if overview["partial"] or os.path.exists(os.path.join(folder, one, "container.tar.zst")))
    if whole != overview["collections"]: raise ValueError("bundle.json lists other collections")
    if overview["partial"]:
        need(whole, "a partial production without a single item")
        return []
    disposed = []
    for collection in started:
        if os.path.exists(os.path.join(folder, collection, "container.tar.zst")): continue
        arrived = collection in stored or collection in progress or any(entry.refs["segments"] != "0" for entry in interrupted.get(collection, []))
        stores = course.stores(collection)
        if stores and not os.path.exists(os.path.join(folder, collection, "delegation.json")): raise ValueError(f"of collection {collection} not even the delegation is here")
        if stores: disposed.append(collection)
        elif arrived: raise ValueError(f"collection {collection} is in the ledger but not in the bundle")
        copies, why = int(stored[collection][0].refs["copies"]) if collection in stored else 0, course.kept(chain[-1].time)
        if 0 < stores < copies and why: raise ValueError(f"collection {collection} is gone from {stores} of {copies} copies and the rest is kept ({why}), but not here")
    say("coverage", f"ok {len(whole)} collections are here, all that the ledger names" + (f" but {len(disposed)} that were disposed of" if disposed else ""))
    return disposed
def need(holds, words):
    if not holds: raise ValueError(words)
def exists(name): return os.path.exists(os.path.join(bundle, name))
def filed(name, event):
    """A document of the bundle, which is the one of this digest."""
    data = read(name)
    need(hashlib.sha256(data).hexdigest() == event, f"{name} is not the one that the ledger recorded")
    need(load(data)["deployment"] == overview["deployment"], f"{name} is of another deployment")
    return load(data)
def seal(path):
    """The header of a seal, and the digest of its file."""
    with open(path, "rb") as file:
        line = file.readline(1 << 20)
        digest = hashlib.sha256(line)
        for piece in iter(lambda: file.read(1 << 20), b""): digest.update(piece)
    return load(line), digest.hexdigest()
def under_orders():
    """Each order with the index since which it was in force; None: nobody approved it."""
    orders = {}
    for entry in (one for one in chain if one.type in ("order.approved", "order.rejected")):
        same = entry.act["order"] == entry.refs["order"] and entry.act["deployment"] == overview["deployment"]
        need(same and (entry.act["decision"] == "approve") == (entry.type == "order.approved"), f"{entry.name}: the approval says something else")
        need("approver" in roster(entry.index)[1].get(entry.act["approver"], []), f"{entry.name}: by nobody who was an approver then")
    for entry in (one for one in chain if one.type == "order.issued"):
        event = entry.envelope["event"]
        if overview["partial"] and not exists(f"orders/{event}.json"): continue
        order, (version, roles), says = filed(f"orders/{event}.json", event), roster(entry.index), f"order {event[:12]}"
        rules = load(read(f"deployment/roster-{version}.json"))
        need(order["incident"] == overview["incident"], says + " is for another incident")
        need(order["roster_version"] == version and order["roster_sha256"] == entry.refs["roster"], says + " was not made under the roster in force")
        need("responder" in roles.get(order["issuer"], []), says + " is by nobody who was a responder then")
        need(entry.time < min(order["expires"], rules["not_after"]), says + " had expired when it was logged")
        since = entry.index
        if order["sensitivity"] in rules["rules"]["two_persons"]:
            counts = [one.index for one in chain if one.type == "order.approved" and one.refs["order"] == event and one.act["approver"] != order["issuer"]
                      and filed(f"approvals/{one.envelope['event']}.json", one.envelope["event"])]
            since = counts[0] if counts else None
        orders[event] = (order, since)
    return orders
def enrolled():
    """Each enrolment by endpoint and generation, and the index of its retirement."""
    found, tokens = {}, {entry.envelope["event"]: entry for entry in deployment if entry.type == "endpoint.admitted"}
    for entry in (one for one in deployment if one.type == "agent.enrolled"):
        of, says = (entry.refs["endpoint"], entry.refs["generation"]), f"{entry.name}: "
        request, token = filed("deployment/enrolment-%s-%s.json" % of, entry.envelope["event"]), filed("deployment/token-%s-%s.json" % of, entry.refs["token"])
        key = base64.b64encode(sha(base64.b64decode(request["evidence_key"].split()[1]))).decode().rstrip("=")
        need(entry.refs["evidence_key"] == "SHA256:" + key and request["token"] == entry.refs["token"], says + "names another key or token")
        admitted = tokens.get(entry.refs["token"])
        need(admitted and admitted.index < entry.index, says + "its token had not been admitted")
        need("endpoint-admin" in roster(admitted.index)[1].get(token["issuer"], []), says + "its token is by no endpoint-admin")
        need(entry.time < token["not_after"], says + "its token had expired")
        gone = [one.index for one in deployment if one.type == "endpoint.retired" and (one.refs["endpoint"], one.refs["generation"]) == of]
        found[of] = min(gone, default=None)
    return found
def collections():
    """What ledger, order, delegation, manifest and seals say of one collection is one thing."""
    orders, endpoints = under_orders(), enrolled()
    progress, interrupted = about("collection.progress"), about("collection.interrupted")
    for id, started in about("collection.started").items():
        folder, says, entry, ended = f"evidence/{id}/", f"collection {id[:12]}: ", started[0], stored.get(id, [])
        need(len(started) == 1 and len(ended) < 2, says + "started or stored twice")
        if not exists(folder): continue
        delegation, refs = filed(folder + "delegation.json", entry.envelope["event"]), entry.refs
        need(all(str(delegation[name]) == refs[name] for name in ("collection", "order", "endpoint", "attempt")), says + "collection.started names something else")
        of = (delegation["endpoint"], str(delegation["generation"]))
        need(of in endpoints and (endpoints[of] is None or endpoints[of] > entry.index), says + "the endpoint was not enrolled, or had been retired")
        order, since = orders.get(delegation["order"], (None, None))
        need(order and since is not None and since < entry.index, says + "begun before its order was logged and approved")
        need(delegation["attempt"] <= order["attempts"], says + "an attempt more than ordered")
        need(exists(folder + "manifest.json") == bool(ended), says + "the ledger and this folder disagree on whether it was stored")
        if ended:
            manifest, told = filed(folder + "manifest.json", ended[0].envelope["event"]), ended[0].refs
            origin = manifest["origin"]["endpoint"]
            need(told["manifest"] == ended[0].envelope["event"] and told["endpoint"] == origin["id"] == of[0] and told["order"] == origin["order"] == refs["order"], says + "collection.stored is about something else")
            need(str(origin["generation"]) == of[1] and origin["attempt"] == delegation["attempt"] and manifest["incident"] == overview["incident"], says + "the manifest is about something else")
            need(all(manifest["limits"][name] <= order["limits"][name] for name in order["limits"]), says + "limits wider than the order's")
            need([step["collector"] for step in manifest["steps"]] == [step["collector"] for step in order["plan"]], says + "other steps than the order's plan")
        if not exists(folder + "seals"): continue
        seals = [seal(os.path.join(bundle, folder, "seals", name)) for name in sorted(os.listdir(os.path.join(bundle, folder, "seals")))]
        headers, digests = [header for header, _ in seals], [digest for _, digest in seals]
        need(all(header[name] == delegation[name] for header in headers for name in ("deployment", "order", "attempt")), says + "a seal of another order or attempt")
        if ended: need(sum(header["items"] for header in headers) == manifest["items"] and len(seals) == manifest["segments"], says + "the manifest counts other items")
        for one in progress.get(id, []): need(digests[int(one.refs["index"]):][:1] == [one.refs["seal"]], says + "collection.progress names another seal")
        for one in interrupted.get(id, []):
            count = int(one.refs["segments"])
            need([one.refs["seal"]] == (digests[count - 1:count] if count else ["0" * 64]), says + "collection.interrupted names another seal")
        if id in interrupted and not ended: need(int(interrupted[id][-1].refs["segments"]) == len(seals), says + "more segments than collection.interrupted counted")
def conveniences():
    """allowed_signers is that of the newest roster and the enrolments here: by name, then by generation as a number."""
    if not exists("deployment/allowed_signers"): return
    newest = load(read(f"deployment/roster-{max(version for _, version in published)}.json"))
    lines = [f'authority namespaces="exhibit-roster-v1" {key}\n' for key in sorted(newest["authority"]["keys"])]
    for person in newest["persons"]:
        may = ",".join(sorted({space for role in person["roles"] for space in MAY[role]}))
        lines += [f'person:{person["id"]} namespaces="{may}" {key}\n' for key in person["keys"]]
    for endpoint, generation in sorted((entry.refs["endpoint"], int(entry.refs["generation"])) for entry in deployment if entry.type == "agent.enrolled"):
        key = load(read(f"deployment/enrolment-{endpoint}-{generation}.json"))["evidence_key"]
        lines.append(f'endpoint:{endpoint}#{generation} namespaces="exhibit-delegation-v1,exhibit-enrolment-v1,exhibit-manifest-v1,exhibit-renewal-v1" {key}\n')
    good = read("deployment/allowed_signers") == "".join(lines).encode()
    say("conveniences", "ok allowed_signers is that of the newest roster and the endpoints" if good else "FAILED deployment/allowed_signers is not that of the newest roster and the endpoints")
def planted():
    """Every file below these folders is one that something checked asks for."""
    events = {entry.envelope["event"] for entry in chain}
    texts = {entry.act["detail"] for entry in chain + deployment if entry.act and entry.act.get("detail")}
    tokens = {f"{entry.refs['endpoint']}-{entry.refs['generation']}" for entry in deployment if entry.type == "agent.enrolled"}
    words = {"README.txt", "SHA256SUMS", "SHA256SUMS.sig", "bundle.json", "verify.sh", "certification.txt", "destruction.json", "destruction.txt"}
    for path, _, files in os.walk(bundle):
        for file in files:
            name = os.path.relpath(os.path.join(path, file), bundle)
            parts, document = name.split("/"), file.split(".json")[0]
            asked = name in words or re.fullmatch(r"SHA256SUMS(\.[234])?\.tsr|export/(checkpoint|consistency|entry|entry\.tlog-proof)", name)
            signed = re.fullmatch(r"[^/]+\.json(\.([0-9]+\.)?sig)?", file)
            if parts[0] in ("orders", "approvals") and len(parts) == 2: asked = signed and document in events
            elif parts[0] == "orders": asked = len(parts) == 3 and parts[1].endswith(".targets") and parts[1].split(".")[0] in events and re.fullmatch(r"[a-z0-9-]+\.json", file)
            elif parts[0] == "details": asked = not overview["partial"] and file == document + ".json" and document in texts and hashlib.sha256(read(name)).hexdigest() == document
            elif parts[0] == "evidence": asked = re.fullmatch(r"container\.tar\.zst|(delegation|manifest)\.json(\.sig|\.2\.sig)?|seals/[0-9]{6}\.seal|items/[0-9]{6}\.(record|proof|content)", "/".join(parts[2:]))
            elif parts[0] == "deployment" and document.startswith(("token-", "enrolment-")): asked = signed and document.partition("-")[2] in tokens
            elif parts[0] == "deployment": asked = name in ("deployment/allowed_signers", "deployment/log.vkey", "deployment/ca.pem") or signed and re.fullmatch(r"roster-[0-9]+", document)
            elif parts[0] == "ledger": asked = re.fullmatch(r"ledger/checkpoint((\.[234])?\.tsr)?", name)
            elif parts[0] == "custody": asked = exists(name.replace(".tlog-proof", ".entry")) and name.endswith((".entry", ".tlog-proof"))
            need(asked, f"{name} is asked for by nothing that was checked")
try:
    overview, want = load(read("bundle.json")), head(read("ledger/checkpoint"))
    if (overview["origin"], overview["entries"]) != (want[2][0], want[0]) or want[2][0] != "exhibit/" + overview["deployment"]: raise ValueError("bundle.json speaks of another checkpoint")
    found = {}
    for folder in ("custody", "custody/deployment"):
        path = os.path.join(bundle, folder)
        found[folder] = []
        for file in sorted(os.listdir(path)) if os.path.isdir(path) else []:
            if not file.endswith(".entry"): continue
            name = folder + "/" + file[:-6]
            try: found[folder].append(Entry(name, want))
            except Exception as why: raise ValueError(f"{name}: {why}")
    chain, deployment = sorted(found["custody"], key=lambda one: one.seq), sorted(found["custody/deployment"], key=lambda one: one.index)
    say("custody.inclusion", f"ok {len(chain) + len(deployment)} entries are in the checkpoint, each with the digest of its act")
    previous, before, last, events = "0" * 64, "", -1, set()
    for seq, entry in enumerate(chain):
        envelope = entry.envelope
        if entry.seq != seq: raise ValueError(f"entry {seq} is missing")
        if envelope["prev"] != previous or entry.name != "custody/%06d" % seq or entry.index <= last: raise ValueError(f"entry {seq} does not follow the one before")
        if envelope["incident"] != overview["incident"]: raise ValueError(f"entry {seq} is of another chain")
        if entry.time < before: raise ValueError(f"entry {seq} is dated before the one before")
        previous, before, last = entry.leaf, entry.time, entry.index
    if not chain or previous != overview["head"] or len(chain) != overview["head_seq"] + 1: raise ValueError("the chain does not end at the head")
    for one, entry in zip([None] + deployment, deployment):
        if entry.envelope["incident"] != "" or entry.name != f"custody/deployment/{entry.index}": raise ValueError(f"{entry.name} is another entry")
        linked = one is None or one.seq < entry.seq and one.time <= entry.time and (one.seq + 1 < entry.seq or one.leaf == entry.envelope["prev"])
        if not linked or (entry.seq == 0) != (entry.envelope["prev"] == "0" * 64): raise ValueError(f"{entry.name} does not follow the one before")
    for entry in chain + deployment:
        if entry.envelope["deployment"] != overview["deployment"]: raise ValueError(f"{entry.name} is of another deployment")
        if entry.envelope["event"] in events: raise ValueError(f"{entry.name} records an act a second time")
        events.add(entry.envelope["event"])
    say("custody.chain", f"ok entries 0 to {len(chain) - 1} without gap, each naming the one before")
    published, persons, unknown, stored = [], {}, [], about("collection.stored")
    for entry in deployment:
        if entry.type != "roster.published": continue
        filed(f"deployment/roster-{entry.refs['version']}.json", entry.envelope["event"])
        if published and published[-1][1] >= int(entry.refs["version"]): raise ValueError(f"{entry.name} published an older roster")
        published.append((entry.index, int(entry.refs["version"])))
    here = {int(file[7:-5]) for file in os.listdir(os.path.join(bundle, "deployment")) if file.startswith("roster-") and file.endswith(".json")}
    if here != {version for _, version in published}: raise ValueError("a roster here was never published")
    retired = {entry.refs["mirror"] for entry in deployment if entry.type == "mirror.retired"}
    for entry in chain + deployment:
        try: judge(entry)
        except Exception as why: raise ValueError(f"{entry.name}, {entry.type}: {why}")
    if unknown: say("custody.acts", f"SKIP who signs {unknown[0]} is not known here: use a newer verifier")
    course = disposition()
    collections()
    planted()
    write("disposed", "".join(one + "\n" for one in coverage(course)).encode())
    holds = lambda one: os.path.exists(os.path.join(bundle, "evidence", one, "" if overview["partial"] else "container.tar.zst"))
    asked, told = [one for one in stored if holds(one) or not course.stores(one)], about("evidence.replicated")
    write("replicated", f"{len(asked)} {' '.join(one for one in asked if one not in told)}\n".encode())
    later = head(read("export/checkpoint"))
    consistent(want, later, [base64.b64decode(line, validate=True) for line in read("export/consistency").split()])
    export = Entry("export/entry", later)
    judge(export)
    if not read("export/entry.tlog-proof").endswith(b"\n\n" + read("export/checkpoint")): raise ValueError("the proof of the export leads to another note")
    if export.type != "bundle.exported" or export.envelope["incident"] != overview["incident"] or export.act["by"] != overview["by"]: raise ValueError("export/entry is another act")
    if export.refs["sums"] != hashlib.sha256(read("SHA256SUMS")).hexdigest(): raise ValueError("the ledger names another SHA256SUMS")
    chosen = []
    for collection in sorted(os.listdir(os.path.join(bundle, "evidence"))) if os.path.isdir(os.path.join(bundle, "evidence")) else []:
        path = os.path.join(bundle, "evidence", collection, "items")
        numbers = [int(file[:-7]) for file in os.listdir(path) if file.endswith(".record")] if os.path.isdir(path) else []
        chosen += [f"{collection} {number}\n" for number in sorted(numbers)]
    wanted = {"items": str(len(chosen)), "partial": "yes", "selection": hashlib.sha256("".join(chosen).encode()).hexdigest()} if overview["partial"] else {}
    if overview.get("without_quorum"): wanted["without_quorum"] = "yes"
    if dict(export.act["fields"]) != wanted: raise ValueError("the ledger says otherwise whether this is a part, of which items, or whether there was a quorum")
    if export.refs["head"] != overview["head"] or int(export.refs["count"]) != len(chain) or export.seq < len(chain): raise ValueError("the ledger names another head")
    conveniences()
    say("export", "ok bundle.exported names this SHA256SUMS, in a ledger that continues this bundle's")
except Exception as why:
    say("custody", f"FAILED {why}" if str(why) else f"FAILED {why!r}")
PY
    python3 -I "$work/custody.py" "$bundle" "$work/acts" >"$work/custody" 2>"$work/said" || printf 'custody\tFAILED python3 did not finish\n' >>"$work/custody"
    while IFS='	' read -r check words; do
        case $words in "ok "*) ok "$check" "${words#ok }" ;; "SKIP "*) skip "$check" "${words#SKIP }" ;; *) bad "$check" "${words#FAILED }" ;; esac
    done <"$work/custody"
    acts=0; wrong=""
    for act in "$work"/acts/*.json; do
        [ -f "$act" ] || continue
        acts=$((acts + 1)); base=${act%.json}
        if [ -f "$base.mirror" ]; then
            # By the act key that its mirror.admitted names, which an endpoint-admin signed and which is among these acts.
            key=$(ssh-keygen -Y check-novalidate -n exhibit-act-v1 -s "$base.sig" <"$act" 2>/dev/null | sed -n 's/.* key \(SHA256:[A-Za-z0-9+/]*\).*/\1/p')
            [ -n "$key" ] && [ "$key" = "$(cat "$base.mirror")" ] || wrong=${base##*/}
        else
            read -r who version <"$base.by"
            signed "$work/allowed-$version" "person:$who" exhibit-act-v1 "$base.sig" "$act" || wrong=${base##*/}
        fi
    done
    [ -z "$wrong" ]; result custody.acts "$acts acts are signed by the persons and mirrors they name ${wrong:+($wrong is not)}" $?
    read -r count lonely <"$work/acts/replicated" 2>/dev/null || count="" lonely=""
    if [ -z "$mirror" ] || [ "$verdict" = none ]; then printf 'not checked  %-18s %s\n' custody.replicated "the pinned policy asks for no mirror"
    elif [ -z "$count" ]; then skip custody.replicated "an earlier check failed"
    elif [ -n "$lonely" ]; then skip custody.replicated "no mirror has said that it holds $lonely"
    else ok custody.replicated "mirrors hold all $count stored collections"; fi
else
    skip custody "python3 is not here: inclusion proofs, chain, acts and export were not recomputed"
fi

# --- Orders and approvals, under the roster that the order names.
for file in "$bundle"/orders/*.json "$bundle"/approvals/*.json; do
    [ -f "$file" ] || continue
    id=${file##*/}; id=${id%.json}; short=$(printf '%.12s' "$id")
    kind=order; order=$file; who=$(text "$file" issuer)
    case $file in */approvals/*) kind=approval; who=$(text "$file" approver); order="$bundle/orders/$(text "$file" order).json" ;; esac
    version=$([ -f "$order" ] && number "$order" roster_version)
    [ -f "$work/allowed-${version:-x}" ] && [ "$(digest "$file")" = "$id" ] && signed "$work/allowed-$version" "person:$who" "exhibit-$kind-v1" "$file.sig" "$file"
    code=$?
    [ "$kind" = order ] && [ $code -eq 0 ] && { [ "$(text "$file" roster_sha256)" = "$(digest "$bundle/deployment/roster-$version.json")" ]; code=$?; }
    result "$kind" "$short is signed by $who of roster ${version:-?}" $code
done

# --- Endpoints: the token by an endpoint-admin, the enrolment by one-time key, evidence key, TLS key.
: >"$work/endpoints"
for file in "$bundle"/deployment/enrolment-*.json; do
    [ -f "$file" ] || continue
    endpoint=$(text "$file" endpoint); generation=$(number "$file" generation); name="$endpoint#$generation"
    token="$bundle/deployment/token-$endpoint-$generation.json"
    if [ -f "$token" ] && by_person "$(text "$token" issuer)" exhibit-token-v1 "$token.sig" "$token" && [ "$(text "$file" token)" = "$(digest "$token")" ] &&
        [ "$(text "$token" endpoint)#$(number "$token" generation)" = "$name" ] && [ "${file##*/}" = "enrolment-$endpoint-$generation.json" ]; then code=0; else code=1; fi
    {
        printf 'token namespaces="exhibit-enrolment-v1" %s\n' "$(text "$token" key 2>/dev/null)"
        printf 'evidence namespaces="exhibit-enrolment-v1" %s\n' "$(text "$file" evidence_key)"
        printf 'tls namespaces="exhibit-enrolment-v1" %s\n' "$(text "$file" tls_key)"
    } >"$work/three"
    signed "$work/three" token exhibit-enrolment-v1 "$file.sig" "$file" && signed "$work/three" evidence exhibit-enrolment-v1 "${file%.json}.json.2.sig" "$file" &&
        signed "$work/three" tls exhibit-enrolment-v1 "${file%.json}.json.3.sig" "$file" || code=1
    [ $code -eq 0 ] && printf 'endpoint:%s namespaces="exhibit-delegation-v1,exhibit-manifest-v1" %s\n' "$name" "$(text "$file" evidence_key)" >>"$work/endpoints"
    result endpoint "$name: token by $(text "$token" issuer 2>/dev/null), enrolment by its three keys" $code
done

# --- A partial production: chosen items, each with its record, its place under the manifest's items_root, and its content.
partial=$(grep -o '"partial":[a-z]*' "$bundle/bundle.json" | sed 's/.*://')
merkle() { # record, proof, place, items: prints the root that the proof leads to
    { printf '\000'; cat "$1"; } | openssl dgst -sha256 -binary >"$work/hash"
    at=$3; last=$(($4 - 1))
    sed 1,4d "$2" >"$work/siblings"
    while IFS= read -r sibling; do
        printf '%s' "$sibling" | base64 -d >"$work/sibling" 2>/dev/null
        [ "$last" -gt 0 ] && [ "$(wc -c <"$work/sibling")" -eq 32 ] || { echo "proof of a wrong form"; return; }
        if [ $((at % 2)) -eq 1 ] || [ "$at" -eq "$last" ]; then
            { printf '\001'; cat "$work/sibling" "$work/hash"; } | openssl dgst -sha256 -binary >"$work/next"
            while [ $((at % 2)) -eq 0 ] && [ "$at" -gt 0 ]; do at=$((at / 2)); last=$((last / 2)); done
        else
            { printf '\001'; cat "$work/hash" "$work/sibling"; } | openssl dgst -sha256 -binary >"$work/next"
        fi
        at=$((at / 2)); last=$((last / 2)); mv "$work/next" "$work/hash"
    done <"$work/siblings"
    [ "$last" -eq 0 ] && od -An -v -tx1 "$work/hash" | tr -d ' \n'
}
items() { # folder, manifest: sets why and count
    total=$(grep -o '"items":[0-9]*,"items_root":"' "$2" | tr -cd 0-9); root=$(text "$2" items_root); count=0; why=""
    for file in "$1"/items/*; do [ -f "${file%.*}.record" ] || why="${file##*/} has no record"; done
    for record in "$1"/items/*.record; do
        name=${record##*/}; name=${name%.record}; proof="${record%.record}.proof"; content="${record%.record}.content"
        place=$(printf '%s' "$name" | sed 's/^0*//'); place=${place:-0}; count=$((count + 1))
        [ "$(number "$record" n)" = "$place" ] && [ "$(printf '%06d' "$place")" = "$name" ] || why="item $name: number"
        [ -f "$proof" ] && [ "$(head -n 4 "$proof")" = "$(printf 'exhibit-item-proof-v1\ncollection %s\nindex %s\nitems %s' "${1##*/}" "$place" "$total")" ] || { why="item $name: proof"; continue; }
        [ "$(merkle "$record" "$proof" "$place" "$total")" = "$root" ] || why="item $name is not under the manifest's items_root"
        [ "$(text "$record" path | base64 -d 2>/dev/null | head -c 14 | tr -d '\000')" != live/outcomes. ] || why="item $name: its lines are records of others"
        holder=$(grep -o '"link":{"n":[0-9]*' "$record" | sed 's/.*://')
        if [ -n "$holder" ]; then
            holder="$1/items/$(printf '%06d' "$holder").record"
            [ ! -e "$content" ] && [ -f "$holder" ] && [ "$(text "$holder" sha256)" = "$(text "$record" sha256)" ] || why="item $name: hard link"
        elif grep -q '"member":"' "$record" && grep -q -E '"kind":"(file|stream)"' "$record"; then
            [ -f "$content" ] && [ "$(digest "$content")" = "$(text "$record" sha256)" ] || why="item $name: content"
        elif [ -e "$content" ]; then why="item $name has no content of its own"; fi
    done
}

entry_says() { # entry type, text: does an entry of this type in custody/ hold the text? find splits the list: a bundle may have more entries than one command takes.
    (cd "$bundle/custody" 2>/dev/null && find . ! -name . -prune -name '*.entry' -exec grep -l -F -e "$2" {} +) |
        while IFS= read -r entry; do
            grep -q -F -e "\"type\":\"$1\"" "$bundle/custody/$entry" && echo found
        done | grep -q found
}
recorded() { # Is the manifest signed, of this delegation, and the one that collection.stored recorded?
    signed "$work/sealer" sealer exhibit-manifest-v1 "$manifest.sig" "$manifest" && signed "$work/endpoints" "$endpoint" exhibit-manifest-v1 "$folder/manifest.json.2.sig" "$manifest" &&
        [ "$(text "$manifest" collection)" = "$id" ] && [ "$(text "$manifest" delegation)" = "$(digest "$delegation")" ] &&
        entry_says collection.stored "\"event\":\"$(digest "$manifest")\""
}

# --- Collections: delegation, every seal and its segment, the manifest, the container.
for folder in "$bundle"/evidence/*/; do
    [ -d "$folder" ] || continue
    folder=${folder%/}; id=${folder##*/}; short=$(printf '%.12s' "$id")
    delegation="$folder/delegation.json"; manifest="$folder/manifest.json"; container="$folder/container.tar.zst"
    endpoint="endpoint:$(text "$delegation" endpoint)#$(number "$delegation" generation)"
    signed "$work/endpoints" "$endpoint" exhibit-delegation-v1 "$delegation.sig" "$delegation"; code=$?
    awk -v who="$endpoint" '$1 == who { print $3, $4; exit }' "$work/endpoints" >"$work/evidence.pub"
    print=$(ssh-keygen -lf "$work/evidence.pub" 2>/dev/null | cut -d ' ' -f 2)
    made=$(printf 'exhibit-collection-v1\n%s\n%s\n%s\n%s\n' "$(text "$delegation" order)" "$print" "$(number "$delegation" attempt)" "$(text "$delegation" nonce)" | sha256sum | cut -d ' ' -f 1)
    [ "$made" = "$id" ] && [ "$(text "$delegation" collection)" = "$id" ] || code=1
    result delegation "$short by $endpoint" $code
    [ -f "$bundle/orders/$(text "$delegation" order).json" ]; result order.present "$short was collected under an order that is here" $?

    printf 'sealer namespaces="exhibit-seal-v1,exhibit-manifest-v1" %s\n' "$(text "$delegation" sealer)" >"$work/sealer"
    if [ "$partial" = true ]; then
        [ ! -e "$container" ] && [ ! -e "$folder/seals" ]; result partial "$short: nothing of the container is here" $?
        recorded
        result manifest "$short: by sealer and evidence key, the one that collection.stored recorded" $?
        items "$folder" "$manifest"
        [ -z "$why" ]; result items "$short: $count items of ${total:-?}, each with record, Merkle path and content ${why:+($why)}" $?
        continue
    fi
    if [ ! -e "$container" ] && [ ! -e "$folder/seals" ] && grep -qxF "$id" "$work/acts/disposed" 2>/dev/null; then
        disposed=$((disposed + 1))
        if [ -f "$manifest" ]; then
            recorded; result manifest "$short: by sealer and evidence key, the one that collection.stored recorded; its evidence was destroyed" $?
        else
            ! entry_says collection.stored "[\"collection\",\"$id\"]"
            result manifest "$short: interrupted, no manifest; its evidence was destroyed" $?
        fi
        continue
    fi
    [ ! -e "$folder/items" ] || bad partial "$short: items of a partial production, and bundle.json does not say that this is one"
    index=0; offset=1; previous=$(printf '%064d' 0); why=""; final=false
    while [ -f "$folder/seals/$(printf '%06d' $index).seal" ]; do
        seal="$folder/seals/$(printf '%06d' $index).seal"
        head -n 1 "$seal" >"$work/header"
        sed -n '/^-----BEGIN SSH SIGNATURE-----$/,/^-----END SSH SIGNATURE-----$/p; /^-----END SSH SIGNATURE-----$/q' "$seal" >"$work/header.sig"
        length=$(number "$work/header" stored_len); length=${length:-0}
        final=$(grep -o '"final":[a-z]*' "$work/header" | sed 's/.*://')
        signed "$work/sealer" sealer exhibit-seal-v1 "$work/header.sig" "$work/header" || why="seal $index: signature"
        [ "$(number "$work/header" index)" = "$index" ] && [ "$(text "$work/header" prev)" = "$previous" ] && [ "$(text "$work/header" collection)" = "$id" ] || why="seal $index: chain"
        [ "$(tail -c +$offset "$container" | head -c "$length" | sha256sum | cut -d ' ' -f 1)" = "$(text "$work/header" sha256)" ] || why="segment $index: digest"
        records=$(number "$work/header" records_len)
        [ "$(tail -c "${records:-0}" "$seal" | sha256sum | cut -d ' ' -f 1)" = "$(text "$work/header" records_sha256)" ] || why="seal $index: records"
        previous=$(digest "$seal"); offset=$((offset + length)); index=$((index + 1))
    done
    [ "$(find "$folder/seals" -type f 2>/dev/null | wc -l)" -eq "$index" ] || why="seals: not contiguous"
    size=0; [ -f "$container" ] && size=$(wc -c <"$container")
    [ "$size" -eq $((offset - 1)) ] || why="container: $size bytes, its seals say $((offset - 1))"
    [ -z "$why" ]; result seals "$short: $index segments, each signed, in order, with its digest ${why:+($why)}" $?

    if [ -f "$manifest" ]; then
        recorded && [ "$(text "$manifest" seal_head)" = "$previous" ] && [ "$(text "$manifest" container_sha256)" = "$(digest "$container")" ] && [ "$final" = true ]
        result manifest "$short: by sealer and evidence key, for this container and these seals" $?
        tar --zstd -tf - <"$container" >"$work/list" 2>"$work/said" # by name, GNU tar would take a path with a colon for a host's
        code=$?; twice=$(sort "$work/list" | uniq -d | head -n 1); [ -z "$twice" ] || code=1
        result container "$short: tar lists $(wc -l <"$work/list" | tr -d ' ') members ${twice:+($twice twice)}" $code
    else
        ok manifest "$short: interrupted, no manifest; what its $index seals cover stands"
    fi
done

cat <<END

Stock tools do not check, exhibit-verify does: that every tar header is the one its item record makes, every item has its recorded digest and
Merkle root, and nothing hides between or behind the frames; that the sensitivity of orders is that of their plans, and endpoints stand on their
target lists; renewals of endpoints; logins; log.genesis; user presence of security keys. log.vkey and ca.pem below deployment/ were not looked at: use
your own. docs/spec/bundle.md says more (Stock tools).
END
if [ "$partial" = true ]; then echo "PARTIAL PRODUCTION: items are left out on purpose; of these and of the containers nothing was checked."; fi
if [ "$failed" -gt 0 ]; then echo "FAILED: $failed checks"; exit 1; fi
if [ "$open" -gt 0 ]; then echo "NOT VERIFIED: $open checks could not be made"; exit 2; fi
if [ "$partial" = true ]; then echo "VERIFIED, PARTIAL PRODUCTION, with stock tools"
elif [ "$disposed" -gt 0 ]; then echo "VERIFIED, DISPOSED (evidence was destroyed on two persons' word; its custody is here), with stock tools"
else echo "VERIFIED with stock tools"; fi
