#!/bin/sh
# Checks a bundle with stock tools alone, for people who trust nobody's program: docs/spec/bundle.md is the text behind it.
#   sh verify.sh BUNDLE TRUSTDIR
# Needs sha256sum, find, ssh-keygen (8.2 or later), openssl (3.0 or later), base64, tar, zstd, awk, sed, grep, sort, od; python3 for the ledger proofs.
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
failed=0; open=0

ok() { printf 'ok           %-18s %s\n' "$1" "$2"; }
bad() { printf 'FAILED       %-18s %s\n' "$1" "$2"; failed=$((failed + 1)); }
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
vkey=$(awk '$1 == "log" { print $2; exit }' "$trust/policy"); key="the pinned log key"
# Changes of the log key from the pinned one on, each signed by the pinned authority and below this head; the proofs of their entries are checked with all others.
sed 's/exhibit-roster-v1/exhibit-log-key-v1/' "$trust/authority" >"$work/allowed-log-key"
for index in $(ls "$bundle/custody/deployment" 2>/dev/null | sed -n 's/\.entry$//p' | sort -n); do
    file="$bundle/custody/deployment/$index.entry"
    head -n 1 "$file" | grep -Eq '"type":"(key\.rotated|log\.succession)"' || continue
    sed -n 2p "$file" >"$work/change.json"
    tail -n +3 "$file" | awk -v base="$work/change." '/^-----BEGIN/ { n++ } { print >(base n ".sig") }'
    : >"$work/keys"
    for sig in "$work"/change.*.sig; do
        if signed "$work/allowed-log-key" authority exhibit-log-key-v1 "$sig" "$work/change.json"; then sed -n 's/^.* key //p' "$work/said" >>"$work/keys"; fi
        rm -f "$sig"
    done
    count=$(sort -u "$work/keys" | wc -l | tr -d ' ')
    [ "$count" -ge "$threshold" ] && [ "$index" -lt "$(sed -n 2p "$bundle/ledger/checkpoint")" ]
    good=$?
    result log.key "change $(number "$work/change.json" number), entry $index: $count of the $threshold authority signatures it needs" $good
    [ $good -eq 0 ] && [ "$(text "$work/change.json" old)" = "$vkey" ] || continue # one that led to the pinned key
    vkey=$(text "$work/change.json" new); key="$vkey, which the authority let follow the pinned log key"
done
log=${vkey%%+*}; rest=${vkey#*+}
printf '%s' "${rest#*+}" | base64 -d 2>/dev/null | tail -c +2 >"$work/point"
{ printf '\060\052\060\005\006\003\053\145\160\003\041\000'; cat "$work/point"; } >"$work/log.der" # RFC 8410
note() { # check, file
    awk 'length($0) == 0 { exit } { print }' "$2" >"$work/text"
    awk -v name="$log" 'past && $1 == "\342\200\224" && $2 == name { print $3; exit } length($0) == 0 { past = 1 }' "$2" | base64 -d 2>/dev/null | tail -c +5 >"$work/signature"
    [ "$(head -n 1 "$work/text")" = "$log" ] && [ "$(wc -l <"$work/text")" -eq 3 ] &&
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

# --- Time stamps (RFC 3161).
stamps() { # check, data, name of the first response without its ending
    found=no; holds=""; strangers=""
    for ending in tsr 2.tsr 3.tsr 4.tsr; do
        [ -f "$3.$ending" ] || continue
        found=yes
        [ -f "$trust/tsa.pem" ] || continue
        if openssl ts -verify -data "$2" -in "$3.$ending" -CAfile "$trust/tsa.pem" >"$work/said" 2>&1; then
            holds=yes; ok "$1" "existed at $(openssl ts -reply -in "$3.$ending" -text 2>/dev/null | sed -n 's/^Time stamp: //p') (${3##*/}.$ending)"
        elif grep -q -i 'certificate verify error\|unable to get local issuer' "$work/said"; then strangers="$strangers ${3##*/}.$ending"
        else holds=yes; bad "$1" "${3##*/}.$ending does not hold: $(head -n 1 "$work/said")"; fi
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
import base64, hashlib, json, os, sys
bundle, acts = sys.argv[1:3]
sha = lambda data: hashlib.sha256(data).digest()
node = lambda left, right: sha(b"\1" + left + right)
read = lambda name: open(os.path.join(bundle, name), "rb").read()
def say(check, words): print(check + "\t" + words)
def head(note):
    lines = note.split(b"\n\n")[0].decode().split("\n")
    if len(lines) != 3: raise ValueError("checkpoint has not three lines")
    return int(lines[1]), base64.b64decode(lines[2], validate=True), lines
def included(entry, proof, want):
    top, _, note = proof.partition(b"\n\n")
    lines = top.decode().split("\n")
    if lines[0] != "c2sp.org/tlog-proof@v1": raise ValueError("no tlog-proof")
    lines = lines[1:]
    if lines[0].startswith("extra "): lines = lines[1:]
    if not lines[0].startswith("index "): raise ValueError("no index")
    index = at = int(lines[0][6:])
    size, root, text = head(note)
    if text != want[2]: raise ValueError("proof leads to another checkpoint")
    if not 0 <= index < size: raise ValueError("index outside the log")
    last, value = size - 1, sha(b"\0" + entry)
    for line in lines[1:]:
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
def place(name, entry):
    line, _, act = entry.partition(b"\n")
    envelope = json.loads(line)
    if act:
        document, _, armours = act.partition(b"\n")
        document += b"\n"
        if hashlib.sha256(document).hexdigest() != envelope["event"]: raise ValueError("event is not its act's digest")
        content = json.loads(document)
        if content["type"] == "exhibit-act-v1" and content["act"] != envelope["type"]: raise ValueError("its act is of another type")
        if content["type"] == "exhibit-act-v1" and armours:
            if content["deployment"] != envelope["deployment"] or content["incident"] != envelope["incident"]: raise ValueError("its act belongs elsewhere")
            kind, _, person = content["by"].partition(":")
            if kind != "person" and (kind, content["act"]) != ("mirror", "evidence.replicated"): raise ValueError("signed by no person")
            base = os.path.join(acts, name.replace("/", "_"))
            for ending, data in ((".json", document), (".sig", armours), (".by" if kind == "person" else ".mirror", (person + "\n").encode())):
                with open(base + ending, "wb") as out: out.write(data)
    elif envelope["act"] != "digest": raise ValueError("its act is missing")
    if envelope["type"] == "mirror.admitted":
        refs = dict(envelope["refs"])
        with open(os.path.join(acts, "admitted"), "a") as out: out.write(refs["mirror"] + " " + refs["key"] + "\n")
    return envelope
try:
    overview, want = json.loads(read("bundle.json")), head(read("ledger/checkpoint"))
    chain, count = {}, 0
    for folder in ("custody", "custody/deployment"):
        path = os.path.join(bundle, folder)
        for file in sorted(os.listdir(path)) if os.path.isdir(path) else []:
            if not file.endswith(".entry"): continue
            name = folder + "/" + file[:-6]
            try:
                entry = read(name + ".entry")
                included(entry, read(name + ".tlog-proof"), want)
                envelope = place(name, entry)
            except Exception as why: raise ValueError(f"{name}: {why}")
            count += 1
            if folder == "custody": chain[envelope["seq"]] = (envelope, sha(b"\0" + entry).hex(), file)
    say("custody.inclusion", f"ok {count} entries are in the checkpoint, each with the digest of its act")
    previous, before = "0" * 64, ""
    for seq in range(len(chain)):
        if seq not in chain: raise ValueError(f"entry {seq} is missing")
        envelope, leaf, file = chain[seq]
        if envelope["prev"] != previous or file != "%06d.entry" % seq: raise ValueError(f"entry {seq} does not follow the one before")
        if envelope["incident"] != overview["incident"] or envelope["deployment"] != overview["deployment"]: raise ValueError(f"entry {seq} is of another chain")
        if envelope["time"] < before: raise ValueError(f"entry {seq} is dated before the one before")
        previous, before = leaf, envelope["time"]
    if not chain or previous != overview["head"] or len(chain) != overview["head_seq"] + 1: raise ValueError("the chain does not end at the head")
    say("custody.chain", f"ok entries 0 to {len(chain) - 1} without gap, each naming the one before")
    later = head(read("export/checkpoint"))
    consistent(want, later, [base64.b64decode(line, validate=True) for line in read("export/consistency").split()])
    entry = read("export/entry")
    included(entry, read("export/entry.tlog-proof"), later)
    envelope = place("export/entry", entry)
    refs = dict(envelope["refs"])
    if envelope["type"] != "bundle.exported" or envelope["incident"] != overview["incident"]: raise ValueError("export/entry is another act")
    if refs["sums"] != hashlib.sha256(read("SHA256SUMS")).hexdigest(): raise ValueError("the ledger names another SHA256SUMS")
    chosen = []
    for collection in sorted(os.listdir(os.path.join(bundle, "evidence"))) if os.path.isdir(os.path.join(bundle, "evidence")) else []:
        path = os.path.join(bundle, "evidence", collection, "items")
        numbers = [int(file[:-7]) for file in os.listdir(path) if file.endswith(".record")] if os.path.isdir(path) else []
        chosen += [f"{collection} {number}\n" for number in sorted(numbers)]
    fields = dict(json.loads(entry.split(b"\n")[1])["fields"])
    wanted = {"items": str(len(chosen)), "partial": "yes", "selection": hashlib.sha256("".join(chosen).encode()).hexdigest()} if overview["partial"] else {}
    if overview.get("without_quorum"): wanted["without_quorum"] = "yes"
    if fields != wanted: raise ValueError("the ledger says otherwise whether this is a part, of which items, or whether there was a quorum")
    if refs["head"] != overview["head"] or int(refs["count"]) != len(chain) or envelope["seq"] < len(chain): raise ValueError("the ledger names another head")
    say("export", "ok bundle.exported names this SHA256SUMS, in a ledger that continues this bundle's")
except Exception as why:
    say("custody", f"FAILED {why}")
PY
    python3 -I "$work/custody.py" "$bundle" "$work/acts" >"$work/custody" 2>"$work/said" || printf 'custody\tFAILED python3 did not finish\n' >>"$work/custody"
    while IFS='	' read -r check words; do
        case $words in "ok "*) ok "$check" "${words#ok }" ;; *) bad "$check" "${words#FAILED }" ;; esac
    done <"$work/custody"
    acts=0; wrong=""
    for act in "$work"/acts/*.json; do
        [ -f "$act" ] || continue
        acts=$((acts + 1))
        if [ -f "${act%.json}.mirror" ]; then
            # By the act key that its mirror.admitted names, which an endpoint-admin signed and which is among these acts.
            key=$(ssh-keygen -Y check-novalidate -n exhibit-act-v1 -s "${act%.json}.sig" <"$act" 2>/dev/null | sed -n 's/.* key \(SHA256:[A-Za-z0-9+/]*\).*/\1/p')
            grep -qxF "$(cat "${act%.json}.mirror") $key" "$work/acts/admitted" 2>/dev/null || wrong=$(basename "${act%.json}")
            continue
        fi
        by_person "$(cat "${act%.json}.by")" exhibit-act-v1 "${act%.json}.sig" "$act" || wrong=$(basename "${act%.json}")
    done
    [ -z "$wrong" ]; result custody.acts "$acts acts are signed by the persons and mirrors they name ${wrong:+($wrong is not)}" $?
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
        holder=$(grep -o '"link":{"n":[0-9]*' "$record" | sed 's/.*://')
        if [ -n "$holder" ]; then
            holder="$1/items/$(printf '%06d' "$holder").record"
            [ ! -e "$content" ] && [ -f "$holder" ] && [ "$(text "$holder" sha256)" = "$(text "$record" sha256)" ] || why="item $name: hard link"
        elif grep -q '"member":"' "$record" && grep -q -E '"kind":"(file|stream)"' "$record"; then
            [ -f "$content" ] && [ "$(digest "$content")" = "$(text "$record" sha256)" ] || why="item $name: content"
        elif [ -e "$content" ]; then why="item $name has no content of its own"; fi
    done
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
        signed "$work/sealer" sealer exhibit-manifest-v1 "$manifest.sig" "$manifest" && signed "$work/endpoints" "$endpoint" exhibit-manifest-v1 "$folder/manifest.json.2.sig" "$manifest" &&
            [ "$(text "$manifest" collection)" = "$id" ] && [ "$(text "$manifest" delegation)" = "$(digest "$delegation")" ] && grep -q -F "\"type\":\"collection.stored\"" $(grep -l -F "\"event\":\"$(digest "$manifest")\"" "$bundle"/custody/*.entry || echo /dev/null)
        result manifest "$short: by sealer and evidence key, the one that collection.stored recorded" $?
        items "$folder" "$manifest"
        [ -z "$why" ]; result items "$short: $count items of ${total:-?}, each with record, Merkle path and content ${why:+($why)}" $?
        continue
    fi
    if [ -f "$manifest" ] && [ ! -e "$container" ] && [ ! -e "$folder/seals" ] && grep -F "[\"object\",\"$id/evidence\"]" "$bundle"/custody/*.entry | grep -q -F '"type":"disposition.executed"'; then
        signed "$work/sealer" sealer exhibit-manifest-v1 "$manifest.sig" "$manifest" && signed "$work/endpoints" "$endpoint" exhibit-manifest-v1 "$folder/manifest.json.2.sig" "$manifest" &&
            [ "$(text "$manifest" collection)" = "$id" ] && [ "$(text "$manifest" delegation)" = "$(digest "$delegation")" ] && grep -q -F "\"type\":\"collection.stored\"" $(grep -l -F "\"event\":\"$(digest "$manifest")\"" "$bundle"/custody/*.entry || echo /dev/null)
        result manifest "$short: by sealer and evidence key, the one that collection.stored recorded; its evidence is destroyed" $?
        [ "$(grep -l -F '"type":"disposition.approved"' "$bundle"/custody/*.entry | wc -l)" -ge 2 ]; result disposition "$short: approvals and disposition.executed are here; exhibit-verify judges persons, roles and plan" $?
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
        signed "$work/sealer" sealer exhibit-manifest-v1 "$manifest.sig" "$manifest" && signed "$work/endpoints" "$endpoint" exhibit-manifest-v1 "$folder/manifest.json.2.sig" "$manifest" &&
            [ "$(text "$manifest" collection)" = "$id" ] && [ "$(text "$manifest" delegation)" = "$(digest "$delegation")" ] && [ "$(text "$manifest" seal_head)" = "$previous" ] &&
            [ "$(text "$manifest" container_sha256)" = "$(digest "$container")" ] && [ "$final" = true ]
        result manifest "$short: by sealer and evidence key, for this container and these seals" $?
        tar --zstd -tf "$container" >"$work/list" 2>"$work/said"
        result container "$short: tar lists $(wc -l <"$work/list" | tr -d ' ') members" $?
    else
        ok manifest "$short: interrupted, no manifest; what its $index seals cover stands"
    fi
done

cat <<END

Stock tools do not check, exhibit-verify does: that every tar header is the one its item record makes and every item has its recorded digest
and Merkle root; the target list and expiry of orders and that rules asking for two persons were met; which roster was in force when; user
presence of security keys; that every collection the ledger names is here.
END
if [ "$partial" = true ]; then echo "PARTIAL PRODUCTION: items are left out on purpose; of these and of the containers nothing was checked."; fi
if [ "$failed" -gt 0 ]; then echo "FAILED: $failed checks"; exit 1; fi
if [ "$open" -gt 0 ]; then echo "NOT VERIFIED: $open checks could not be made"; exit 2; fi
echo "VERIFIED with stock tools"
