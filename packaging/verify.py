#!/usr/bin/env -S python3 -I
"""Judges a bundle of Exhibit from its specification alone, for people who trust nobody's program.

    python3 verify.py BUNDLE TRUSTDIR

What it does   It makes the checks of docs/spec/bundle.md and asks the rules of docs/spec/rules.md that are
               marked V, one function a rule: order-3 is `order_3`. Each refusal begins with a rule's number.
               It was written from these texts and vectors, without a look at the programs of Exhibit.
What it trusts The files of TRUSTDIR, which you pinned yourself: `authority`, `policy`, perhaps log-keys.json,
               tsa.pem and roster_version_min. Never take them from the bundle. Use your own copy of this
               program too: its digest is published with each release.
What it needs  Python 3.9 or later; ssh-keygen (8.2 or later) for SSH signatures, openssl (3.0 or later) for
               signatures of the ledger and time stamps, zstd for containers; a temporary folder (TMPDIR) with
               room for the longest document.
What it leaves README.txt, certification.txt, destruction.txt and verify.py are the exporter's words; whether
               a stamp's certificate was revoked; what no bundle shows: an entry behind its last one, a roster
               or a retirement that was left out (docs/spec/bundle.md, *Checks*).
Exit           0 all checks hold; 1 a check failed; 2 a check could not be made; 64 wrong usage.

It opens nothing outside BUNDLE, TRUSTDIR and its own temporary folder, follows no link in them, and writes to
neither. Every length is limited before anything of that length is kept.
"""
import os
import sys

if __name__ == "__main__" and not sys.flags.isolated:  # A json.py that lies beside this file must not run.
    os.execv(sys.executable, [sys.executable, "-I", *sys.argv])

import base64, bisect, datetime, hashlib, itertools, json, re, shutil, stat, subprocess, tempfile, threading

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
NO_DIGEST = "0" * 64

class Broken(Exception):
    """The bundle is not what the specification asks for; the text says in what."""

class CannotCheck(Exception):
    """Nothing is said of the bundle: a tool, a disk or the trust folder is not as this program needs it."""
def need(condition, why):
    if not condition:
        raise Broken(why)
def equal(found, due, what):
    need(found == due, f"{what} is {found}, not {due}")
def accepts(reader, *words):
    try:
        reader(*words)
    except Broken:
        return False
    return True

# ---- Bytes and forms (docs/spec/README.md). A function `is_…` says whether a value has that form.
def sha256(*pieces):
    return hashlib.sha256(b"".join(pieces)).digest()
def unbase64(text):
    try:
        raw = base64.b64decode(text, validate=True)
    except (ValueError, TypeError):
        raise Broken("base64 is not well-formed") from None
    need(base64.b64encode(raw) in (text, str(text).encode()), "base64 is not canonical")
    return raw
def one_of(*values):
    return lambda value: isinstance(value, (str, bool, type(None))) and value in values
def matching(pattern):
    compiled = re.compile(pattern)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None
def whole(low, high=2**53 - 1):
    return lambda value: type(value) is int and low <= value <= high
def listed(form, low, high):
    return lambda value: type(value) is list and low <= len(value) <= high and all(map(form, value))
def text_of(low, high):
    return lambda value: isinstance(value, str) and low <= len(value.encode()) <= high
def base64_of(length):
    return lambda value: is_base64(value) and len(unbase64(value)) == length
def or_null(form):
    return lambda value: value is None or form(value)
def fields(words, **more):
    """The form of an object: `name:kind` is a field of the form is_kind, `name` of is_name; `?`: optional."""
    pairs = [(word.partition(":")[0], word.rpartition(":")[2].rstrip("?")) for word in words.split()]
    return {**{name: globals()[f"is_{kind}"] for name, kind in pairs}, **more}
def object_of(words="", **more):
    form = fields(words, **more)
    return lambda value: accepts(in_form, value, form, "it")
def document(type_, words, **more):
    return fields(words, type=one_of(type_), deployment=is_id, **more)
def is_base64(value):
    return isinstance(value, str) and accepts(unbase64, value)
is_digest, is_decimal = matching("[0-9a-f]{64}"), matching("0|[1-9][0-9]*")
is_id = matching("[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
is_incident = matching("INC-(19[7-9][0-9]|[2-9][0-9]{3})-([0-9]{4}|[1-9][0-9]{4,8})")
is_incident_or_none = matching("|INC-(19[7-9][0-9]|[2-9][0-9]{3})-([0-9]{4}|[1-9][0-9]{4,8})")
is_word, is_entry_type = matching("[a-z0-9_-]{1,40}"), matching("[a-z0-9._]{1,40}")
is_collector, is_op = matching("[a-z0-9_-]{1,64}"), matching("[a-z0-9_-]{1,32}")
is_reason, is_nonce = is_op, base64_of(16)
is_store_key = matching("[A-Za-z0-9._-][A-Za-z0-9._/-]*")
is_graphic = matching("[!-~]*")
is_count, is_positive, is_attempt = whole(0), whole(1), whole(1, 10)
is_generation, is_number32 = whole(1, 2**32 - 1), whole(0, 2**32 - 1)
is_bool, is_text, is_label = one_of(True, False), text_of(0, 4 * MIB), text_of(1, 100)
is_digest_or_null, is_label_or_null = or_null(is_digest), or_null(text_of(0, 64))
def is_number64(value):
    return is_decimal(value) and len(value) <= 20 and int(value) < 2**64
def is_file_time(value):
    form = matching(r"(?!-0\.)-?(0|[1-9][0-9]{0,18})\.[0-9]{9}")
    return form(value) and -2**63 <= int(value[:-10]) < 2**63
def is_decimal_generation(value):
    return is_decimal(value) and len(value) <= 10 and is_generation(int(value))
def milliseconds(text):
    """A time as milliseconds since 1970; None where it is no time."""
    two = "([0-9]{2})"
    found = re.fullmatch(rf"([0-9]{{4}})-{two}-{two}T{two}:{two}:{two}\.([0-9]{{3}})Z", text)
    try:
        *date, thousandths = map(int, found.groups())
        since = datetime.datetime(*date) - datetime.datetime(1970, 1, 1)
    except (AttributeError, ValueError):
        return None
    return (since.days * 86400 + since.seconds) * 1000 + thousandths if since.days >= 0 else None
def is_time(value):
    return isinstance(value, str) and milliseconds(value) is not None
def is_unique(values):
    return len(set(values)) == len(values)
def lasts(value, begin, end, most):
    return 0 < milliseconds(value[end]) - milliseconds(value[begin]) <= most * 3600 * 1000
def is_fingerprint(value):
    return matching("SHA256:[A-Za-z0-9+/]{43}")(value) and base64_of(32)(value[7:] + "=")
def is_actor(value):
    kind, _, name = value.partition(":") if isinstance(value, str) else ("", "", "")
    name, mark, generation = name.partition("#")
    if kind == "endpoint":
        return is_id(name) and is_decimal_generation(generation)
    return value == "authority" or kind in ("person", "collector", "mirror") and is_id(name) and not mark
def is_pairs(value):
    """Refs or fields: at most 16 of name and value, sorted by name, no name twice."""
    if not listed(listed(text_of(0, 160), 2, 2), 0, 16)(value):
        return False
    names = [name for name, _ in value]
    return (names == sorted(set(names)) and all(map(matching("[a-z0-9_]{1,32}"), names))
            and all(is_graphic(content) for _, content in value))
def is_host_port(value):
    name = r"[a-z0-9][a-z0-9.-]{0,252}|\[[0-9a-fA-F:.]{2,45}\]"
    found = re.fullmatch(f"({name}):([1-9][0-9]{{0,4}})", value) if isinstance(value, str) else None
    return found is not None and int(found[2]) <= 65535

# ---- Documents: one JSON object on one line (docs/spec/README.md, *Common rules*).
JSON_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
def whole_number(text):
    need(len(text) <= 17 and re.fullmatch("0|-?[1-9][0-9]*", text), f"the number {text[:20]} is no integer")
    need(abs(int(text)) < 2**53, f"the number {text} is too large")
    return int(text)
def unique_keys(pairs):
    need(len(dict(pairs)) == len(pairs), "a key stands twice")
    return dict(pairs)
def read_json(line, most=4 * MIB):
    need(len(line) <= most, f"a line of {len(line)} bytes is too long")
    need(line.endswith(b"\n") and line.count(b"\n") == 1, "it is not one line that ends in LF")
    bare, depth = JSON_STRING.sub(b'""', line[:-1]), 0
    need(not re.search(rb"[ \t\r]", bare), "white space stands outside strings")
    for bracket in re.finditer(rb"[\[\]{}]", bare):
        depth += 1 if bracket[0] in b"[{" else -1
        need(depth <= 16, "it is nested deeper than 16")
    try:
        value = json.loads(line[:-1].decode("utf-8"), object_pairs_hook=unique_keys, parse_int=whole_number,
                           parse_float=whole_number, parse_constant=whole_number)
        compact(value)  # A lone surrogate has no UTF-8.
    except (ValueError, RecursionError):
        raise Broken("it is not JSON in UTF-8") from None
    return value
def compact(value):
    """JSON in the one text form that records and destruction.json have."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
def in_form(value, form, what):
    """Each field of a form is there and fits, and no other is there. A name that ends in `?` is optional."""
    need(type(value) is dict, f"{what} is no object")
    known = {name.rstrip("?"): name for name in form}
    for name in value:
        need(name in known, f"{what} has the unknown field {name!r}")
    for name, full in known.items():
        need(name in value or full.endswith("?"), f"{what} lacks the field {name}")
        need(name not in value or form[full](value[name]), f"{name} of {what} is not in its form")
    return value
def lines_of(*lines):
    return "".join(f"{line}\n" for line in lines).encode()

class Signed:
    """A document with its signatures. `signers` verifies every one of them and gives their public keys."""
    def __init__(self, line, armours):
        self.line, self.armours, self.value, self.verified = line, armours, read_json(line), None
        need(type(self.value) is dict, "the document is no object")
        self.digest = sha256(line).hex()
    def signers(self):
        if self.verified is None:
            need(isinstance(self.value.get("type"), str), "the document has no type")
            self.verified = [verify_ssh(self.line, self.value["type"], armour) for armour in self.armours]
        return self.verified
def split_signed(raw):
    end = raw.find(b"\n") + 1
    armours = re.split(rb"(?<=-----END SSH SIGNATURE-----\n)", raw[end:])
    need(end > 0 and armours.pop() == b"" and len(armours) <= 16, "not a line and at most 16 signatures")
    return Signed(raw[:end], armours)

# ---- SSH signatures (docs/spec/README.md). ssh-keygen verifies; what it would let pass is looked at here.
PRIME = 2**255 - 19
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
CURVE_D = -121665 * pow(121666, -1, PRIME) % PRIME
ORDER_8 = int("7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7", 16)
SMALL_ORDER = {0, 1, PRIME - 1, ORDER_8, PRIME - ORDER_8}  # y of the points of order 4, 1, 2, 8 and 8
ED25519, SECURITY_KEY = "ssh-ed25519", "sk-ssh-ed25519@openssh.com"
def is_strict_point(raw):
    """32 bytes of a point in its one spelling, on the curve, not of small order (RFC 8032, 5.1.3)."""
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    if len(raw) != 32 or y >= PRIME or y in SMALL_ORDER:
        return False
    square = (y * y - 1) * pow(CURVE_D * y * y + 1, PRIME - 2, PRIME) % PRIME
    return pow(square, (PRIME - 1) // 2, PRIME) == 1
def is_strict_signature(raw):
    """R is in its one spelling and not of small order, and S is below the group's order."""
    y = int.from_bytes(raw[:32], "little") & (2**255 - 1)
    return (len(raw) == 64 and y < PRIME and y not in SMALL_ORDER
            and int.from_bytes(raw[32:], "little") < GROUP_ORDER)
def ssh_strings(raw):
    found = []
    while raw:
        length = 4 + int.from_bytes(raw[:4], "big")
        need(4 <= length <= len(raw), "an SSH blob is cut")
        found.append(raw[4:length])
        raw = raw[length:]
    return found
def read_key_blob(blob):
    kind, point, *application = ssh_strings(blob) + [b""] * 2
    need(is_strict_point(point), "a key is no canonical point, or of small order")
    is_machine = kind == ED25519.encode() and len(ssh_strings(blob)) == 2
    is_token = kind == SECURITY_KEY.encode() and re.fullmatch(rb"ssh:[!-~]{0,251}", application[0])
    need(is_machine or is_token and len(ssh_strings(blob)) == 3, "a key is of another kind than Ed25519")
    return kind.decode()
def read_key(value):
    kind, _, blob = value.partition(" ") if isinstance(value, str) else ("", "", "")
    need(read_key_blob(unbase64(blob)) == kind, "a public key's kind")
def is_person_key(value):
    return accepts(read_key, value)
def is_key(value):
    return is_person_key(value) and value.startswith(ED25519 + " ")
def fingerprint(key):
    return "SHA256:" + base64.b64encode(sha256(unbase64(key.split(" ")[1]))).decode().rstrip("=")
def armour_of(blob, label="SSH SIGNATURE", width=70):
    text = base64.b64encode(blob).decode()
    lines = [text[at:at + width] for at in range(0, len(text), width)]
    return lines_of(f"-----BEGIN {label}-----", *lines, f"-----END {label}-----")
def read_armour(armour, namespace):
    """The public key of a signature in its one spelling; everything is judged but whether it verifies."""
    blob = unbase64(b"".join(armour.split(b"\n")[1:-2]))
    need(len(armour) <= 2048 and armour_of(blob) == armour, "a signature's armour is not canonical")
    parts = ssh_strings(blob[10:])
    need(blob[:10] == b"SSHSIG\0\0\0\1" and len(parts) == 5, "a signature is not SSHSIG version 1")
    key, space, reserved, hashed, signature = parts
    kind = read_key_blob(key)
    need(space == namespace.encode(), f"a signature is not for the namespace {namespace}")
    need(reserved == b"" and hashed == b"sha512", "a signature's hash is not sha512")
    if kind == SECURITY_KEY:  # Flags of one byte and a counter of four stand behind it.
        need(len(signature) > 5 and signature[-5] & 1, "nobody was present when a security key signed")
        signature = signature[:-5]
    inner = ssh_strings(signature)
    need(len(inner) == 2 and inner[0] == kind.encode(), "a signature is of another kind than its key")
    need(is_strict_signature(inner[1]), "a signature is not strictly spelt (RFC 8032)")
    return f"{kind} {base64.b64encode(key).decode()}"
def verify_ssh(document, namespace, armour):
    key = read_armour(armour, namespace)
    command = ["ssh-keygen", "-Y", "check-novalidate", "-n", namespace, "-s", scratch("signature", armour)]
    is_good = verifies(command, document, b"Could not verify signature")
    need(is_good, f"a signature by {fingerprint(key)} does not hold")
    return key

# ---- Programs that are called, and the one temporary folder.
def scratch(name, content):
    path = os.path.join(scratch.folder, name)
    with open(path, "wb") as file:
        file.write(content)
    return path
def start(command):
    words = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC", "HOME": scratch.folder}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                            env=words, cwd=scratch.folder)
def run(command, given=b""):
    """Exit code and output of a program. One that was killed says nothing of the bundle."""
    child = start(command)
    output = child.communicate(given)[0]
    if child.returncode < 0:
        raise CannotCheck(f"{command[0]} was killed by signal {-child.returncode}")
    return child.returncode, output
def verifies(command, given, refusal):
    """Does a program take a signature? If it neither does nor refuses, it says nothing of the bundle."""
    code, output = run(command, given)
    if code and refusal not in output:
        raise CannotCheck(f"{command[0]} cannot verify a signature here")
    return code == 0
def unzstd(compressed, length):
    """What zstd makes of whole frames, which is `length` bytes; never more than that is kept."""
    def feed():
        try:
            with child.stdin as pipe:
                pipe.write(compressed)
        except OSError:  # zstd had enough and went.
            pass
    if not compressed:
        return b""
    child = start(["zstd", "-q", "-d", "-c", "-"])
    feeder = threading.Thread(target=feed)
    feeder.start()
    plain = child.stdout.read(length + 1)
    if len(plain) > length:
        child.kill()
    child.stdout.close()
    feeder.join()
    if child.wait() < 0 and len(plain) <= length:
        raise CannotCheck("zstd was killed")
    need(child.returncode == 0 and len(plain) == length, f"zstd does not make {length} bytes of it")
    return plain

# ---- The ledger's notes and proofs (docs/spec/README.md, *Public texts*).
ED25519_SPKI = bytes.fromhex("302a300506032b6570032100")
def is_key_name(name):
    return re.fullmatch(r"[^\s+\x00-\x1f\x7f-\x9f]+", name) is not None and len(name.encode()) <= 255
def is_utf8(raw):
    return raw.decode("utf-8", "replace").encode() == raw

class NoteKey:
    def __init__(self, text):
        name, number, key = (text.split("+", 2) + [""] * 2)[:3]
        raw = unbase64(key)
        self.text, self.name, self.type, self.point = text, name, raw[:1], raw[1:]
        self.id = sha256(f"{name}\n".encode(), raw)[:4]
        need(is_key_name(name) and number == self.id.hex(), "a verifier key's name or id")
        need(self.type in (b"\1", b"\4") and is_strict_point(self.point), "a verifier key's type or point")
        self.is_log = self.type == b"\1"
    def verifies(self, message, signature):
        """openssl verifies an Ed25519 signature that is strictly spelt."""
        files = ["-inkey", scratch("key", ED25519_SPKI + self.point), "-in", scratch("message", message),
                 "-sigfile", scratch("signature", signature)]
        command = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-rawin", *files]
        return is_strict_signature(signature) and verifies(command, b"", b"Signature Verification Failure")
def is_note_key(value):
    return isinstance(value, str) and accepts(NoteKey, value)
def is_logs_key(value, deployment):
    return is_note_key(value) and NoteKey(value).is_log and NoteKey(value).name == f"exhibit/{deployment}"

class Checkpoint:
    """A signed note whose text says origin, size and root of a log; `lines` are its signature lines."""
    def __init__(self, raw):
        text, gap, tail = raw.rpartition(b"\n\n")
        self.raw, self.text = raw, text + b"\n"
        need(gap and len(raw) <= 128 * KIB and len(text) < 16 * KIB and is_utf8(raw), "it is no signed note")
        need(not re.search(rb"[\x00-\x09\x0b-\x1f]", raw), "a note holds control characters")
        *self.lines, end = tail.split(b"\n")
        need(end == b"" and 1 <= len(self.lines) <= 64, "a note has not 1 to 64 whole signature lines")
        self.signatures = [self.read_line(line.decode()) for line in self.lines]
        need(text.count(b"\n") == 2, "a checkpoint has not three lines")
        self.origin, size, root = text.decode().split("\n")
        need(0 < len(self.origin.encode()) <= 255, "a checkpoint's origin")
        need(is_decimal(size) and len(size) < 20 and int(size) < 2**63, "a checkpoint's size")
        self.size, self.root = int(size), unbase64(root)
        need(len(self.root) == 32 and (self.size == 0) == (self.root == sha256()), "a checkpoint's root")
    @staticmethod
    def read_line(line):
        dash, name, signature = (line.split(" ") + [""] * 3)[:3]
        body = unbase64(signature)
        need(line.count(" ") == 2 and dash == "\u2014" and is_key_name(name), "a signature line is malformed")
        need(5 <= len(body) <= 4 + 8192, "a signature line is too short or too long")
        return name, body[:4], body[4:]
    def signed_by(self, key):
        """For each line of this key its time, 0 for the log. A line that does not hold breaks the note."""
        held = []
        for name, number, body in self.signatures:
            if (name, number) == (key.name, key.id):
                seconds = 0 if key.is_log else int.from_bytes(body[:8], "big")
                head = b"" if key.is_log else b"cosignature/v1\ntime %d\n" % seconds
                signature = body if key.is_log else body[8:]
                is_good = seconds < 2**63 and key.verifies(head + self.text, signature)
                need(is_good, f"a signature line of {name} does not hold")
                held.append(seconds)
        return held
def note_1(note, unpinned):
    for name, _, body in unpinned:
        need(len(body) in (8 + 64, 8 + 2420) and body[0] < 128, f"the line of {name} is no cosignature")
def note_2(note, unpinned):
    need(len(unpinned) <= 16, f"{len(unpinned)} lines are of keys that the pins do not know")
def note_3(note):
    need(is_unique([line[:2] for line in note.signatures]), "a key has two lines in a note")

class Proof:
    def __init__(self, raw):
        head, gap, note = raw.partition(b"\n\n")
        title, *lines = head.decode("ascii", "replace").split("\n")
        need(len(raw) <= 160 * KIB and lines and title == "c2sp.org/tlog-proof@v1", "it is no tlog-proof")
        need(matching("index (0|[1-9][0-9]{0,18})")(lines[0]), "its index; extra data is refused")
        self.index, self.hashes, self.head = int(lines[0][6:]), read_hashes(lines[1:]), Checkpoint(note)
    def proves(self, leaf):
        return is_included(leaf, self.index, self.head.size, self.head.root, self.hashes)
def read_hashes(lines):
    hashes = [unbase64(line) for line in lines]
    need(len(hashes) <= 64 and all(len(one) == 32 for one in hashes), "a proof's hashes")
    return hashes
def leaf_hash(leaf):
    return sha256(b"\x00", leaf)
def node_hash(left, right):
    return sha256(b"\x01", left, right)
def climb(at, last, hashes, roots):
    """RFC 9162, 2.1.3.2 and 2.1.4.2: the roots that a proof leads to; the last is that of the larger tree."""
    for sibling in hashes:
        if last == 0:
            return None
        if at & 1 or at == last:
            roots = [node_hash(sibling, root) for root in roots]
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            roots = [*roots[:-1], node_hash(roots[-1], sibling)]
        at, last = at >> 1, last >> 1
    return roots if last == 0 else None
def is_included(leaf, index, size, root, hashes):
    return index < size and climb(index, size - 1, hashes, [leaf]) == [root]
def is_consistent(older, newer, hashes):
    """Is the tree of one checkpoint a beginning of that of another?"""
    if older.size == newer.size:
        return older.root == newer.root and not hashes
    if not 0 < older.size < newer.size or not hashes:
        return False
    path = hashes if older.size & (older.size - 1) else [older.root, *hashes]
    at, last = older.size - 1, newer.size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    return climb(at, last, path[1:], [path[0]] * 2) == [older.root, newer.root]
def tree_root(hashes):
    while len(hashes) > 1:
        pairs = [node_hash(*hashes[at:at + 2]) for at in range(0, len(hashes) - 1, 2)]
        hashes = pairs + hashes[len(hashes) & ~1:]
    return hashes[0] if hashes else sha256()

# ---- Files of the bundle and of the trust folder. Nothing is opened but by a name that the walk found.
NAME = re.compile(r"[A-Za-z0-9_#-][A-Za-z0-9._#-]*(/[A-Za-z0-9_#-][A-Za-z0-9._#-]*){0,5}")
LONG = re.compile(r"evidence/[0-9a-f]{64}/(container\.tar\.zst|items/[0-9]+\.content)")
STAMPS = [".tsr", ".2.tsr", ".3.tsr", ".4.tsr"]
UNCOVERED = {"SHA256SUMS", "SHA256SUMS.sig", *("SHA256SUMS" + ending for ending in STAMPS),
             "export/checkpoint", "export/consistency", "export/entry", "export/entry.tlog-proof"}
EXPORTERS_WORDS = {"README.txt", "certification.txt", "destruction.txt", "verify.py"}
MOST_FILES = 4194304

class Folder:
    """A folder whose plain files are found once and then read by name; `asked` are those that were read."""
    def __init__(self, path, depth=6):
        def fail(error):
            raise error
        try:
            self.root = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            raise CannotCheck(f"{path} is no folder; unpack an archive first") from None
        self.sizes, self.digests, self.asked, self.odd = {}, {}, set(), []
        for place, folders, files, at in os.fwalk(".", dir_fd=self.root, follow_symlinks=False, onerror=fail):
            for name in folders + files:
                path = os.path.join(place, name)[2:]
                kind = os.stat(name, dir_fd=at, follow_symlinks=False)
                if stat.S_ISREG(kind.st_mode):
                    self.sizes[path] = kind.st_size
                elif not stat.S_ISDIR(kind.st_mode) or path.count("/") > 5:
                    self.odd.append(path)
            if not folders + files:
                self.odd.append(place)
            if place.count("/") >= depth or len(self.sizes) > MOST_FILES:
                folders.clear()
        self.names = sorted(self.sizes)
    def open(self, name):
        need(name in self.sizes, f"{name} is not there")
        self.asked.add(name)
        opened, how = [self.root], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            for folder in name.split("/")[:-1]:
                opened.append(os.open(folder, how | os.O_DIRECTORY, dir_fd=opened[-1]))
            file = os.open(name.split("/")[-1], how, dir_fd=opened[-1])
        finally:
            for one in opened[1:]:
                os.close(one)
        need(stat.S_ISREG(os.fstat(file).st_mode), f"{name} is no plain file any more")
        return os.fdopen(file, "rb")
    def read(self, name, most=72 * MIB):
        with self.open(name) as file:
            raw = file.read(most + 1)
        need(len(raw) <= most, f"{name} is longer than {most} bytes")
        self.is_same(name, sha256(raw))
        return raw
    def is_same(self, name, digest):
        need(self.digests.get(name, digest) == digest, f"{name} changed while the bundle was read")
    def signed(self, name):
        """A document with the signatures beside it: NAME.sig, NAME.2.sig, …"""
        line, beside = self.read(name), [f"{name}.sig", *(f"{name}.{number}.sig" for number in range(2, 17))]
        count = next((at for at, one in enumerate(beside) if one not in self.sizes), 16)
        return Signed(line, [self.read(one, 2048) for one in beside[:count]])
    def below(self, folder):
        begin, end = (bisect.bisect_left(self.names, one) for one in (folder, folder + "\U0010ffff"))
        return self.names[begin:end]
    def sum(self, name, digest):
        need(NAME.fullmatch(name) and len(name) <= 200, f"a bundle has no file of the name {name[:200]}")
        need(name not in UNCOVERED, f"SHA256SUMS names {name}, which it cannot cover")
        need(LONG.fullmatch(name) or self.sizes.get(name, 0) <= 72 * MIB, f"{name} is longer than 72 MiB")
        state = hashlib.sha256()
        with self.open(name) as file:
            while piece := file.read(MIB):
                state.update(piece)
        self.digests[name] = state.digest()
        self.asked.discard(name)
        need(state.hexdigest() == digest, f"{name} does not have its digest")
def read_sums(raw):
    sums, before = {}, ""
    need(raw.endswith(b"\n") and raw.isascii(), "SHA256SUMS does not end in LF, or is not ASCII")
    for line in raw[:-1].decode().split("\n"):
        need(is_digest(line[:64]) and line[64:66] == "  ", f"SHA256SUMS: the line {line[:150]} is malformed")
        need(before < line[66:], f"SHA256SUMS: {line[66:150]} is not sorted, or stands twice")
        before = line[66:]
        sums[before] = line[:64]
    return sums

# ---- The pins: the trust folder (docs/spec/bundle.md). What is wrong with it is nobody's forgery.
class Policy:
    def __init__(self, raw):
        need(len(raw) <= 64 * KIB and is_utf8(raw), "policy is too long, or not UTF-8")
        need(not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", raw), "policy holds control characters")
        self.logs, self.witnesses, self.groups, self.quorum, self.members = [], {}, {}, None, []
        for line in raw.decode().split("\n"):
            words = [word for word in re.split("[ \t]+", line) if word]
            if words and not words[0].startswith("#"):
                kind, name, key, *more = words[:3] + [""] * (3 - len(words)) + words[3:]
                self.take(kind, name, key, more)
        need(self.quorum and self.logs, "policy lacks a log or a quorum")
        need(is_unique([key.point for key in [*self.logs, *self.witnesses.values()]]), "policy: a key twice")
        need(is_unique(self.members), "policy: one is a member of two groups")
        need(max(len(self.logs), len(self.witnesses), len(self.groups)) <= 256, "policy is too large")
    def take(self, kind, name, key, more):
        known = {"none": None, **self.witnesses, **self.groups}
        need(kind in ("log", "quorum") or name and name not in known, f"policy: the name {name} is not free")
        if kind == "log":
            self.logs.append(NoteKey(name))
            need(self.logs[-1].is_log, "policy: a log's key is of another type")
        elif kind == "witness":
            self.witnesses[name] = NoteKey(key)
            need(not self.witnesses[name].is_log, "policy: a witness' key is of another type")
        elif kind == "group":
            count = {"any": "1", "all": str(len(more))}.get(key, key)
            need(is_decimal(count) and 1 <= int(count) <= len(more), f"policy: the threshold of {name}")
            need(known.keys() - {"none"} >= set(more), f"policy: a member of {name} is unknown")
            self.groups[name] = (int(count), more)
            self.members += more
        else:
            need(kind == "quorum" and not self.quorum and name in known, f"policy: the line {kind} {name}")
            self.quorum = name
    def is_met(self, name, signed):
        if name not in self.groups:
            return name == "none" or name in signed
        count, members = self.groups[name]
        return sum(self.is_met(one, signed) for one in members) >= count
    def mirrors(self):
        return [name for name, key in self.witnesses.items() if key.name.endswith("/mirror")]

class Pins:
    def __init__(self, folder):
        self.threshold, self.authority = read_authority(folder.read("authority", MIB))
        text = lines_of("exhibit-authority-v1", self.threshold, *sorted(self.authority))
        self.authority_id, self.policy = sha256(text).hex(), Policy(folder.read("policy", MIB))
        self.changes, files = [], {"tsa.pem": None, "log-keys.json": b"[]\n", "roster_version_min": b"1\n"}
        self.tsa, self.shown, minimum = [folder.read(name, 16 * MIB) if name in folder.sizes else default
                                         for name, default in files.items()]
        need(self.tsa is None or 1 <= self.tsa.count(b"-----BEGIN CERTIFICATE-----") <= 16, "tsa.pem")
        need(re.fullmatch(rb"[1-9][0-9]{0,15}\n", minimum), "roster_version_min is no decimal")
        self.roster_version_min = int(minimum)
    def choose(self, origin):
        logs = [key for key in self.policy.logs if key.name == origin]
        need(len(logs) == 1, f"the pins have no log {origin}")
        self.log, self.deployment = logs[0], origin.partition("/")[2]
        need(origin == f"exhibit/{self.deployment}" and is_id(self.deployment), f"{origin} is no such log")
        try:
            self.read_changes(read_json(self.shown.rstrip(b"\n") + b"\n", 16 * MIB))
        except Broken as broken:
            raise CannotCheck(f"log-keys.json: {broken}") from None
    def read_changes(self, shown):
        """`log-keys.json`: entries with proofs, from change 1 on, under one head of the newest key."""
        need(listed(object_of("entry:base64 proof:base64"), 0, 64)(shown), "it is not in its form")
        proofs = [Proof(unbase64(one["proof"])) for one in shown]
        for one, proof in zip(shown, proofs):
            entry = entry_1(unbase64(one["entry"]))
            entry.index = proof.index
            need(proof.proves(entry.leaf) and proof.head.text == proofs[0].head.text, "a proof does not hold")
            self.changes.append(Change(entry, self, self.changes))
        logkey_11(self.changes, self)
        for proof in proofs:
            logkey_10(proof.head, self.changes, self)
def read_authority(raw):
    head, *lines = raw.decode("ascii", "replace").split("\n")
    need(matching("# threshold ([1-9]|1[0-6])")(head) and lines and lines.pop() == "", "authority: its form")
    rows = [line.partition('authority namespaces="exhibit-roster-v1" ') for line in lines]
    keys = {key for before, _, key in rows if before == "" and is_person_key(key)}
    need(int(head.split()[2]) <= len(keys) == len(lines) <= 16, "authority: its keys or threshold")
    return int(head.split()[2]), keys

# ---- Entries of the ledger (docs/spec/ledger.md): envelope, act, the table of types.
ENVELOPE = fields("""deployment:id type:entry_type incident:incident_or_none seq:count prev:digest time
    event:digest refs:pairs""", entry=one_of("exhibit-entry-v1"), act=one_of("inline", "digest"))
ACT = document("exhibit-act-v1", """act:text incident:incident_or_none at:time by:actor refs:pairs
    fields:pairs detail:digest_or_null""", nonce=lambda value: value == "" or is_nonce(value))
# Type: chain (`-` the deployment's, `i` an incident's), document, signers, refs.
# Signers: `nobody`; `authority`; `mirror`; a number of keys, which the document names; else a person's roles.
TYPES = {type_: row[1:] for row in map(lambda line: re.split(r"\s*\|\s*", line), """\
log.genesis             | - | act        | nobody             | authority ca log
roster.published        | - | roster     | authority          | roster version
endpoint.admitted       | - | token      | endpoint-admin     | endpoint generation token
agent.enrolled          | - | enrolment  | 2                  | endpoint evidence_key generation token
agent.renewed           | - | renewal    | 1                  | endpoint generation
endpoint.retired        | - | act        | endpoint-admin     | endpoint generation
login.issued            | - | login      | 1                  | key person
incident.opened         | i | act        | responder          | incident
incident.noted          | i | act        | responder analyst  |
incident.closed incident.reopened | i | act | responder   |
order.issued            | i | order      | responder          | order roster
order.approved order.rejected | i | approval | approver   | order
order.cancelled         | i | act        | responder          | order
order.refused           | i | act        | nobody             | endpoint order reason
collection.started      | i | delegation | 1                  | attempt collection endpoint order
collection.progress     | i | act        | nobody             | collection index seal
collection.interrupted  | i | act        | nobody             | collection seal segments
collection.malformed    | i | act        | nobody             | collection seal
collection.contradicted | i | act        | nobody             | collection index sha256
collection.stored       | i | manifest   | 2                  | {}
evidence.accessed       | i | act        | nobody             | object person
bundle.exported         | i | act        | responder          | count head sums
tsa.stamped             | - | act        | nobody             | size stamp
evidence.fixity_failed evidence.repaired | i | act | nobody | collection object store
hold.placed             | i | act        | responder approver |
hold.released           | i | act        | approver           | hold
retention.changed       | i | act        | approver           | until
disposition.approved    | i | act        | approver responder | count plan
disposition.executed    | i | act        | nobody             | count object plan store
disposition.confirmed   | i | act        | mirror             | count mirror object plan
recovery.performed      | - | act        | nobody             | size
mirror.admitted         | - | act        | endpoint-admin     | key mirror mirror_key {} witness_key
mirror.retired          | - | act        | endpoint-admin     | mirror
evidence.replicated     | i | act        | mirror             | collection manifest mirror root size
key.rotated log.succession | - | log-key | authority       | log size""".format(
    "collection copies degraded endpoint independent manifest order", "tls_spki_sha256").split("\n"))
    for type_ in row[0].split()}
NEVER_INLINE = ("roster.published", "endpoint.admitted", "order.issued", "collection.stored")
RESERVED = set("evidence.derived custody.offered custody.accepted custody.rejected key.revoked notice.sent "
               "policy.changed clock.anomaly incident.triaged intake.received correction".split())
CHANGES_OF_KEY = ("key.rotated", "log.succession")
REF_FORMS = [
    (is_digest, "authority ca collection head hold manifest order plan roster root seal sha256 stamp sums"),
    (is_digest, "tls_spki_sha256 token"), (is_decimal, "attempt copies count index segments size version"),
    (one_of("yes", "no"), "degraded independent"), (is_fingerprint, "evidence_key key"),
    (is_id, "endpoint mirror person"), (is_note_key, "log mirror_key witness_key"), (is_time, "until"),
    (is_store_key, "object store"), (is_reason, "reason"), (is_decimal_generation, "generation"),
    (is_incident, "incident")]
REFS = {name: form for form, names in REF_FORMS for name in names.split()}

class Entry:
    """An entry: its envelope's fields, its leaf hash, its act where it is here. What stands around it comes
    later: `world`, `index` in the log, the entries `before` it in its chain and `above` it in the log."""
    def __init__(self, raw, envelope, act):
        self.leaf, self.value, self.act, self.world = leaf_hash(raw), envelope, act, None
        self.type, self.incident, self.seq = envelope["type"], envelope["incident"], envelope["seq"]
        self.time, self.event, self.refs = envelope["time"], envelope["event"], dict(envelope["refs"])
        self.is_inline, self.index, self.before, self.above = envelope["act"] == "inline", None, None, None
        self.row = TYPES.get(self.type)  # What the table says: of other types nobody knows it.
    def __str__(self):
        return f"entry {self.index} ({self.type})"
    def roster(self):
        """The roster then in force: the newest one that was published before."""
        before = [one.act for one in self.world.rosters if one.index < self.index]
        return before[-1] if before else None
    def says(self, **values):
        return all(self.refs[name] == str(value) for name, value in values.items())
    def repeats(self, *names, **values):
        """The refs have these values, and those that the act's document has under these names."""
        for name, value in {**{name: self.act.value[name] for name in names}, **values}.items():
            equal(self.refs[name], str(value), f"the ref {name}")
    def picked(self, names, refs):
        return {**{name: self.refs[name] for name in names}, **refs}
# What stands before an entry: the first of a kind with these refs; those only named are the entry's own.
def preceding(entry, kind, *names, **refs):
    refs = entry.picked(names, refs)
    found = entry.world.first(kind, **refs)
    need(found and found.index < entry.index, f"no {kind} of {', '.join(refs.values())} stands before it")
    return found
def none_before(entry, kinds, *names, **refs):
    for kind in kinds.split():
        found = entry.world.first(kind, **entry.picked(names, refs))
        need(found is None or found.index >= entry.index, f"{found} stands before it")
def once(entry, *names):
    first = entry.world.first(entry.type, **entry.picked(names, {}))
    need(first is entry, f"{first} has the same {' and '.join(names)}")
def earlier(entry, *kinds, names=()):
    return [one for one in entry.world.of(*kinds)
            if one.index < entry.index and one.says(**entry.picked(names, {}))]
def entry_1(raw):
    end = raw.find(b"\n") + 1
    need(len(raw) <= 16 * KIB and 0 < end <= 4 * KIB and len(raw) - end <= 8 * KIB, "it is too long")
    envelope = in_form(read_json(raw[:end]), ENVELOPE, "the envelope")
    return Entry(raw, envelope, split_signed(raw[end:]) if len(raw) > end else None)
def entry_2(entry):
    known = entry.type in TYPES or entry.type in RESERVED
    return [] if known else ["this version does not know the type (entry-2)"]
def entry_3(entry):
    need((entry.row[0] == "i") == (entry.incident != ""), f"{entry.type} in the chain {entry.incident!r}")
def entry_4(entry):
    need(list(entry.refs) == entry.row[3].split(), f"{entry.type} has the refs {list(entry.refs)}")
    for name, value in entry.refs.items():
        need(REFS[name](value), f"the ref {name} = {value} is not in its form")
def entry_5(entry):
    is_lawful = not (entry.is_inline and entry.type in NEVER_INLINE)
    need(is_lawful, f"{entry.type} is never inline")
    need((entry.act is not None) == entry.is_inline, "an act stands in it, and should not, or the reverse")
def entry_6(entry):
    equal(entry.event, entry.act.digest, "event")
def entry_7(entry):
    signers, count = entry.row[2], len(entry.act.armours)
    due = {"nobody": 0, "2": 2, "authority": max(count, 1)}.get(signers, 1)
    need(count == due, f"the act has {count} signatures, not {due}")
def entry_8(entry):
    for one in [entry.value] + ([entry.act.value] if entry.act else []):
        equal(one.get("deployment"), entry.world.pins.deployment, "deployment")
def entry_9(entry):
    due = entry.before.seq + 1 if entry.before else 0
    need(entry.seq == due if entry.incident else entry.seq >= due, f"its seq is {entry.seq}, not {due}")
def entry_10(entry):
    if entry.seq == 0 or entry.before is not None and entry.before.seq + 1 == entry.seq:
        equal(entry.value["prev"], entry.before.leaf.hex() if entry.seq else NO_DIGEST, "prev")
def entry_11(entry):
    not_older(entry, entry.before)
def entry_12(entry):
    not_older(entry, entry.above)
def not_older(entry, other):
    need(other is None or entry.time >= other.time, f"{entry.time} is before the time of {other}")
def entry_13(entry):
    before = entry.before
    need(before is None or entry.index > before.index, f"it stands before {before} of its chain")
def entry_14(entry):
    first = entry.world.events.setdefault(entry.event, entry)
    need(first is entry, f"{first} has the same event")
def entry_15(entry):
    act, envelope = in_form(entry.act.value, ACT, "the act"), entry.value
    for name in ("deployment", "incident", "refs"):
        equal(act[name], envelope[name], f"{name} of the act")
    equal(act["act"], entry.type, "`act` of the act")
FIELDS = {"incident.opened": ["class severity tlp"], "evidence.replicated": ["bytes segments"],
          "evidence.accessed": ["", "items partial selection"],
          "bundle.exported": [f"{part}{end}".strip() for part in ("", "items partial selection")
                              for end in ("", " without_quorum")]}
FIELD_FORMS = fields("bytes:decimal items:decimal segments:decimal selection:digest",
                     partial=one_of("yes"), without_quorum=one_of("yes"))
def entry_22(entry):
    told = dict(entry.act.value["fields"])
    need(" ".join(told) in FIELDS.get(entry.type, [""]), f"{entry.type} with the fields {list(told)}")
    for name, value in told.items():
        need(FIELD_FORMS.get(name, is_graphic)(value), f"the field {name} = {value} is not in its form")
def incident_1(entry):
    equal(entry.refs["incident"], entry.incident, "the ref incident")
def incident_2(entry):
    need((entry.type == "incident.opened") == (entry.seq == 0), f"{entry.type} stands at seq {entry.seq}")
INCIDENT_WORDS = {
    "severity": "low medium high very-high", "tlp": "clear green amber amber-strict red",
    "class": """abusive-content malicious-code information-gathering intrusion-attempts intrusions
    availability information-content-security fraud vulnerable other test"""}
def incident_3(entry):
    for name, value in entry.act.value["fields"]:
        need(value in INCIDENT_WORDS[name].split(), f"{name} is {value}")
def incident_4(entry):
    equal(entry.type, "incident.closed" if is_open(entry) else "incident.reopened", "the type")
def incident_5(entry):
    need(is_open(entry), f"the incident was closed at {entry.time}")
def is_open(entry):
    turns = earlier(entry, "incident.closed", "incident.reopened")
    return not turns or max(turns, key=lambda one: one.index).type == "incident.reopened"
def access_3(entry):
    part, thing = "items|manifest|delegation|(item|segment|seal)/(0|[1-9][0-9]*)", entry.refs["object"]
    need(matching(f"[0-9a-f]{{64}}/({part})|{entry.incident}/bundle")(thing), f"its object is {thing}")
def entry_16(entry):
    by = entry.act.value["by"]
    need(by.startswith("collector:"), f"nobody signs it, and `by` is {by}")
def entry_17(entry):
    kind, _, person = entry.act.value["by"].partition(":")
    need(kind == "person", f"`by` is {entry.act.value['by']}, no person")
    signed_by_person(entry, person)
def signed_by_person(entry, person):
    """An act has one signature, by a key of the person, who held a role of the type then."""
    roster, roles = entry.roster(), entry.row[2].split()
    need(roster is not None, "no roster of the bundle was in force then")
    need(len(entry.act.armours) == 1, f"it has {len(entry.act.armours)} signatures, not one")
    need(entry.act.signers()[0] in of_person(roster, person, "keys"), f"the key is not one of {person}")
    need(set(roles) & set(of_person(roster, person, "roles")), f"{person} was no {' or '.join(roles)}")
def of_person(roster, person, what):
    return [one for row in roster.value["persons"] if row["id"] == person for one in row[what]]
def entry_18(entry):
    digest = entry.act.value["detail"]
    equal(sha256(entry.world.bundle.read(f"details/{digest}.json")).hex(), digest, "digest of its detail")
def entry_19(entry):
    detail = read_json(entry.world.bundle.read(f"details/{entry.act.value['detail']}.json"))
    in_form(detail, {"salt": is_nonce, "text": text_of(0, 262144)}, "the detail")
def entry_21(entry):
    return ["nobody knows yet who signs this type (entry-21)"] if entry.type in RESERVED else []

# ---- Log keys (docs/spec/ledger.md, *Change of the log key*).
LOG_KEY = document("exhibit-log-key-v1", """number:positive old:note_key new:note_key size:positive
    root:digest issued:time""", reason=one_of("planned", "lost", "compromised"))

class Change:
    """A change of the log key with the index of its entry; `line` are the changes before it."""
    def __init__(self, entry, pins, line):
        self.entry, self.act, self.index, self.pins, self.line = entry, entry.act, entry.index, pins, line[:]
        need(entry.type in CHANGES_OF_KEY and entry.value["deployment"] == pins.deployment, "no change here")
        for one in (entry_3, entry_4, entry_5, entry_6, entry_7):
            one(entry)
        self.value, self.before = self.act.value, line[-1] if line else None
        for one in (logkey_1, logkey_2, logkey_3, logkey_4, logkey_5, logkey_6, logkey_7, logkey_9):
            one(self)
        self.old, self.new = NoteKey(self.value["old"]), NoteKey(self.value["new"])
def logkey_1(change):
    value = in_form(change.value, LOG_KEY, "the change")
    equal(value["deployment"], change.pins.deployment, "deployment")
    need(value["old"] != value["new"], "`old` is `new`")
    for name in ("old", "new"):
        need(is_logs_key(value[name], change.pins.deployment), f"{name} is {value[name]}, no key of this log")
def logkey_2(change):
    signed_by_authority(change)
def signed_by_authority(what):
    """At least `threshold` keys of the pinned authority set signed a document; each signature on it holds."""
    pins = what.pins if isinstance(what, Change) else what.world.pins
    count = len(set(what.act.signers()) & pins.authority)
    need(count >= pins.threshold, f"{count} keys of the pinned authority signed it, not {pins.threshold}")
def logkey_3(change):
    equal(change.value["number"], len(change.line) + 1, "number")
def logkey_4(change):
    value, used = change.value, keys_of_line(change.line)
    need(not used or value["old"] == used[-1], f"old is {value['old']}, and not the key in force")
    need(value["new"] not in used, f"new is {value['new']}, which was a key before")
def logkey_5(change):
    size, before = change.value["size"], change.before.index if change.before else 0
    need(size > before, f"size is {size}, and the change before is entry {before}")
def logkey_6(change):
    index, size, reason = change.index, change.value["size"], change.value["reason"]
    need(index >= size, f"its index is {index}, below its size {size}")
    need(index == size or reason != "compromised", f"its index is {index}, its size {size}, after a theft")
def logkey_7(change):
    equal(change.entry.type, CHANGES_OF_KEY[change.value["reason"] != "planned"], "type of the entry")
    change.entry.repeats(log=change.value["new"], size=change.value["size"])
def logkey_9(change):
    need(len(change.line) < 64, "the log has 64 changes already")
def key_of_size(size, line, pins):
    behind = [change.new for change in line if change.index < size]
    return behind[-1] if behind else line[0].old if line else pins.log
def logkey_10(head, line, pins):
    equal(head.origin, pins.log.name, "origin of the note")
    key = key_of_size(head.size, line, pins)
    need(head.signed_by(key), f"the key of the size {head.size}, {key.text}, did not sign it")
def logkey_11(line, pins):
    need(not line or pins.log.text in keys_of_line(line), f"the line lacks the pinned key {pins.log.text}")
def keys_of_line(line):
    return [line[0].old.text, *(change.new.text for change in line)] if line else []
def logkey_12(line, taken):
    for number, (one, other) in enumerate(zip(line, taken), 1):
        is_same = (one.act.digest, one.index) == (other.act.digest, other.index)
        need(is_same, f"change {number} is another than the one that was taken before")

# ---- Log, rosters and logins (docs/spec/roster.md).
ROLES = {  # What the keys of a role may sign.
    "responder": "exhibit-act-v1 exhibit-bundle-v1 exhibit-login-v1 exhibit-order-v1",
    "approver": "exhibit-act-v1 exhibit-approval-v1 exhibit-login-v1",
    "analyst": "exhibit-act-v1 exhibit-login-v1", "auditor": "exhibit-act-v1 exhibit-login-v1",
    "endpoint-admin": "exhibit-act-v1 exhibit-login-v1 exhibit-token-v1"}
is_sensitivity = one_of("normal", "sensitive")
ROSTER = document("exhibit-roster-v1", "version:positive previous:digest_or_null issued:time not_after:time",
    authority=object_of(threshold=whole(1, 16), keys=listed(is_person_key, 1, 16)),
    persons=listed(object_of("id", keys=listed(is_person_key, 1, 8), roles=listed(one_of(*ROLES), 1, 5)),
                   0, 4 * MIB),
    rules=object_of(two_persons=listed(is_sensitivity, 0, 2), order_hours_max=whole(1, 720)))
LOGIN = document("exhibit-login-v1", "person:id tls_spki_sha256:digest csr_sha256:digest at:time",
                 challenge=base64_of(32))
def log_1(entry):
    equal(entry.index, 0, "its index")
def log_2(world):
    need(world.entries[0].index == 0, "the entry with index 0, log.genesis, is not here")
    equal(world.entries[0].type, "log.genesis", "the entry with index 0")
def log_3(entry):
    need(entry.refs["log"] in keys_of_log(entry.world), f"its log {entry.refs['log']} is no key of the line")
def log_4(entry):
    equal(entry.refs["log"], keys_of_log(entry.world)[0], "its log")
def log_5(entry):
    equal(entry.refs["authority"], entry.world.pins.authority_id, "its authority")
def keys_of_log(world):
    return keys_of_line(world.line) or [world.pins.log.text]
def roster_1(entry):
    value = in_form(entry.act.value, ROSTER, "the roster")
    names, authority = [one["id"] for one in value["persons"]], value["authority"]
    need(lasts(value, "issued", "not_after", 90 * 24), "its life")
    need((value["previous"] is None) == (value["version"] == 1), "`previous`, and the version")
    need(names == sorted(set(names)), "the persons are not sorted, or one stands twice")
    keys = [*authority["keys"], *(key for one in value["persons"] for key in one["keys"])]
    need(authority["threshold"] <= len(authority["keys"]), "the threshold")
    lists = [keys, value["rules"]["two_persons"], *(one["roles"] for one in value["persons"])]
    need(all(map(is_unique, lists)), "a key, role or sensitivity stands twice")
def roster_2(entry):
    signed_by_authority(entry)
def roster_3(entry):
    before, version = entry.roster(), entry.act.value["version"]
    need(not before or version > before.value["version"], f"version {version} is not above the one before")
def roster_4(entry):
    if entry.roster():
        equal(entry.act.value["version"], entry.roster().value["version"] + 1, "version")
def roster_5(entry):
    if entry.roster():
        equal(entry.act.value["previous"], entry.roster().digest, "previous")
def roster_6(entry):
    entry.repeats("version", roster=entry.act.digest)
def roster_8(world):
    newest, least = world.newest().value["version"], world.pins.roster_version_min
    need(newest >= least, f"the newest roster is {newest}, below the pinned {least}")
def roster_9(world):
    known = {entry.refs["version"] for entry in world.of("roster.published")}
    for name in world.bundle.below("deployment/roster-"):
        need(re.split("[-.]", name)[1] in known, f"{name} has no roster.published")
def login_1(entry):
    value, roster = in_form(entry.act.value, LOGIN, "the login"), entry.roster()
    [key] = entry.act.signers()
    need(roster and key in of_person(roster, value["person"], "keys"), f"not a key of {value['person']}")
def login_2(entry):
    entry.repeats("person", key=fingerprint(entry.act.signers()[0]))

# ---- Endpoints (docs/spec/enrolment.md).
TOKEN = document("exhibit-token-v1", """endpoint:id generation key issuer:id issued:time not_after:time
    enrol:host_port collector:host_port collector_id:id authority:digest ca_sha256:digest log_key:note_key
    roster_version_min:positive""")
RENEWED = "endpoint:id generation tls_spki_sha256:digest csr_sha256:digest nonce at:time"
RENEWAL = document("exhibit-renewal-v1", RENEWED)
ENROLMENT = document("exhibit-enrolment-v1", RENEWED + " token:digest evidence_key:key",
                     agent=object_of("version:label build_sha256:digest"))
def endpoint_1(entry):
    value = in_form(entry.act.value, TOKEN, "the token")
    need(is_logs_key(value["log_key"], value["deployment"]), "its log key is of another log")
    need(lasts(value, "issued", "not_after", 7 * 24), f"it holds {value['issued']} to {value['not_after']}")
def endpoint_2(entry):
    signed_by_person(entry, entry.act.value["issuer"])
def endpoint_3(entry):
    entry.repeats("endpoint", "generation", token=entry.act.digest)
def endpoint_4(entry):
    value, world, genesis = entry.act.value, entry.world, entry.world.first("log.genesis")
    equal(value["authority"], world.pins.authority_id, "its authority")
    equal(value["ca_sha256"], genesis.refs["ca"] if genesis else value["ca_sha256"], "its CA")
    need(value["log_key"] in keys_of_log(world), f"its log key {value['log_key']} is none of the line")
def endpoint_8(entry):
    entry.token = preceding(entry, "endpoint.admitted", "token").act
def endpoint_9(entry):
    once(entry, "token")
def endpoint_11(entry):
    end = entry.token.value["not_after"]
    need(entry.time < end, f"it is of {entry.time}, and the token ended at {end}")
def endpoint_12(entry):
    value, token = in_form(entry.act.value, ENROLMENT, "the enrolment"), entry.token
    equal(value["token"], token.digest, "its token")
    for name in ("endpoint", "generation"):
        equal(value[name], token.value[name], name)
def endpoint_13(entry):
    signers = entry.act.signers()
    equal(signers, [entry.token.value["key"], entry.act.value["evidence_key"]], "who signed it")
    need(is_unique(signers), "the evidence key is the one-time key")
def endpoint_14(entry):
    key = fingerprint(entry.act.value["evidence_key"])
    entry.repeats("endpoint", "generation", "token", evidence_key=key)
def endpoint_15(entry):
    once(entry, "endpoint", "generation")
def endpoint_18(entry):
    in_form(entry.act.value, RENEWAL, "the renewal")
    enrolled = preceding(entry, "agent.enrolled", "endpoint", "generation")
    equal(entry.act.signers(), [enrolled.act.value["evidence_key"]], "who signed it")
def endpoint_19(entry):
    entry.repeats("endpoint", "generation")
def endpoint_20(entry):
    preceding(entry, "agent.enrolled", "endpoint", "generation")
    none_before(entry, "endpoint.retired", "endpoint", "generation")

# ---- Orders (docs/spec/order.md).
LIMITS = fields("""wall_s:positive stored_bytes:positive plain_bytes:positive item_bytes:positive
    items:positive""", cpu_pct=whole(1, 100))
def is_glob(value):
    is_path = text_of(1, 4096)(value) and value.startswith("/") and "\0" not in value
    return is_path and (value == "/" or all(map(is_glob_part, value[1:].split("/"))))
def is_glob_part(part):
    """One component: a name with wildcards, whose braces end in it; `**` is alone, or with a number."""
    if part in ("", ".", "..") or part.startswith("**"):
        return re.fullmatch(r"\*\*([1-9]|[1-5][0-9]|6[0-4])?", part) is not None
    depths = [part[:at].count("{") - part[:at].count("}") for at in range(len(part) + 1)]
    return min(depths) == 0 == depths[-1]
STEPS = {**dict.fromkeys(["host", "sockets", "routes", "sessions", "mounts"], {}),
         "journal": fields("rows:bool"), "processes": fields("hash_exe:bool maps:bool environ:bool"),
         "files": fields("item_bytes:positive one_filesystem:bool", on_larger=one_of("skip", "head"),
                         paths=listed(is_glob, 1, 1024), exclude=listed(is_glob, 0, 1024))}
def is_step(value):
    name = value.get("collector") if type(value) is dict else None
    return one_of(*STEPS)(name) and object_of("collector:text", **STEPS[name])(value)
ORDER = document("exhibit-order-v1", """incident nonce issuer:id issued:time expires:time attempts:attempt
    roster_version:positive roster_sha256:digest targets_count:positive targets_root:digest sensitivity""",
    profile=object_of("name:label version:label sha256:digest"), purpose=text_of(0, 1000),
    limits=object_of(**LIMITS), plan=listed(is_step, 1, 256))
APPROVAL = document("exhibit-approval-v1", "order:digest approver:id at:time",
                    decision=one_of("approve", "reject"))
PRIVATE_PLACES = [place.split("/") for place in (
    "home root var/mail var/spool/mail etc/shadow etc/shadow- etc/gshadow etc/gshadow- etc/ssh "
    "proc/P/cwd proc/P/environ proc/P/fd proc/P/map_files proc/P/mem proc/P/root proc/P/task").split()]
WILD = re.compile(r"[*?\[\]{}\\]")
def may_match(part, name):
    """Can a component of a glob match a component of a private place? It errs to yes."""
    if not WILD.search(part):
        return bool(re.fullmatch("[0-9]+|self|thread-self", part)) if name == "P" else part == name
    pieces = WILD.split(part)
    return name == "P" or name.startswith(pieces[0]) and name.endswith(pieces[-1])
def reaches(glob, place):
    """Can a glob match a private place, or below it?"""
    parts = glob[1:].split("/")
    for at, name in enumerate(place):
        if at < len(parts) and parts[at].startswith("**"):
            return True
        if at == len(parts) or not may_match(parts[at], name):
            return False
    return True
def is_private(step):
    return step["collector"] == "processes" and step["environ"] or any(
        reaches(glob, place) for glob in step.get("paths", ()) for place in PRIVATE_PLACES)
def order_1(entry):
    value = in_form(entry.act.value, ORDER, "the order")
    need(lasts(value, "issued", "expires", 2**53), f"it holds {value['issued']} to {value['expires']}")
def order_2(entry):
    signed_by_person(entry, entry.act.value["issuer"])
def order_3(entry):
    equal(entry.act.value["roster_version"], entry.roster().value["version"], "roster_version")
    equal(entry.act.value["roster_sha256"], entry.roster().digest, "roster_sha256")
def order_5(entry):
    equal(entry.act.value["incident"], entry.incident, "incident of the order")
def order_6(entry):
    entry.repeats(order=entry.act.digest, roster=entry.act.value["roster_sha256"])
def order_7(entry):
    value, most = entry.act.value, entry.roster().value["rules"]["order_hours_max"]
    need(lasts(value, "issued", "expires", most), f"its time is over {most} hours, up to {value['expires']}")
def order_8(entry):
    due = "sensitive" if any(map(is_private, entry.act.value["plan"])) else "normal"
    equal(entry.act.value["sensitivity"], due, "sensitivity")
def order_9(entry):
    for name, end in (("order", entry.act.value["expires"]), ("roster", entry.roster().value["not_after"])):
        need(entry.time < end, f"it is of {entry.time}, and its {name} ended at {end}")
def order_11(entry):
    issued = entry.act.value["issued"]
    is_near = milliseconds(issued) - milliseconds(entry.time) <= 600 * 1000
    need(is_near, f"issued is {issued}, more than 600 s after the entry's time {entry.time}")
def order_15(entry):
    signed_by_person(entry, in_form(entry.act.value, APPROVAL, "the approval")["approver"])
def order_16(entry):
    preceding(entry, "order.issued", "order")
def order_17(entry):
    equal(entry.act.value["decision"], "approve" if entry.type == "order.approved" else "reject", "decision")
    entry.repeats("order")
def order_18(entry):
    not_by_issuer(entry)
def order_19(entry):
    not_by_issuer(entry)
def not_by_issuer(entry):
    order, person = entry.world.first("order.issued", order=entry.refs["order"]), entry.act.value["approver"]
    need(not order or not order.act or order.act.value["issuer"] != person, f"{person} is the order's issuer")
def order_20(entry):
    order = entry.world.first("order.issued", order=entry.refs["order"])
    begin = in_force_from(order) if order.act else None
    need(begin is None or begin >= entry.index, f"the order was in force from entry {begin} on")
    none_before(entry, "order.rejected order.cancelled", "order")
def order_22(entry):
    need(in_force_from(entry) is not None, "something was collected under an order that was never approved")
def order_23(entry):
    preceding(entry, "order.issued", "order")
def order_24(entry):
    none_before(entry, "order.rejected order.cancelled", "order")
REASONS = """malformed foreign roster signature expired target approvals sensitivity ledger policy
    replay""".split()
def order_25(entry):
    preceding(entry, "order.issued", "order")
    need(entry.refs["reason"] in REASONS, f"the reason is {entry.refs['reason']}")
def in_force_from(entry):
    """The index from which an order is in force; None where it never was."""
    if entry.act.value["sensitivity"] not in entry.roster().value["rules"]["two_persons"]:
        return entry.index
    approved = [one.index for one in entry.world.of("order.approved") if one.index > entry.index and one.act
                and one.says(order=entry.act.digest) and accepts(order_18, one)]
    return min(approved, default=None)

# ---- Collections (docs/spec/manifest.md).
DELEGATION = document("exhibit-delegation-v1", """endpoint:id generation order:digest attempt
    collection:digest sealer:key at:time nonce""")
TARGET = fields("index:count count:positive", proof=listed(is_digest, 0, 64))
def is_outcome_count(value):
    return type(value) is list and len(value) == 2 and is_word(value[0]) and is_positive(value[1])
is_notes = listed(text_of(0, 500), 0, 256)
MANIFEST = document("exhibit-manifest-v1", """collection:digest delegation:digest incident begun:time
    ended:time boot_id:label_or_null machine_id:label_or_null policy_sha256:digest segments:count
    stored_len:count plain_len:count container_sha256:digest items:count items_root:digest content_bytes:count
    seal_head:digest footprint:notes limitations:notes""",
    encoding=one_of("tar+zstd"), result=one_of("complete", "limited"),
    origin=object_of(endpoint=object_of("id generation evidence_key:key order:digest attempt")),
    clock=object_of("wall:file_time boot:file_time", offset_ms=or_null(whole(1 - 2**53)),
                    synchronised=or_null(is_bool)),
    agent=object_of("build_sha256:digest uid:number32", version=text_of(0, 64),
                    capabilities=text_of(0, 32)),
    steps=listed(object_of("collector:text begun:time ended:time items:count",
                           result=one_of("done", "limit", "failed", "not_run")), 0, 256),
    limits=object_of(**LIMITS), outcomes=listed(is_outcome_count, 0, 64),
    log_head=object_of("seq:count sha256:digest"))

class Collection:
    """A collection that was started, with the documents and entries about it; what is not here is None."""
    def __init__(self, entry):
        self.entry, self.act, self.value, self.world = entry, entry.act, entry.act.value, entry.world
        self.id, self.folder = entry.refs["collection"], f"evidence/{entry.refs['collection']}/"
        self.slot = {"endpoint": self.value["endpoint"], "generation": str(self.value["generation"])}
        enrolled = self.world.first("agent.enrolled", **self.slot)
        self.key = enrolled.act.value["evidence_key"] if enrolled and enrolled.act else None
        self.order = self.world.first("order.issued", order=self.value["order"])
        self.order = self.order if self.order and self.order.act else None
        self.stored = self.world.first("collection.stored", collection=self.id)
        self.manifest = self.stored.act if self.stored else None
        self.seals = None
    def __str__(self):
        return f"collection {self.id[:8]}"
    def about(self, kind):
        return [entry for entry in self.world.of(kind) if entry.refs["collection"] == self.id]
    def has_segment(self):
        return bool(self.stored or self.about("collection.progress")
                    or any(entry.refs["segments"] != "0" for entry in self.about("collection.interrupted")))
    def gone_from(self):
        return self.world.course.places(f"{self.id}/evidence")
    def copies(self):
        return int(self.stored.refs["copies"]) if self.stored else 1
def collection_1(collection):
    value, key = in_form(collection.value, DELEGATION, "the delegation"), collection.key
    if key is not None:
        need(value["sealer"] != key, "`sealer` is the evidence key")
        words = (value["order"], fingerprint(key), value["attempt"], value["nonce"])
        equal(value["collection"], sha256(lines_of("exhibit-collection-v1", *words)).hex(), "collection")
def collection_2(collection):
    need(collection.key, "the enrolment is not here")
    equal(collection.act.signers(), [collection.key], "who signed it")
def collection_3(collection):
    preceding(collection.entry, "agent.enrolled", **collection.slot)
def collection_4(collection):
    none_before(collection.entry, "endpoint.retired", **collection.slot)
def collection_6(collection):
    collection.entry.repeats("collection", "order", "endpoint", "attempt")
def collection_7(collection):
    preceding(collection.entry, "order.issued", "order")
def collection_8(collection):
    need(collection.order, "the order was not issued here")
    begin = in_force_from(collection.order)
    need(begin is not None and begin < collection.entry.index, f"in force from entry {begin} on")
def collection_9(collection):
    none_before(collection.entry, "order.rejected order.cancelled", "order")
def collection_10(collection):
    attempt, most = collection.value["attempt"], collection.order.act.value["attempts"]
    need(attempt <= most, f"attempt {attempt} under an order for {most}")
def collection_11(collection):
    value, order = collection.value, collection.order.act.value
    raw = collection.world.bundle.read(target_file(collection))
    target, root = in_form(read_json(raw), TARGET, "the target proof"), bytes.fromhex(order["targets_root"])
    leaf = lines_of("exhibit-target-v1", value["endpoint"], value["generation"], fingerprint(collection.key))
    equal(target["count"], order["targets_count"], "count of the target proof")
    hashes = map(bytes.fromhex, target["proof"])
    is_target = is_included(leaf_hash(leaf), target["index"], target["count"], root, hashes)
    need(is_target, f"no proof that {value['endpoint']}#{value['generation']} is a target")
def target_file(collection):
    return f"orders/{collection.value['order']}.targets/{collection.value['endpoint']}.json"
def collection_12(entry):
    once(entry, "collection")
def collection_13(collection):
    attempt = collection.value["attempt"]
    for one in earlier(collection.entry, "collection.started", names=("order", "endpoint")):
        need(int(one.refs["attempt"]) < attempt, f"attempt {attempt}, behind {one.refs['attempt']} of {one}")
def collection_14(collection):
    at, end = collection.value["at"], collection.order.act.value["expires"]
    need(at < end, f"the delegation is of {at}, and the order expired at {end}")
def collection_15(entry):
    preceding(entry, "collection.started", "collection")
def collection_16(entry):
    preceding(entry, "collection.started", "collection")
def collection_17(entry):
    once(entry, "collection")
def collection_18(collection):
    value, delegation = in_form(collection.manifest.value, MANIFEST, "the manifest"), collection.value
    names = [name for name, _ in value["outcomes"]]
    need(names == sorted(set(names)), "`outcomes` is not sorted")
    equal(collection.manifest.signers(), [delegation["sealer"], collection.key], "who signed it")
    origin = {"id": delegation["endpoint"], "evidence_key": collection.key,
              **{name: delegation[name] for name in ("generation", "order", "attempt")}}
    for name, due in (("deployment", delegation["deployment"]), ("collection", delegation["collection"]),
                      ("delegation", collection.act.digest), ("origin", {"endpoint": origin})):
        equal(value[name], due, name)
def collection_19(collection):
    equal(collection.manifest.value["incident"], collection.entry.incident, "incident of the manifest")
def collection_20(collection):
    collection.stored.repeats(manifest=collection.manifest.digest, order=collection.value["order"],
                              endpoint=collection.value["endpoint"])
def collection_21(collection):
    need(collection.order, "the order is not here")
    lists = collection.manifest.value["steps"], collection.order.act.value["plan"]
    equal(*([step["collector"] for step in steps] for steps in lists), "its collectors")
def collection_22(collection):
    limits, most = collection.manifest.value["limits"], collection.order.act.value["limits"]
    for name in LIMITS:
        need(limits[name] <= most[name], f"{name} is {limits[name]}, above the order's {most[name]}")
def collection_23(look, *words):
    return look(*words)
def collection_24(collection):
    digests = [NO_DIGEST, *(seal.digest for seal in collection.seals)]
    for entry in collection.about("collection.progress") + collection.about("collection.interrupted"):
        at = int(entry.refs["segments"]) if "segments" in entry.refs else int(entry.refs["index"]) + 1
        need(at < len(digests) and digests[at] == entry.refs["seal"], f"{entry} names another seal")
def collection_25(collection):
    cut = collection.about("collection.interrupted")
    if cut and not collection.stored:
        equal(len(collection.seals), int(cut[-1].refs["segments"]), "number of segments")
def collection_26(entry):
    none_before(entry, "collection.interrupted collection.malformed collection.contradicted", "collection")
def hold_2(entry):
    placed = [one for one in earlier(entry, "hold.placed") if one.event == entry.refs["hold"]]
    need(placed, f"no hold {entry.refs['hold']} was placed before")
    none_before(entry, "hold.released", "hold")
def collection_30(container):
    limits, seal, slack = container.limits, container.seal.value, 128 * MIB
    most = {"plain_bytes": (seal["plain_end"], limits["plain_bytes"] + slack),
            "stored_bytes": (container.length, limits["stored_bytes"] + slack),
            "items": (seal["items_total"], limits["items"] + 4096),
            "item_bytes": (container.longest, max(limits["item_bytes"], 8 * MIB)),
            "sizes": (container.sizes, limits["plain_bytes"] + slack + 64 * GIB)}
    for name, (value, bound) in most.items():
        need(value <= bound, f"{name}: {value} in segment {seal['index']} is above {bound}")

# ---- Seals (docs/spec/seal.md) and zstd frames (docs/spec/container.md).
SEAL = document("exhibit-seal-v1", """collection:digest order:digest attempt:positive index:count
    sha256:digest stored_len:count plain_start:count plain_end:count items:count items_total:count
    open:bool records_sha256:digest records_len:count prev:digest wall:file_time boot:file_time final:bool""")
FRAME, MOST_STORED, MOST_PLAIN, MOST_RECORDS, MOST_FRAMES = 1 * MIB, 16 * MIB, 64 * MIB, 256 * MIB, 4194304

class Seal:
    """A seal in its place in the chain: its header is signed, its records are those that the header names."""
    def __init__(self, name, raw, before, delegation):
        marker = b"-----END SSH SIGNATURE-----\n"
        self.name, self.digest, self.begin = name, sha256(raw).hex(), raw.find(marker) + len(marker)
        need(len(raw) <= 64 * MIB and self.begin >= len(marker), f"{name} is too long, or has no signature")
        act, records = split_signed(raw[:self.begin]), raw[self.begin:]
        value = self.value = in_form(act.value, SEAL, name)
        old = before.value if before else {"plain_end": 0, "items_total": 0, "index": -1, "final": False}
        due = {**{one: delegation[one] for one in ("deployment", "collection", "order", "attempt")},
               "index": old["index"] + 1, "prev": before.digest if before else NO_DIGEST,
               "plain_start": old["plain_end"], "items_total": old["items_total"] + value["items"],
               "records_len": len(records), "records_sha256": sha256(records).hex()}
        for field, right in due.items():
            need(value[field] == right, f"{name}: {field} is not {right}")
        need(len(act.line) <= 16 * KIB and act.signers() == [delegation["sealer"]], f"{name}: who signed it")
        need(value["plain_end"] > value["plain_start"], f"{name}: plain_end is not above plain_start")
        need(value["final"] or value["plain_end"] % FRAME == 0, f"{name}: plain_end cuts a frame")
        need(not old["final"] and not (value["final"] and value["open"]), f"{name}: `final`")
    def lines(self, bundle):
        raw, at, length = bundle.read(self.name)[self.begin:], 0, 0
        while at < len(raw):
            at, plain = frame_end(raw, at)
            length += plain
            need(plain >= 1 and length <= MOST_RECORDS, f"{self.name}: an empty frame, or too long records")
        *lines, end = unzstd(raw, length).split(b"\n")
        count = self.value["items"] + self.value["open"]
        need(end == b"" and len(lines) == count, f"{self.name}: it has not {count} whole records")
        return lines
def read_seals(collection):
    bundle, folder, seals = collection.world.bundle, collection.folder + "seals/", []
    for index in range(len(bundle.below(folder))):
        name = f"{folder}{index:06}.seal"
        seals.append(Seal(name, bundle.read(name), seals[-1] if seals else None, collection.value))
    need(seals, "there is no seal")
    return seals
def frame_end(raw, at):
    """Where a zstd frame ends, and its plain length; the frame is of the kind that container.md allows."""
    need(raw[at:at + 4] == b"\x28\xb5\x2f\xfd" and len(raw) > at + 5, "a frame does not begin with its magic")
    begin, single, flag, width = at, raw[at + 4] & 0x20, raw[at + 4] >> 6, 1 << (raw[at + 4] >> 6)
    need(raw[at + 4] & 0x1f == 0 and (single or flag), "a frame with checksum, dictionary or unknown length")
    at += 5 if single else 6
    window = 1 << 10 + (raw[at - 1] >> 3)
    need(single or window + window // 8 * (raw[at - 1] & 7) <= 8 * MIB, "a frame's window is above 8 MiB")
    plain = int.from_bytes(raw[at:at + width], "little") + (256 if flag == 1 else 0)
    at, header = at + width, 0
    while not header & 1:
        header = int.from_bytes(raw[at:at + 3], "little")
        at += 3 + (1 if header >> 1 & 3 == 1 else header >> 3)
        need(header >> 1 & 3 < 3 and at <= len(raw), "a frame is cut, or holds a reserved block")
    need(plain <= FRAME and at - begin <= plain + plain // 256 + 64, "a frame is longer than it needs to be")
    return at, plain

# ---- Item records (docs/spec/container.md).
NOT_READ = set("denied absent unsupported skipped_policy skipped_type skipped_loop skipped_filter".split())
is_attributes = matching("0x(0|[1-9a-f][0-9a-f]{0,15})")
is_file_time_or_null, is_errno_or_null = or_null(is_file_time), or_null(is_number32)
is_reason_of_gap = one_of("io_error", "truncated", "timeout", "limit")
is_atime_method, is_note, is_part = one_of("ro_view", "noatime", "none"), text_of(0, 200), whole(2)
is_kind = one_of("file", "dir", "symlink", "fifo", "socket", "char", "block", "stream", "other")
def is_device(value):
    numbers = value.split(":") if isinstance(value, str) else []
    return len(numbers) == 2 and all(is_number64(one) and int(one) < 2**32 for one in numbers)
def is_name(raw, most=64 * KIB):
    return 1 <= len(raw) <= most and b"\0" not in raw
def in_order(words):
    """An object whose fields stand in the order of its form."""
    form = fields(words)
    return lambda value: accepts(in_form, value, form, "it") and list(value) == list(form)
is_stat = in_order("""dev:device ino:number64 mode:number32 nlink:count uid:number32 gid:number32
    size:number64 blocks:number64 atime:file_time mtime:file_time ctime:file_time btime:file_time_or_null
    attrs:attributes""")
is_gaps = listed(in_order("off:count len:positive why:reason_of_gap errno:errno_or_null"), 1, 16384)
is_link, is_error = in_order("n:count member:base64"), in_order("op errno:number32")
is_runs, is_xattrs = listed(listed(is_count, 2, 2), 0, 8192), listed(listed(is_base64, 2, 2), 1, 65536)
RECORD = fields("""n:count salt:nonce collector path:base64 shown:text kind outcome:word member?:base64
    at?:count data?:count size?:count stored?:count sha256?:digest sha256_read?:digest gaps? sparse?:runs
    link? target?:base64 xattrs? before?:stat after?:stat atime_method? begun:file_time ended:file_time
    part? parent?:count error? note?""")
OUTCOME_LINE = "n collector path shown kind outcome member gaps error note".split()
OUTCOMES_PATH = b"live/outcomes."
MOST_HASHED = 16 * GIB

class Record:
    """An item record, judged as far as it can be without its neighbours."""
    def __init__(self, line, is_open=False):
        value = self.value = in_form(read_json(line + b"\n"), RECORD, "an item record")
        self.line, self.n, self.is_open, self.kind = line, value["n"], is_open, value["kind"]
        self.path, self.leaf = unbase64(value["path"]), leaf_hash(line)
        self.member = unbase64(value["member"]) if "member" in value else None
        self.size, self.stored, self.gaps = value.get("size"), value.get("stored"), value.get("gaps", [])
        self.is_sparse, self.is_link, self.outcome = "sparse" in value, "link" in value, value["outcome"]
        self.has_content = self.member is not None and self.kind in ("file", "stream") and not self.is_link
        self.is_huge = self.is_sparse and (self.size or 0) > MOST_HASHED
        self.runs = value.get("sparse", [[0, self.size]] if self.has_content else [])
        order = [name.rstrip("?") for name in RECORD]
        self.need(list(value) == [name for name in order if name in value], "order of fields")
        self.need(compact(value) == line, "it is not in its one text form")
        self.need(value["shown"] == self.path.decode("utf-8", "replace"), "`shown` is not the path")
        self.need(is_name(self.path), "its path")
        parts = self.path.split(b"/")[self.path.startswith(b"/"):] if self.path != b"/" else []
        self.need(not set(parts) & {b"", b".", b".."}, "a component of the path")
        self.need(self.kind != "stream" or re.fullmatch(rb"live/[a-z0-9._/-]+", self.path), "a stream's name")
        self.check_member() if self.member is not None else self.check_none()
    def need(self, condition, why):
        need(condition, f"item {self.n}: {why}")
    def check_none(self):
        odd = self.value.keys() & "at data size stored sha256 sha256_read gaps sparse link part after".split()
        is_lost = self.outcome == "ok" and self.kind in ("file", "dir", "symlink", "stream")
        self.need(not odd and not is_lost, "a record without member has such fields, or is ok")
    def check_member(self):
        value = self.value
        self.need(value.keys() >= {"at", "data", "size", "stored"}, "a length is missing")
        self.need(value["at"] % 512 == value["data"] % 512 == 0, "`at` or `data`")
        self.need(self.member == self.member_name() and len(self.member) <= 64 * KIB, "name of the member")
        self.need(self.kind == "stream" or "before" in value, "`before` is missing")
        self.need(("target" in value) == (self.kind == "symlink"), "`target`")
        self.need(self.kind == "file" or not value.keys() & {"link", "sparse"}, "link or sparse of no file")
        self.need(self.has_content or not value.keys() & {"part", "after", "gaps", "sparse"}, "no content")
        self.need(not self.has_content or self.outcome not in NOT_READ, f"content in spite of {self.outcome}")
        self.need(("part" not in value or "parent" in value) and value.get("parent", -1) < self.n, "`parent`")
        stored = self.size if self.has_content else 0
        if self.is_sparse:
            stored = len(sparse_map(value)) + sum(length for _, length in self.runs)
        self.need(self.stored == stored, "`stored`")
        self.need(self.has_content or self.is_link or self.size == 0, "`size`")
        xattrs = [tuple(map(unbase64, pair)) for pair in value.get("xattrs", [])]
        names = [name for name, _ in xattrs]
        self.need(names == sorted(set(names)) and self.kind != "stream" * bool(names), "extended attributes")
        self.need(all(is_name(name, 255) and len(one) <= 64 * KIB for name, one in xattrs), "an attribute")
        self.need("target" not in value or is_name(unbase64(value["target"])), "`target`")
        is_whole = self.has_content and not self.is_open
        has = {name: name in value for name in ("sha256", "sha256_read")}
        self.need(self.is_link or has["sha256"] == (is_whole and not self.is_huge), "`sha256`")
        self.need(has["sha256_read"] == (is_whole and (bool(self.gaps) or self.is_huge)), "`sha256_read`")
        self.check_runs()
    def member_name(self):
        part = b".part%04d" % self.value["part"] if "part" in self.value else b""
        if self.kind == "stream":
            self.need(len(self.path + part) <= 100, "a stream's name is too long")
            return self.path + part
        self.need(self.kind in ("file", "dir", "symlink") and self.path[:1] == b"/", "it can have no member")
        end = b"/" if self.kind == "dir" and self.path != b"/" else b""
        return b"[root]" + self.path + part + end
    def check_runs(self):
        """Data runs rise and do not touch; gaps rise and lie in one run each."""
        end = -1
        for offset, length in self.runs:
            self.need(offset > end and (length > 0 or not self.is_sparse), "data runs")
            end = offset + length
        holes = (self.size or 0) - sum(length for _, length in self.runs)
        self.need(not self.is_sparse or end <= self.size and holes >= 64 * KIB, "data runs, or small holes")
        self.need(not self.gaps or self.outcome != "ok", "ok, with gaps")
        end = 0
        for gap in self.gaps:
            at = bisect.bisect_right(self.runs, [gap["off"], 2**63]) - 1
            self.need(gap["off"] >= end and at >= 0, "gaps")
            end = gap["off"] + gap["len"]
            self.need(end <= sum(self.runs[at]), "a gap outside of the data")
    def gaps_until(self, plain_end):
        """The gaps of the content in the tar up to an offset of the plain stream, the last one cut there."""
        places, place = [], self.value["data"] + (len(sparse_map(self.value)) if self.is_sparse else 0)
        for offset, length in self.runs:
            places.append(place - offset)
            place += length
        cut = []
        for gap in self.gaps:
            begin = gap["off"] + places[bisect.bisect_right(self.runs, [gap["off"], 2**63]) - 1]
            if begin < plain_end:
                cut.append({**gap, "len": min(gap["len"], plain_end - begin)})
        return cut
    def continues(self, before, plain_end):
        """Does this record repeat the open record of the same item, made at an offset of the plain stream?"""
        free = "outcome ended sha256 sha256_read after error note gaps".split()
        fixed = [{name: one.value[name] for name in one.value if name not in free} for one in (self, before)]
        return fixed[0] == fixed[1] and self.gaps_until(plain_end) == before.gaps

# ---- The tar stream: headers are made again from the records and compared; tar is never interpreted.
SMALL, LARGE = 0o7777777, 0o77777777777
def padded(raw):
    return raw + bytes(-len(raw) % 512)
def sparse_map(value):
    runs = value["sparse"]
    if sum(runs[-1] if runs else [0]) < value["size"]:
        runs = [*runs, [value["size"], 0]]
    return padded(lines_of(len(runs), *(number for run in runs for number in run)))
def fits(name):
    return len(name) <= 100 and re.fullmatch(rb"[ -~]*", name) is not None
def ustar(name, mode, uid, gid, size, mtime, kind, link):
    short = [re.sub(rb"[^ -~]", b"_", one[-100:]).ljust(100, b"\0") for one in (name, link)]
    front = short[0] + b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (mode, uid, gid, size, mtime)
    back = (kind + short[1] + b"ustar\x0000" + bytes(64) + b"0000000\0" * 2).ljust(356, b"\0")
    return front + b"%06o\0 " % (sum(front) + sum(back) + 8 * 32) + back
def pax_record(key, value):
    length = len(key) + len(value) + 3
    while length != len(key) + len(value) + 3 + len(str(length)):
        length = len(key) + len(value) + 3 + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)
def true_decimal(seconds, nanoseconds):
    total = seconds * 10**9 + nanoseconds
    fraction = b".%09d" % (abs(total) % 10**9) if nanoseconds else b""
    return b"-" * (total < 0) + b"%d" % (abs(total) // 10**9) + fraction
def tar_header(record):
    value, name, is_sparse = record.value, record.member, record.is_sparse
    of_stream = {"uid": 0, "gid": 0, "mode": 0o400, "mtime": value["begun"]}
    before = of_stream if record.kind == "stream" else value["before"]
    uid, gid, stored = before["uid"], before["gid"], record.stored
    seconds, nanoseconds = map(int, before["mtime"].split("."))
    link = unbase64(value["link"]["member"] if record.is_link else value.get("target", ""))
    is_plain_time = 0 <= seconds <= LARGE
    told = [name] * (is_sparse or not fits(name)) + [link] * (not fits(link))
    pax = [(b"hdrcharset", b"BINARY", not all(map(is_utf8, told))),
           (b"path", name, not is_sparse and not fits(name)), (b"linkpath", link, not fits(link)),
           (b"size", b"%d" % stored, stored > LARGE), (b"uid", b"%d" % uid, uid > SMALL),
           (b"gid", b"%d" % gid, gid > SMALL),
           (b"mtime", true_decimal(seconds, nanoseconds), nanoseconds or not is_plain_time),
           (b"GNU.sparse.major", b"1", is_sparse), (b"GNU.sparse.minor", b"0", is_sparse),
           (b"GNU.sparse.name", name, is_sparse), (b"GNU.sparse.realsize", b"%d" % record.size, is_sparse)]
    for one, content in value.get("xattrs", []):
        key = unbase64(one).replace(b"%", b"%25").replace(b"=", b"%3D")
        pax.append((b"SCHILY.xattr." + key, unbase64(content), True))
    records = b"".join(pax_record(key, content) for key, content, is_told in pax if is_told)
    head = ustar(b"././@PaxHeader", 0o644, 0, 0, len(records), 0, b"x", b"") + padded(records)
    kind = {"dir": b"5", "symlink": b"2"}.get(record.kind, b"1" if record.is_link else b"0")
    short = b"GNUSparseFile.0/" + name[-80:] if is_sparse else name
    owner = uid * (uid <= SMALL), gid * (gid <= SMALL)
    return head * bool(records) + ustar(short, before["mode"] & 0o7777, *owner, stored * (stored <= LARGE),
                                        seconds * is_plain_time, kind, link)

class Content:
    """Hashes a member's logical content, which comes in order as holes and data, and looks at its gaps."""
    def __init__(self, record):
        self.record, self.whole, self.at = record, hashlib.sha256(), 0
        self.read = hashlib.sha256() if record.is_sparse else None  # Of what was read, where that is not all.
    def hole(self, until):
        while self.at < until and not self.record.is_huge:
            length = min(until - self.at, MIB)
            self.whole.update(bytes(length))
            self.at += length
        self.at = until
    def data(self, piece):
        gaps = self.record.gaps
        for gap in gaps[max(0, bisect.bisect_right([one["off"] for one in gaps], self.at) - 1):]:
            begin, end = max(gap["off"] - self.at, 0), gap["off"] + gap["len"] - self.at
            if begin < len(piece) and end > 0:
                piece = self.take(piece, begin, False)
                piece = self.take(piece, end - begin, True)
        self.take(piece, len(piece), False)
    def take(self, piece, length, is_gap):
        part, rest = piece[:length], piece[length:]
        if is_gap:
            self.record.need(part.count(0) == len(part), "a gap holds other bytes than zeros")
            self.read = self.read or self.whole.copy()
        elif self.read is not None:
            self.read.update(part)
        if not self.record.is_huge:
            self.whole.update(part)
        self.at += len(part)
        return rest
    def check_end(self):
        self.hole(self.record.size)
        for name, state in (("sha256", self.whole), ("sha256_read", self.read)):
            if name in self.record.value:
                self.record.need(self.record.value[name] == state.hexdigest(), name)

class Member:
    def __init__(self, record):
        value, header = record.value, tar_header(record)
        record.need(len(header) <= MIB and len(header) == value["data"] - value["at"], "length of the header")
        self.record, self.begin, self.at, self.content = record, value["at"], value["at"], Content(record)
        self.known = header + (sparse_map(value) if record.is_sparse else b"")
        self.end = value["data"] + record.stored + -record.stored % 512
        self.runs = [list(run) for run in record.runs]
    def feed(self, piece):
        known, content = self.known[self.at - self.begin:], b""
        self.record.need(piece[:len(known)] == known[:len(piece)], "the tar header is not that of the record")
        self.at, piece = self.at + len(piece), piece[len(known):]
        while piece and self.runs:
            offset, length = self.runs[0]
            self.content.hole(offset)
            part, piece = piece[:length], piece[length:]
            self.content.data(part)
            self.runs[:1] = [[offset + len(part), length - len(part)]] if len(part) < length else []
            content += part if self.record.path.startswith(OUTCOMES_PATH) else b""
        self.record.need(piece.count(0) == len(piece), "the padding is not zeros")
        return content

class Names:
    """The members' names: unique, none below an earlier one of no directory; what hard links may name."""
    def __init__(self):
        self.taken, self.above, self.linked = {}, set(), {}
    def add(self, record):
        name = record.member.rstrip(b"/")
        record.need(name not in self.taken, "its name is taken")
        self.taken[name] = record.kind == "dir"
        if record.kind != "dir" and name in self.above:
            self.above.clear()
        parent = name.rpartition(b"/")[0]
        while parent and parent not in self.above:
            record.need(self.taken.get(parent, True), "it lies below no directory")
            self.above.add(parent)
            parent = parent.rpartition(b"/")[0]
    def keep(self, record):
        value = record.value
        if record.is_link:
            link = (unbase64(value["link"]["member"]), record.size, value.get("sha256"))
            record.need(self.linked.get(value["link"]["n"]) == link, "the member that it links to")
        elif record.kind == "file" and value["before"]["nlink"] >= 2:
            self.linked[record.n] = (record.member, record.size, value.get("sha256"))

class Container:
    def __init__(self, collection):
        self.bundle, self.seals = collection.world.bundle, collection.seals
        self.name = collection.folder + "container.tar.zst"
        self.names, self.leaves, self.state, self.kinds = Names(), [], hashlib.sha256(), {}
        self.at = self.ended = self.content_bytes = self.length = self.parts = self.longest = self.sizes = 0
        need(collection.order, "the order with its limits is not here")
        self.limits, self.seal = collection.order.act.value["limits"], None
        self.open, self.frames, self.last, self.waiting = None, [], None, bytearray()
    def read(self):
        with self.bundle.open(self.name) as file:
            for seal in self.seals:
                self.read_segment(seal, file)
            need(not file.read(1), "bytes stand behind the last segment")
        self.bundle.is_same(self.name, self.state.digest())
        if self.seals[-1].value["final"]:
            need(self.ended == 1024, "the tar stream does not end in 1024 zeros")
            need(not self.waiting, "live/outcomes.jsonl lacks lines")
        return self
    def read_segment(self, seal, file):
        value, table = seal.value, (len(self.frames) + 65) * 8 + 17
        need(value["stored_len"] <= MOST_STORED + table * value["final"], f"{seal.name}: a segment too long")
        raw = file.read(value["stored_len"])
        self.state.update(raw)
        self.length, self.seal = self.length + len(raw), seal
        collection_30(self)
        is_it = sha256(raw).hex() == value["sha256"] and len(raw) == value["stored_len"]
        need(is_it, f"{seal.name}: digest or length of its segment")
        stored, length = self.split(raw, value["final"])
        need(length == value["plain_end"] - value["plain_start"], f"{seal.name}: plain length of its segment")
        self.read_plain(unzstd(raw[:stored], length), seal)
    def split(self, raw, is_final):
        at = length = 0
        while at < len(raw) and not (is_final and raw[at:at + 4] == b"\x5e\x2a\x4d\x18"):
            end, plain = frame_end(raw, at)
            need(all(one == FRAME for _, one in self.frames[-1:]), "a frame before the last is not of 1 MiB")
            need(1 <= plain and (is_final or plain == FRAME), "a frame is not of 1 MiB")
            self.frames.append((end - at, plain))
            at, length = end, length + plain
        need(0 < at <= MOST_STORED and length <= MOST_PLAIN, "a segment is empty or too long")
        need(len(self.frames) <= MOST_FRAMES, "too many frames")
        need(raw[at:] == (self.seek_table() if is_final else b""), "the seek table is not that of the frames")
        return at, length
    def seek_table(self):
        numbers = [*(number for frame in self.frames for number in frame), len(self.frames)]
        rows = b"".join(number.to_bytes(4, "little") for number in numbers) + b"\0\xb1\xea\x92\x8f"
        return b"\x5e\x2a\x4d\x18" + len(rows).to_bytes(4, "little") + rows
    def read_plain(self, plain, seal):
        start, end, at = seal.value["plain_start"], seal.value["plain_end"], seal.value["plain_start"]
        lines = seal.lines(self.bundle)
        for line in lines[:seal.value["items"]]:
            record = Record(line)
            self.take_record(record)
            if record.member is None:
                record.need(start <= self.at <= end and self.open is None, "it is in the wrong seal")
                continue
            member = self.member(record)
            record.need(start < member.end <= end, "it is in the wrong seal")
            self.take_outcomes(member.feed(plain[at - start:member.end - start]))
            if record.has_content:
                member.content.check_end()
            self.names.keep(record)
            at, self.at, self.open = member.end, member.end, None
        if seal.value["open"]:
            self.read_open(Record(lines[-1], True), seal, plain[at - start:])
            return
        need(self.open is None, f"{seal.name}: an item that was open is gone")
        need(plain[at - start:].count(0) == end - at, "other bytes than zeros stand behind the last member")
        self.ended += end - at
        is_end = self.last is not None and self.last.path == b"live/outcomes.jsonl"
        need(self.ended <= 1024 * is_end, "bytes stand behind the last member, or behind the end")
    def read_open(self, record, seal, piece):
        value, end = record.value, seal.value["plain_end"]
        record.need(record.member is not None and record.n == len(self.leaves), "it is no open record")
        record.need((record.outcome, value["ended"]) == ("interrupted", seal.value["wall"])
                    and not {"after", "error", "note"} & set(value), "fields of an open record")
        member = self.member(record)
        record.need(member.begin < end < member.end, "it does not go on behind the segment")
        record.need(record.gaps_until(end) == record.gaps, "gaps of an open record")
        self.take_outcomes(member.feed(piece))
        self.open = (member, end)
    def member(self, record):
        """The member of a record: the one that is open, or a new one where the one before ended."""
        if self.open is None:
            record.need(record.value["at"] == self.at and not self.ended, "`at`")
            self.names.add(record)
            self.check_outcomes(record)
            self.longest = record.size if record.has_content else 0
            self.sizes += self.longest
            collection_30(self)
            return Member(record)
        member, plain_end = self.open
        record.need(record.continues(member.record, plain_end), "it is not what its open record said")
        member.record = member.content.record = record
        return member
    def take_record(self, record):
        record.need(record.n == len(self.leaves), f"it stands at the place of item {len(self.leaves)}")
        self.leaves.append(record.leaf)
        self.kinds[record.outcome] = self.kinds.get(record.outcome, 0) + 1
        need(len(self.kinds) <= 64, "more than 64 different outcomes")
        if record.outcome != "ok" or record.member is None:
            record.need(not record.path.startswith(OUTCOMES_PATH), "outcomes that are not ok")
        if record.outcome != "ok":
            told = {name: record.value[name] for name in OUTCOME_LINE if name in record.value}
            self.waiting += compact(told) + b"\n"
        self.content_bytes += record.size if record.has_content else 0
        self.last = record
    def check_outcomes(self, record):
        if not record.path.startswith(OUTCOMES_PATH):
            return
        self.parts += 1
        names = (b"live/outcomes.part%04d.jsonl" % self.parts, b"live/outcomes.jsonl")
        record.need(record.path in names and record.size <= 4 * MIB, "name or length of outcomes")
        record.need(record.value["collector"] == "outcomes" and "part" not in record.value, "collector")
    def take_outcomes(self, piece):
        need(self.waiting.startswith(piece), "live/outcomes does not say what the records say")
        del self.waiting[:len(piece)]
def describes(collection, container):
    last, manifest = container.seals[-1], collection.manifest.value
    found = {"segments": len(container.seals), "stored_len": container.length,
             "plain_len": last.value["plain_end"], "container_sha256": container.state.hexdigest(),
             "items": len(container.leaves), "items_root": tree_root(container.leaves).hex(),
             "outcomes": sorted(map(list, container.kinds.items())),
             "content_bytes": container.content_bytes, "seal_head": last.digest}
    need(last.value["final"], "the last seal is not final")
    for name, value in found.items():
        need(manifest[name] == value, f"{name} of the manifest is not that of the container")

# ---- Items of a partial production (docs/spec/bundle.md).
def read_item(collection, name):
    bundle, manifest, base = collection.world.bundle, collection.manifest.value, name[:-len(".record")]
    line = bundle.read(name, 4 * MIB)
    record, count = Record(line), manifest["items"]
    record.need(base.endswith(f"/{record.n:06}") and record.n < count, f"its number is not that of {name}")
    head = f"exhibit-item-proof-v1\ncollection {collection.id}\nindex {record.n}\nitems {count}\n".encode()
    proof, root = bundle.read(base + ".proof"), bytes.fromhex(manifest["items_root"])
    record.need(proof.startswith(head) and proof.endswith(b"\n"), "its proof is malformed")
    hashes = read_hashes(proof[len(head):].split(b"\n")[:-1])
    record.need(is_included(record.leaf, record.n, count, root, hashes), "its proof into items_root")
    record.need(not record.path.startswith(OUTCOMES_PATH), "outcomes tell of neighbours")
    record.need((base + ".content" in bundle.sizes) == record.has_content, "its content file")
    if record.has_content:
        record.need("sha256" in record.value, "content without digest")
        read_item_content(bundle, base + ".content", record)
    return record
def read_item_content(bundle, name, record):
    """The logical content: runs as data, holes and gaps as zeros."""
    content, state = Content(record), hashlib.sha256()
    record.need(bundle.sizes[name] == record.size, "length of the content")
    with bundle.open(name) as file:
        for offset, length in [*record.runs, [record.size, 0]]:
            while content.at < offset + length:
                is_hole = content.at < offset
                piece = file.read(min(MIB, (offset if is_hole else offset + length) - content.at))
                record.need(piece, "the content is cut")
                record.need(not is_hole or piece.count(0) == len(piece), "a hole holds other than zeros")
                state.update(piece)
                content.hole(content.at + len(piece)) if is_hole else content.data(piece)
        record.need(not file.read(1), "the content is too long")
    bundle.is_same(name, state.digest())
    content.check_end()
def check_links(records):
    names = Names()
    for record in sorted((one for one in records if one.member is not None), key=lambda one: one.n):
        names.keep(record)

# ---- Holds, retention and disposal (docs/spec/ledger.md, *Disposal*).
class Plan:
    def __init__(self, chain, count, plans):
        self.begin = max([plan.count for plan in plans if plan.approvals[1].seq < count], default=0)
        self.count, self.incident, self.approvals = count, chain[0].incident, []
        entries = chain[self.begin:count]
        begun = {one.refs["collection"] for one in entries if one.type == "collection.started"}
        named = [one.act.value.get("detail") for one in entries
                 if one.act and one.type != "disposition.approved"]
        self.collections, self.details = sorted(begun), sorted(set(filter(is_digest, named)))
        head = [f"deployment {chain[0].value['deployment']}", f"incident {self.incident}"]
        names = [f"collection {one}" for one in self.collections] + [f"detail {one}" for one in self.details]
        text = lines_of("exhibit-disposition-v1", *head, f"entries {self.begin} {count}", *names)
        self.digest, self.objects = sha256(text).hex(), [f"{one}/evidence" for one in self.collections]
        self.objects += [f"{self.incident}/details"] * bool(self.details)

class Course:
    def __init__(self):
        self.is_open, self.holds, self.until = True, set(), None
        self.waiting, self.plans, self.gone = {}, {}, []  # Plans with one and with two approvals, by digest.
    def places(self, thing, kind="store"):
        gone = [one.refs for one in self.gone if one.refs["object"] == thing]
        return sorted({refs[kind] for refs in gone if kind in refs})
    def take(self, entry):
        if entry.type in ("incident.closed", "incident.reopened", "incident.opened"):
            self.is_open = entry.type != "incident.closed"
        elif entry.type == "hold.placed":
            self.holds.add(entry.event)
        elif entry.type == "hold.released":
            self.holds.discard(entry.refs["hold"])
        elif entry.type == "retention.changed":
            self.until = entry.refs["until"]
        elif entry.type == "disposition.approved":
            digest, plan = entry.refs["plan"], entry.plan
            plan.approvals.append(entry)
            (self.plans if len(plan.approvals) == 2 else self.waiting)[digest] = plan
        elif entry.type in ("disposition.executed", "disposition.confirmed"):
            self.gone.append(entry)
def hold_1(course, time):
    is_kept = course.is_open or course.holds or course.until is None or time < course.until
    return ["kept"] if is_kept else []
def disposal_1(entry):
    need(not hold_1(entry.world.course, entry.time), f"something kept the evidence at {entry.time}")
def disposal_2(entry):
    need(entry.refs["plan"] not in entry.world.course.plans, "two persons approved the plan before")
def disposal_3(entry):
    count, course = int(entry.refs["count"]), entry.world.course
    settled = [plan.approvals[1] for plan in course.plans.values()] + [
        one for one in entry.world.chain if re.match("(incident|order|collection|intake)[.]", one.type)]
    need(count <= entry.seq, f"count is {count}, above its seq {entry.seq}")
    for one in settled:
        need(not count <= one.seq < entry.seq, f"{one} stands behind the {count} entries that it considers")
def disposal_4(entry):
    plan = Plan(entry.world.chain, int(entry.refs["count"]), entry.world.course.plans.values())
    equal(entry.refs["plan"], plan.digest, "plan")
def disposal_5(entry):
    need(entry.plan.objects, "the plan names nothing")
def disposal_6(entry):
    by = entry.act.value["by"]
    need(all(one.act.value["by"] != by for one in entry.plan.approvals), f"{by} approved the plan twice")
def disposal_7(entry):
    approvals = [*entry.plan.approvals, entry]
    need(len(approvals) < 2 or any(map(was_approver, approvals)), "neither of the two was an approver")
def was_approver(entry):
    return "approver" in of_person(entry.roster(), entry.act.value["by"].partition(":")[2], "roles")
def disposal_8(entry):
    kinds = [f"collection.{end}" for end in ("stored", "interrupted", "malformed", "contradicted")]
    before = entry.world.chain[:entry.seq]
    ended = {one.refs["collection"] for one in before if one.type in kinds}
    for one in before:
        need(one.type != "collection.started" or one.refs["collection"] in ended, f"that of {one} runs")
def disposal_9(entry):
    need(entry.type == "disposition.confirmed" or not hold_1(entry.world.course, entry.time), "it is kept")
def disposal_10(entry):
    plan = entry.world.course.plans.get(entry.refs["plan"])
    need(plan is not None, "two persons did not approve its plan before")
    need(entry.refs["object"] in plan.objects, f"the plan does not name {entry.refs['object']}")
def mirror_1(entry):
    for role in ("witness", "mirror"):
        key, name = NoteKey(entry.refs[f"{role}_key"]), f"{entry.refs['mirror']}/{role}"
        need(not key.is_log, f"{role}_key is of type 0x{key.type.hex()}, not 0x04")
        equal(key.name, name, f"name of {role}_key")
def mirror_2(entry):
    once(entry, "mirror")
def mirror_4(entry):
    preceding(entry, "mirror.admitted", "mirror")
def mirror_5(entry):
    once(entry, "mirror")
def disposal_11(entry):
    def place(one):
        plan = "" if one.refs["object"].endswith("/evidence") else one.refs["plan"]
        return one.type, one.refs["object"], plan, one.refs.get("store", one.refs.get("mirror"))
    need(place(entry) not in map(place, entry.world.course.gone), f"{entry.refs['object']} went twice")
def disposal_13(collection):
    stores, copies, world = collection.gone_from(), collection.copies(), collection.world
    need(stores, f"the evidence of {collection} is not here, and gone from no store")
    is_free = len(stores) >= copies or not hold_1(world.course, world.chain[-1].time)
    need(is_free, f"it is kept, and gone from {len(stores)} of {copies} stores")
def disposal_14(collection):
    files = collection.world.bundle.below(collection.folder)
    need(files, "its folder is empty")
    equal(collection.folder + "manifest.json" in files, bool(collection.stored), "that its manifest is here")
def disposal_15(world):
    is_due = bool(world.course.gone) and not world.is_partial
    equal("destruction.json" in world.bundle.sizes, is_due, "that destruction.json is here")
    is_it = not is_due or world.bundle.read("destruction.json") == destruction(world)
    need(is_it, "destruction.json is not what the chain says")
def destruction(world):
    plans = [{
        "plan": plan.digest, "from": plan.begin, "count": plan.count, "collections": plan.collections,
        "details": len(plan.details),
        "approved": [{"person": one.act.value["by"].partition(":")[2], "approver": was_approver(one),
                      "time": one.time, "index": one.index} for one in plan.approvals],
        "gone": [{"object": one.refs["object"], "from": {kind: one.refs[kind]},
                  "count": int(one.refs["count"]), "time": one.time, "index": one.index}
                 for one in world.course.gone for kind in ("store", "mirror")
                 if kind in one.refs and one.refs["plan"] == plan.digest],
        "waiting": [row for thing in plan.objects for row in waiting_for(world, plan, thing)]}
        for plan in world.course.plans.values()]
    head = {"type": "exhibit-destruction-v1", "deployment": world.overview["deployment"]}
    return compact({**head, "incident": world.overview["incident"], "entries": len(world.chain),
                    "plans": plans}) + b"\n"
def waiting_for(world, plan, thing):
    collection = world.collections.get(thing.partition("/")[0])
    holders = {one.refs["mirror"] for one in world.of("evidence.replicated")
               if not (collection and collection.stored) or one.refs["collection"] == collection.id}
    confirmed = {one.refs["mirror"] for one in world.of("disposition.confirmed")
                 if one.refs["object"] == thing and (collection or one.refs["plan"] == plan.digest)}
    retired = {one.refs["mirror"] for one in world.of("mirror.retired")}
    return [{"object": thing, "mirror": name, "retired": name in retired}
            for name in sorted(holders - confirmed)]

# ---- Mirrors (docs/spec/mirror.md) and exports (docs/spec/bundle.md).
def mirror_6(entry):
    equal(entry.act.value["by"], f"mirror:{entry.refs['mirror']}", "`by`")
def mirror_7(entry):
    keys = [one.refs["key"] for one in earlier(entry, "mirror.admitted", names=["mirror"])]
    need([fingerprint(key) in keys for key in entry.act.signers()] == [True], f"not one signature by {keys}")
def mirror_8(entry):
    none_before(entry, "mirror.retired", "mirror")
def mirror_9(entry):
    stored = preceding(entry, "collection.stored", "collection")
    equal(entry.refs["manifest"], stored.refs["manifest"], "manifest")
def mirror_10(entry):
    stored, size = preceding(entry, "collection.stored", "collection"), int(entry.refs["size"])
    need(stored.index < size <= entry.index, f"size is {size}, with {stored} before it")
def mirror_11(entry):
    once(entry, "mirror", "collection")
def mirror_14(world):
    return [one for one in world.collections.values() if one.stored and not one.gone_from()
            and not one.about("evidence.replicated")]
def export_1(entry):
    entry.repeats(sums=sha256(entry.world.sums).hex())
def export_2(entry):
    entry.repeats(count=len(entry.world.chain), head=entry.world.chain[-1].leaf.hex())
def export_3(entry):
    head = entry.before
    is_behind = entry.index > head.index and entry.seq > head.seq and entry.time >= head.time
    need(is_behind, f"it is not behind {head} in log, chain and time")
    if entry.seq == head.seq + 1:
        equal(entry.value["prev"], head.leaf.hex(), "prev")
def export_4(entry):
    told = {name: value for name, value in entry.act.value["fields"] if name != "without_quorum"}
    lines = lines_of(*(f"{collection} {n}" for collection, n in sorted(entry.world.items)))
    due = {"items": str(len(entry.world.items)), "partial": "yes", "selection": sha256(lines).hex()}
    equal(told, due if entry.world.is_partial else {}, "fields")
def export_5(entry):
    told = dict(entry.act.value["fields"]).get("without_quorum")
    equal(told, "yes" if "without_quorum" in entry.world.overview else None, "without_quorum")
def export_6(entry):
    equal(entry.act.value["by"], entry.world.overview["by"], "`by`")
    need(is_exporter(entry.world), f"SHA256SUMS is not by {entry.world.overview['by']}, a responder")
def is_exporter(world):
    roster, person = world.newest(), world.overview["by"].partition(":")[2]
    return (world.signer in of_person(roster, person, "keys")
            and "responder" in of_person(roster, person, "roles"))
def export_7(world, newer, hashes):
    logkey_10(newer, world.line, world.pins)
    need(is_consistent(world.head, newer, hashes), "it is not proven to continue the head")

# ---- Time stamps (docs/spec/bundle.md, *Stamps*), in DER. openssl verifies them.
DER_NUMBER = rb"(?!\x00[\x00-\x7f]|\xff[\x80-\xff]).+"
DER_FORMS = {1: rb"[\x00\xff]", 2: DER_NUMBER, 3: rb"\x00.*|[\x01-\x07].+", 5: rb"", 10: DER_NUMBER,
             6: rb"((?!\x80)[\x80-\xff]*[\x00-\x7f])+"}
SHA2 = {bytes.fromhex(f"60864801650304020{n}"): f"sha{bits}" for n, bits in ((1, 256), (2, 384), (3, 512))}
SIGNED_BY = rb"\x2a\x86\x48(\x86\xf7\x0d\x01\x01[\x01\x0a-\x0d]|\xce\x3d\x04\x03[\x02-\x04])|\x2b\x65\x70"
def elements(raw, depth=0):
    """Elements of strict DER, one after the other, as (tag, content, bytes); what they hold is DER too."""
    found = []
    while raw:
        tag, width = raw[0], max(raw[1] - 128, 0) if len(raw) > 1 else 9
        end = 2 + width + (int.from_bytes(raw[2:2 + width], "big") if width else raw[1])
        content, is_whole = raw[2 + width:end], raw[1:2] != b"\x80" and width < 3 and end <= len(raw)
        need(is_whole and len(content) >= (0, 128, 256)[width], "a length is not strict DER")
        is_form = tag & 31 < 31 and tag not in (0, 16, 17) and (tag > 63 or not tag & 32 or tag in (48, 49))
        is_form = is_form and (tag not in DER_FORMS or re.fullmatch(DER_FORMS[tag], content, re.DOTALL))
        is_form = is_form and (tag != 3 or content[-1] % (1 << content[0]) == 0)  # Unused bits are zero.
        need(is_form and depth < 32, "it is not strict DER")
        if tag & 32:
            elements(content, depth + 1)
        found.append((tag, content, raw[:end]))
        raw = raw[end:]
    return found
def parts_of(raw):
    """The parts of a response's SignedData, of its one signer, of its time-stamp info; its certificates."""
    (_, response, _), = elements(raw)
    _, token = elements(response)
    parts = elements(elements(elements(token[1])[1][1])[0][1])
    signer, info = elements(parts[-1][1]), elements(elements(elements(parts[2][1])[1][1])[0][1])
    need(len(signer) == 1, "it has several signers")
    return parts, elements(signer[0][1]), elements(info[0][1]), [one[2] for one in elements(parts[3][1])]
def pem_of(certificate):
    return armour_of(certificate, "CERTIFICATE", 64)
def number_of(certificate):
    body = [one[2] for one in elements(elements(elements(certificate)[0][1])[0][1]) if one[0] != 0xa0]
    return body[2] + body[0]
def stamp_4(raw):
    need(len(raw) <= 16 * KIB, f"it has {len(raw)} bytes")
def stamp_5(raw):
    parts_of(raw)
def stamp_6(raw):
    _, (_, signer, *_), _, all_ = parts_of(raw)
    command = "openssl verify -show_chain -partial_chain -no_check_time -check_ss_sig -untrusted".split()
    def has_all(first, last):
        files = [scratch(*one) for one in (("last", pem_of(last)), ("first", pem_of(first)))]
        code, said = run([*command, scratch("own", b"".join(map(pem_of, all_))), "-CAfile", *files])
        return code == 0 and said.count(b"depth=") == len(all_)
    signers = [one for one in all_ if signer[0] != 48 or number_of(one) == signer[1]]
    need(any(has_all(*pair) for pair in itertools.product(signers, all_)), "its certificates are no chain")
def stamp_7(raw, stamped, tsa):
    """A time-stamp response holds over the stamped bytes: its time, and whether it counts by the pins."""
    parts, signer, info, certificates = parts_of(raw)
    tags = [one[0] for one in parts], [one[0] for one in signer[2:]]
    need(tags == ([2, 49, 48, 160, 49], [48, 160, 48, 4]) and len(certificates) <= 16, "its parts")
    versions = b"".join(one[0][1] for one in (parts, info, signer)), signer[1][0]
    need(versions in ((b"\3\1\1", 48), (b"\3\1\3", 128)), "its versions")
    need([one[1] for one in elements(parts[1][1])] == [signer[2][1]], "its digest algorithm")
    digest = SHA2.get(elements(elements(info[2][1])[0][1])[0][1])
    need(digest, "its imprint is not by SHA-2")
    need(re.fullmatch(SIGNED_BY, elements(signer[4][1])[0][1]), "its kind of signature")
    moment = datetime.datetime.strptime(info[4][1][:14].decode() + "+0000", "%Y%m%d%H%M%S%z")
    words = ["openssl", "ts", "-verify", "-in", scratch("stamp", raw), "-partial_chain", "-digest",
             hashlib.new(digest, stamped).hexdigest(), "-attime", str(int(moment.timestamp())), "-CAfile"]
    need(run([*words, scratch("own", b"".join(map(pem_of, certificates)))])[0] == 0, "openssl refuses it")
    is_pinned = tsa is not None and run([*words, scratch("tsa", tsa)])[0] == 0
    return f"a stamp of {moment:%Y-%m-%dT%H:%M:%SZ}", is_pinned

# ---- Every function above that is named by a number of rules.md is a rule: what it refuses begins
# with that number.
def rule(function):
    number = function.__name__.replace("_", "-")
    def asked(*words):
        try:
            answer = function(*words)
        except Broken as broken:  # A rule may ask another one, whose number then stands in front.
            begin = "" if re.match("[a-z]+-[0-9]+: ", str(broken)) else f"{number}: "
            raise Broken(f"{begin}{broken}") from None
        return True if answer is None else answer
    return asked
FAMILIES = ("(entry|log|note|stamp|roster|login|endpoint|incident|order|collection|access"
            "|hold|disposal|mirror|logkey|export)_[0-9]+")
globals().update({name: rule(one) for name, one in globals().items() if re.fullmatch(FAMILIES, name)})
def read_stamp(name, raw, stamped, tsa):
    for one in (stamp_4, stamp_5, stamp_6):
        one(raw)
    said, is_pinned = stamp_7(raw, stamped, tsa)
    return f"{said} ({os.path.basename(name)})", is_pinned
def judge_stamps(check, stamps, stamped, tsa):
    held = [check.ask(name, lambda _: read_stamp(name, raw, stamped, tsa)) for name, raw in stamps.items()]
    counts = any(is_pinned for _, is_pinned in filter(None, held))
    for words, is_pinned in filter(None, held):
        unpinned = f"by nobody who is pinned: {words}"
        is_open = counts or tsa is None
        check.ok(words) if is_pinned else check.skip(unpinned, False) if is_open else check.fail(unpinned)

# ---- The report: what each check came to.
CHECKS = ("sums sums.signature sums.stamp roster checkpoint quorum checkpoint.stamp custody.inclusion "
          "custody.chain custody.acts custody.complete custody.replicated disposition order endpoint "
          "delegation seals manifest container items coverage conveniences export").split()

class Check:
    """One check: what it found right, wrong, or could not look at. As a `with` it takes what breaks in it."""
    def __init__(self):
        self.said, self.broken, self.open = [], [], []
        self.ok, self.fail = self.said.append, self.broken.append
    def __enter__(self):
        return self
    def __exit__(self, _, error, __):
        return error is not None and self.takes(error, "")
    def takes(self, error, before):
        """Takes an error as a failure of this check; False where it says nothing of the bundle."""
        if isinstance(error, (CannotCheck, OSError, MemoryError)) or not isinstance(error, Exception):
            return False
        odd = "" if isinstance(error, Broken) else f"malformed: {type(error).__name__}: "
        self.broken.append(f"{before}{odd}{error}")
        return True
    def ask(self, what, *functions):
        """Asks functions of something, one after the other; the last answer, or None when one broke."""
        answer = True
        try:
            for function in functions:
                answer = function(what)
        except Exception as error:
            if not self.takes(error, f"{what}: "):
                raise
            return None
        return answer
    def skip(self, text, is_required):
        self.open.append((text, is_required))
def line_of(word, check, text):
    """One line of the report in printable ASCII: a bundle's words cannot move the cursor of a terminal."""
    clean = re.sub(r"[^ -~]", lambda odd: f"\\x{ord(odd[0]):02x}", text)
    print(f"{word:<12} {check:<18} {clean[:400]}")
def write_report(report, verdict):
    for name, check in report.items():
        for text in check.said:
            line_of("ok", name, text)
        for text, _ in check.open:
            line_of("not checked", name, text)
        for text in check.broken[:8] + [f"and {len(check.broken) - 8} more"] * (len(check.broken) > 8):
            line_of("FAILED", name, text)
    failed = sum(bool(check.broken) for check in report.values())
    missing = sum(is_required for check in report.values() for _, is_required in check.open)
    unmade = f"NOT VERIFIED: {missing} checks could not be made"
    print(f"FAILED: {failed} checks" if failed else unmade if missing else verdict)
    return 1 if failed else 2 if missing else 0

# ---- The checks of docs/spec/bundle.md, in the order in which each has what it needs.
OVERVIEW = fields("""deployment:id incident origin:text exported:time by:actor head_seq:count head:digest
    entries:count partial:bool quorum:bool""", format=one_of("exhibit-bundle-v2"),
    collections=listed(is_digest, 0, MOST_FILES), **{"without_quorum?": one_of(True)})

class World:
    def __init__(self, bundle, pins):
        self.bundle, self.pins, self.report = bundle, pins, {name: Check() for name in CHECKS}
        self.overview, self.sums, self.head, self.signer, self.course = None, None, None, None, Course()
        self.entries, self.chain, self.rosters, self.line, self.items = [], [], [], [], []
        self.kinds, self.events, self.collections, self.cosigned, self.tables = {}, {}, {}, {}, {}
        self.is_partial, self.unpinned = False, 0
    def __str__(self):
        return "the bundle"
    def of(self, *types):
        return [entry for kind in types for entry in self.kinds.get(kind, ())]
    def first(self, kind, **refs):
        if (kind, *refs) not in self.tables:
            table = self.tables[(kind, *refs)] = {}
            for entry in self.of(kind):
                table.setdefault(tuple(entry.refs[name] for name in refs), entry)
        return self.tables[(kind, *refs)].get(tuple(map(str, refs.values())))
    def newest(self):
        need(self.rosters, "no roster is here that holds")
        return self.rosters[-1].act
    def is_here(self, collection):
        """Is the collection one of those that a partial production holds? A whole bundle holds all."""
        return not self.is_partial or collection in self.overview["collections"]
def check_sums(world):
    bundle = world.bundle
    with world.report["sums"] as check:
        for odd in bundle.odd:
            check.fail(f"{odd} is no plain file, or a folder without files")
        need(len(bundle.sizes) <= MOST_FILES, "the bundle has more than 4,194,304 files")
        world.sums = bundle.read("SHA256SUMS", 576 * MIB)
        sums = read_sums(world.sums)
        for name, digest in sums.items():
            check.ask(name, lambda one: bundle.sum(one, digest))
        for name in sorted(set(bundle.sizes) - set(sums) - UNCOVERED):
            check.fail(f"{name} is there, and SHA256SUMS does not cover it")
        check.ok(f"{len(sums)} listed files have their digests, and no other file is there")
def check_overview(world):
    with world.report["coverage"] as check:
        value = read_json(world.bundle.read("bundle.json"))
        if type(value) is dict and value.get("format") == "exhibit-bundle-v1":
            return check.skip("bundle.json: the format exhibit-bundle-v1 is no longer read", True)
        value = in_form(value, OVERVIEW, "bundle.json")
        need(value["collections"] == sorted(set(value["collections"])), "`collections` is not ascending")
        need(value["by"].startswith("person:"), "`by` is no person")
        need(value["origin"] == f"exhibit/{value['deployment']}", "`origin` is not that of the deployment")
        world.overview, world.is_partial = value, value["partial"]
    with world.report["checkpoint"]:
        need(world.overview, "bundle.json does not say which log this is")
        world.pins.choose(world.overview["origin"])
def read_entries(world):
    bundle, inner = world.bundle, "custody/deployment/"
    count = min(world.overview["head_seq"] + 1, len(bundle.sizes))
    numbers = [name[len(inner):-len(".entry")] for name in bundle.below(inner) if name.endswith(".entry")]
    names = [f"custody/{seq:06}" for seq in range(count)]
    names += [inner + number for number in sorted(filter(is_decimal, numbers), key=int)]
    with world.report["custody.inclusion"] as check:
        found = {name: check.ask(name, lambda one: read_entry(world, one)) for name in names}
        return {name: entry for name, entry in found.items() if entry}
def read_entry(world, name):
    entry = entry_1(world.bundle.read(name + ".entry", 64 * KIB))
    for one in (entry_3, entry_4, entry_5) if entry.row else ():
        one(entry)
    entry.world, number, is_own = world, int(name.rpartition("/")[2]), name.startswith("custody/deployment/")
    need((entry.incident == "") == is_own and (is_own or entry.seq == number), "its name is another's")
    entry.index = number if is_own else None
    return entry
def check_checkpoint(world, found):
    """The head: under the pinned log key, or one that changes lead to from it, within that key's term."""
    pins, overview, line = world.pins, world.overview, []
    with world.report["checkpoint"] as check:
        head = Checkpoint(world.bundle.read("ledger/checkpoint"))
        for entry in found.values():
            if entry.type in CHANGES_OF_KEY:
                line.append(Change(entry, pins, line))
        logkey_12(line, pins.changes)
        lacking = [one for one in pins.changes[len(line):] if one.index < head.size]
        need(not lacking, "a change of the log key that the pins know is not here")
        world.line = max(line, pins.changes, key=len)
        logkey_11(world.line, pins)
        world.cosigned = judge_note(world, head)
        equal((head.origin, head.size), (overview["origin"], overview["entries"]), "origin and size")
        world.head = head
        check.ok(f"{head.origin} at {head.size} entries, signed by the log's key")
        for number, one in enumerate(world.line, 1):
            check.ok(f"change {number} of the log key, entry {one.index}: signed by the pinned authority")
def judge_note(world, note):
    """The log's key in term signed a note, each line of a known key holds: who cosigned it, since when."""
    logkey_10(note, world.line, world.pins)
    keys = [*map(NoteKey, keys_of_line(world.line)), *world.pins.policy.logs]
    for key in keys:
        note.signed_by(key)
    known = {(key.name, key.id) for key in [*keys, *world.pins.policy.witnesses.values()]}
    unpinned = [line for line in note.signatures if line[:2] not in known]
    for one in (note_1, note_2):
        one(note, unpinned)
    note_3(note)
    world.unpinned += len(unpinned)
    times = {name: note.signed_by(key) for name, key in world.pins.policy.witnesses.items()}
    return {name: min(held) for name, held in times.items() if held}
def check_quorum(world):
    policy, cosigned = world.pins.policy, world.cosigned
    times = {name: datetime.datetime(1970, 1, 1) + datetime.timedelta(0, min(at, 2**37))
             for name, at in cosigned.items()}
    since = [f"{name} ({policy.witnesses[name].name}), since {at:%Y-%m-%dT%H:%M:%SZ}"
             for name, at in times.items()]
    who = f"cosigned by {'; '.join(since) or 'nobody who is pinned'}"
    with world.report["quorum"] as check:
        if policy.is_met(policy.quorum, cosigned):
            check.ok(f"the pinned quorum ({policy.quorum}) is met; {who}")
        else:
            need("without_quorum" in world.overview, f"the pinned quorum {policy.quorum} is not met; {who}")
            check.skip(f"exported WITHOUT QUORUM; {who}", True)
    is_asked = policy.quorum != "none" and bool(policy.mirrors())
    mirrors = [name for name in policy.mirrors() if name in cosigned]
    with world.report["custody.complete"] as check:
        if mirrors:
            check.ok(f"{', '.join(mirrors)} checked every entry below {world.head.size}")
        else:
            check.skip("no pinned mirror cosigned the head: the last entries may be left out", is_asked)
def check_inclusion(world, found):
    with world.report["custody.inclusion"] as check:
        need(world.head, "there is no head to prove anything in")
        proven = [one for name, one in found.items() if check.ask(name, lambda _: prove(world, name, one))]
        world.chain, own = ([one for one in proven if bool(one.incident) == is_so] for is_so in (True, False))
        for chain in (world.chain, own):
            for entry, before in zip(chain, [None, *chain]):
                entry.before = before
        world.entries = sorted(proven, key=lambda entry: entry.index)
        for entry, above in zip(world.entries, [None, *world.entries]):
            entry.above = above
            world.kinds.setdefault(entry.type, []).append(entry)
        check.ok(f"{len(world.entries)} entries, each in its form and proven in the head")
def prove(world, name, entry):
    proof = Proof(world.bundle.read(name + ".tlog-proof"))
    key = key_of_size(world.head.size, world.line, world.pins)
    need(proof.head.text == world.head.text, "its proof leads to another head")
    need(set(proof.head.lines) <= set(world.head.lines), "its proof holds lines that the head has not")
    note_3(proof.head)
    need((key.name, key.id) in [line[:2] for line in proof.head.signatures], "it lacks the log's signature")
    need(entry.index in (None, proof.index) and proof.proves(entry.leaf), "its proof does not prove it")
    entry.index = proof.index
    return True
ACT_FILES = {"roster.published": "deployment/roster-{version}.json", "order.issued": "orders/{order}.json",
             "endpoint.admitted": "deployment/token-{endpoint}-{generation}.json",
             "agent.enrolled": "deployment/enrolment-{endpoint}-{generation}.json",
             "order.approved": "approvals/{event}.json", "order.rejected": "approvals/{event}.json",
             "collection.started": "evidence/{collection}/delegation.json",
             "collection.stored": "evidence/{collection}/manifest.json"}
def attach_act(entry):
    if not entry.row:
        detail = entry.act and entry_6(entry) and entry.act.value.get("detail")
        return None if entry.world.is_partial else entry.world.bundle.asked.add(f"details/{detail}.json")
    world, name = entry.world, ACT_FILES.get(entry.type, "").format(event=entry.event, **entry.refs)
    need(entry.is_inline or name, "the act is not in the entry, and a bundle has no file of its kind")
    if is_left_out(entry):
        need(entry.act is None or name, "a partial production cannot leave it out")
    elif not entry.is_inline:
        entry.act = world.bundle.signed(name)
    elif name in world.bundle.sizes:
        copy = world.bundle.signed(name)
        need((copy.line, copy.armours) == (entry.act.line, entry.act.armours), f"{name} is another act")
    if entry.act:
        entry_6(entry)
        entry_7(entry)
def is_left_out(entry):
    """Does a partial production leave this entry's documents out? They are of no collection that is here."""
    world, refs = entry.world, entry.refs
    if not world.is_partial or entry.type not in ACT_FILES or not entry.incident:
        return False
    started = [one.refs for one in world.of("collection.started") if one.refs["order"] == refs["order"]]
    return not any(world.is_here(one["collection"]) for one in ([refs] if "collection" in refs else started))
def check_acts(world):
    with world.report["custody.acts"] as check:
        for entry in world.entries:
            check.ask(entry, attach_act)
    with world.report["roster"] as check:
        for entry in world.of("roster.published"):
            if entry.act and check.ask(entry, roster_1, roster_2, roster_3, roster_4, roster_5, roster_6):
                world.rosters.append(entry)
        newest = world.newest().value["version"]
        check.ok(f"{len(world.rosters)} rosters by the pinned authority; the newest is {newest}")
        check.ask(world, roster_8, roster_9)
    with world.report["custody.chain"] as check:
        for entry in world.entries:
            check.ask(entry, entry_8, entry_9, entry_10, entry_11, entry_12, entry_13, entry_14)
            if entry.incident:
                check.ask(entry, incident_2)
        overview = world.overview
        need({entry.incident for entry in world.chain} == {overview["incident"]}, "it is another incident's")
        need(len(world.chain) == overview["head_seq"] + 1, "the chain is not whole")
        need(world.chain[-1].leaf.hex() == overview["head"], "the last entry is not `head` of bundle.json")
        check.ok(f"{len(world.chain)} entries of {overview['incident']} follow each other")
    with world.report["custody.acts"] as check:
        check.ask(world, log_2)
        for entry in world.entries:
            check.ask(entry, *rules_of_act(entry) if entry.act and entry.row else ())
            for why in [*entry_2(entry), *entry_21(entry)]:
                check.skip(f"{entry}: {why}", True)
        check.ok(f"{len(world.entries)} acts by whom the rosters and keys in force name")
def rules_of_act(entry):
    kind, signers = entry.row[1:3]
    if kind != "act":
        by_other = order_18 if entry.type == "order.approved" else order_19
        return {"token": [endpoint_2, endpoint_3], "login": [login_1, login_2], "order": [order_6],
                "approval": [order_15, order_16, order_17, by_other, order_20]}.get(kind, [])
    by_signer = {"nobody": [entry_16], "mirror": [mirror_6, mirror_7, mirror_8]}
    by_type = {"log.genesis": [log_1, log_3, log_4, log_5], "order.cancelled": [order_23, order_24],
               "order.refused": [order_25], "incident.opened": [incident_1, incident_3],
               "incident.closed": [incident_4], "incident.reopened": [incident_4], "hold.released": [hold_2],
               "evidence.accessed": [access_3], "evidence.replicated": [mirror_9, mirror_10, mirror_11],
               "mirror.admitted": [mirror_1, mirror_2], "mirror.retired": [mirror_4, mirror_5]}
    has_detail = f"details/{entry.act.value.get('detail')}.json" in entry.world.bundle.sizes
    return [entry_15, entry_22, *by_signer.get(signers, [entry_17]), *by_type.get(entry.type, []),
            *[entry_18, entry_19] * (has_detail and not entry.world.is_partial)]
def gather_collections(world):
    with world.report["coverage"] as check:
        for entry in world.chain:
            if entry.type == "collection.started":
                if check.ask(entry, collection_12) and entry.act:
                    world.collections[entry.refs["collection"]] = Collection(entry)
            elif entry.type in ("evidence.fixity_failed", "evidence.repaired"):
                check.ask(entry, collection_16)
            elif entry.row and "collection" in entry.refs:
                is_stored = entry.type == "collection.stored"
                check.ask(entry, collection_15, *[collection_17, collection_26] * is_stored)
def check_parties(world):
    """Endpoints, orders and delegations. Of what a partial production leaves out nothing is asked."""
    with world.report["endpoint"] as check:
        rules = {"endpoint.admitted": [endpoint_1, endpoint_4],
                 "agent.renewed": [endpoint_20, endpoint_18, endpoint_19],
                 "agent.enrolled": [endpoint_8, endpoint_9, endpoint_11, endpoint_12, endpoint_13,
                                    endpoint_14, endpoint_15]}
        for entry in filter(lambda one: one.act, world.of(*rules)):
            if check.ask(entry, *rules[entry.type]) and entry.type == "agent.enrolled":
                check.ok(f"{entry.refs['endpoint']}#{entry.refs['generation']}: under its token")
    with world.report["order"] as check:
        for entry in world.of("order.issued"):
            is_obeyed = any(one.value["order"] == entry.refs["order"] for one in world.collections.values())
            rules = [order_1, order_2, order_3, order_5, order_7, order_8, order_9, order_11]
            rules = [incident_5] + (rules + [order_22] * is_obeyed) * bool(entry.act)
            if check.ask(entry, *rules) and entry.act:
                state = "in force" if in_force_from(entry) is not None else "never approved"
                obeyed = "obeyed" if is_obeyed else "nobody collected anything under it"
                check.ok(f"order {entry.act.digest[:8]}: {state}, {obeyed}")
    with world.report["delegation"] as check:
        for one in world.collections.values():
            is_here = world.is_here(one.id)
            rules = [collection_1, collection_6, collection_7, collection_9, collection_13]
            rules += [collection_3, collection_2, collection_4] * bool(is_here or one.key)
            rules += [collection_8, collection_10, collection_14] * bool(is_here or one.order)
            has_target = one.key and one.order and target_file(one) in world.bundle.sizes
            if check.ask(one, *rules, *[collection_11] * bool(is_here or has_target)):
                check.ok(f"{one}: by {one.slot['endpoint']}#{one.slot['generation']}, for its order")
def check_disposition(world):
    course = world.course
    approved = (disposal_1, disposal_2, disposal_3, disposal_4, disposal_5, disposal_6, disposal_7,
                disposal_8)
    with world.report["disposition"] as check:
        for entry in world.chain:
            if entry.type == "disposition.approved":
                plan = Plan(world.chain, int(entry.refs["count"]), course.plans.values())
                entry.plan = course.waiting.pop(entry.refs["plan"], plan)
                check.ask(entry, *approved)
            elif entry.type in ("disposition.executed", "disposition.confirmed"):
                check.ask(entry, disposal_9, disposal_10, disposal_11)
            course.take(entry)
        check.ask(world, disposal_15)
        if course.gone:
            check.ok(f"{len(course.gone)} times something was destroyed on the word of two persons")
def check_evidence(world):
    bundle = world.bundle
    for one in world.collections.values():
        with world.report["manifest"] as check:
            if one.manifest:
                if check.ask(one, collection_18, collection_19, collection_20, collection_21, collection_22):
                    check.ok(f"{one}: by sealer and evidence key, under its order")
            has = one.folder + "manifest.json" in bundle.sizes
            need(has == bool(one.stored) or not bundle.below(one.folder), f"{one}: a manifest, or none")
        has_evidence = bundle.below(one.folder + "seals/") + bundle.below(one.folder + "container")
        if world.is_partial or not has_evidence:
            continue
        with world.report["seals"] as check:
            one.seals = check.ask(one, lambda _: collection_23(read_seals, one))
            if one.seals and check.ask(one, collection_24, collection_25):
                check.ok(f"{one}: {len(one.seals)} segments, each signed, in order")
        with world.report["container"] as check:
            need(one.seals, f"{one}: without its seals nothing says what the container holds")
            found = check.ask(one, lambda _: collection_23(Container(one).read))
            if found:
                check.ok(f"{one}: {len(found.leaves)} items, {found.length} bytes")
                if one.manifest:
                    world.report["manifest"].ask(one, lambda _: collection_23(describes, one, found))
    with world.report["items"] as check:
        for name in world.overview["collections"] if world.is_partial else ():
            check_items(world, check, name)
        need(len(world.items) <= 10000, "more than 10,000 items")
def check_items(world, check, name):
    one = world.collections.get(name)
    need(one and one.manifest, f"{name[:8]} has no manifest")
    files = sorted(file for file in world.bundle.below(one.folder + "items/") if file.endswith(".record"))
    records = [check.ask(file, lambda file: read_item(one, file)) for file in files]
    need(files and all(records), f"{one}: an item does not hold, or none is here")
    check_links(records)
    world.items += [(name, record.n) for record in records]
    check.ok(f"{one}: {len(records)} of {one.manifest.value['items']} items produced, proven in the manifest")
def check_stamps(world):
    bundle, tsa = world.bundle, world.pins.tsa
    for name, stem in (("sums.stamp", "SHA256SUMS"), ("checkpoint.stamp", "ledger/checkpoint")):
        with world.report[name] as check:
            names = [stem + ending for ending in STAMPS]
            stamps = {one: bundle.read(one, MIB) for one in names if one in bundle.sizes}
            need(list(stamps) == names[:len(stamps)], "a stamp is here and the one before it is not")
            if stamps:
                judge_stamps(check, stamps, bundle.read(stem, 576 * MIB), tsa)
            else:
                is_due = tsa is not None and stem == "SHA256SUMS" and "ledger/checkpoint.tsr" in bundle.sizes
                check.skip(f"{len(stamps)} stamps; {'a' if tsa else 'no'} tsa.pem is pinned", is_due)
def check_conveniences(world):
    bundle, genesis = world.bundle, world.first("log.genesis")
    with world.report["conveniences"] as check:
        names = ("allowed_signers", "log.vkey", "ca.pem")
        raw = {one: bundle.read(f"deployment/{one}") for one in names if f"deployment/{one}" in bundle.sizes}
        if "allowed_signers" in raw:
            need(raw["allowed_signers"] == allowed_signers(world), "allowed_signers says something else")
        need("log.vkey" not in raw or raw["log.vkey"] == lines_of(
            key_of_size(world.head.size, world.line, world.pins).text), "log.vkey is not the key in force")
        if "ca.pem" in raw:
            der = unbase64(b"".join(raw["ca.pem"].split(b"\n")[1:-2]))
            need(raw["ca.pem"] == armour_of(der, "CERTIFICATE", 64), "ca.pem is not in its strict form")
            need(run(["openssl", "x509", "-noout"], raw["ca.pem"])[0] == 0, "ca.pem holds no certificate")
            need(genesis is None or genesis.says(ca=sha256(der).hex()), "ca.pem is not that of log.genesis")
        check.ok(f"{', '.join(raw) or 'none'}: as the checked documents and the pins say")
def allowed_signers(world):
    roster = world.newest().value
    machine = "exhibit-delegation-v1,exhibit-enrolment-v1,exhibit-manifest-v1,exhibit-renewal-v1"
    enrolled = [one.act.value for one in world.of("agent.enrolled") if one.act]
    spaces = {one["id"]: ",".join(sorted({space for role in one["roles"] for space in ROLES[role].split()}))
              for one in roster["persons"]}
    rows = [("authority", "exhibit-roster-v1", key) for key in sorted(roster["authority"]["keys"])]
    rows += [(f"person:{one['id']}", spaces[one["id"]], key)
             for one in roster["persons"] for key in one["keys"]]
    rows += [(f"endpoint:{one['endpoint']}#{one['generation']}", machine, one["evidence_key"])
             for one in sorted(enrolled, key=lambda one: (one["endpoint"].encode(), one["generation"]))]
    return lines_of(*(f'{name} namespaces="{space}" {key}' for name, space, key in rows))
def check_export(world):
    bundle, by = world.bundle, world.overview["by"]
    with world.report["sums.signature"] as check:
        world.signer = verify_ssh(world.sums, "exhibit-bundle-v1", bundle.read("SHA256SUMS.sig", 2048))
        need(is_exporter(world), f"it is not by {by}, or that is no responder of the newest roster")
        check.ok(f"by {by}, a responder of the newest roster")
    with world.report["export"] as check:
        newer = Checkpoint(bundle.read("export/checkpoint"))
        proof = Proof(bundle.read("export/entry.tlog-proof"))
        *lines, end = bundle.read("export/consistency", 64 * KIB).split(b"\n")
        need(end == b"", "export/consistency is not whole lines")
        export_7(world, newer, read_hashes(lines))
        judge_note(world, newer)
        entry = entry_1(bundle.read("export/entry", 64 * KIB))
        need(proof.head.raw == newer.raw and proof.proves(entry.leaf), "its proof, or the note in it")
        entry.world, entry.index = world, proof.index
        entry.before, entry.above = world.chain[-1], world.entries[-1]
        need(not world.overview["quorum"] or "without_quorum" not in world.overview, "`without_quorum`")
        equal((entry.type, entry.incident), ("bundle.exported", world.overview["incident"]), "its entry")
        check.ask(entry, entry_3, entry_4, entry_5, entry_6, entry_7, entry_8, entry_12, entry_14, entry_15)
        check.ask(entry, entry_17, entry_22, export_1, export_2, export_3, export_4, export_5, export_6)
        between = entry.seq - world.chain[-1].seq - 1
        check.ok(f"{entry}; {between} entries of the incident between head and export are not here")
        if world.unpinned:
            check.ok(f"{world.unpinned} signature lines are of nobody who is pinned: nothing rests on them")
def check_coverage(world):
    bundle, overview = world.bundle, world.overview
    with world.report["coverage"] as check:
        ending = "" if world.is_partial else "container.tar.zst"
        here = [one.id for one in world.collections.values() if bundle.below(one.folder + ending)]
        for one in world.collections.values():
            if not world.is_partial and one.id not in here and (one.has_segment() or one.gone_from()):
                check.ask(one, disposal_13, disposal_14)
            if world.is_here(one.id):
                check.ok(f"{one}: {state_of(one)}")
        if sorted(here) != overview["collections"]:
            check.fail("`collections` of bundle.json is not what is here")
        for name in sorted(set(bundle.sizes) - bundle.asked - EXPORTERS_WORDS - UNCOVERED):
            check.fail(f"{name} is there, and nothing asks for it")
def state_of(collection):
    stores, copies = collection.gone_from(), collection.copies()
    if stores:
        part = "" if len(stores) >= copies else f" of in {len(stores)} of {copies} copies"
        return f"disposed{part} (gone from {', '.join(stores)})"
    if collection.stored:
        return "stored-degraded" if collection.stored.says(degraded="yes") else "stored"
    return "interrupted" if collection.about("collection.interrupted") else "unfinished at export"
def check_replicated(world):
    policy = world.pins.policy
    is_asked = policy.quorum != "none" and bool(policy.mirrors())
    with world.report["custody.replicated"] as check:
        missing = ", ".join(map(str, mirror_14(world)))
        if missing:
            check.skip(f"no mirror states that it has {missing}", is_asked)
        elif is_asked:
            check.ok("mirrors state that they have each collection that was stored")
def judge(world):
    """All checks. One that breaks leaves the others; without sums, head and chain nothing can be judged."""
    check_sums(world)
    check_overview(world)
    if world.sums is None or world.overview is None or world.report["checkpoint"].broken:
        return
    found = read_entries(world)
    check_checkpoint(world, found)
    check_inclusion(world, found)
    if world.report["checkpoint"].broken or not world.chain:
        return
    for one in (check_quorum, check_acts, gather_collections, check_parties, check_disposition,
                check_replicated, check_evidence, check_stamps, check_conveniences, check_export,
                check_coverage):
        one(world)
def verdict(world):
    if world.is_partial:
        return "VERIFIED, PARTIAL PRODUCTION, with stock tools"
    gone = ", DISPOSED (evidence was destroyed on two persons' word; its custody is here),"
    return f"VERIFIED{gone if world.course.gone else ''} with stock tools"
def verify(bundle, trust):
    for tool in ("ssh-keygen", "openssl", "zstd"):
        if shutil.which(tool) is None:
            raise CannotCheck(f"{tool} is missing; install it")
    try:
        pins = Pins(Folder(trust, 0))
    except Broken as broken:
        raise CannotCheck(f"{trust}: {broken}") from None
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR") or None) as scratch.folder:
        world = World(Folder(bundle), pins)
        if "SHA256SUMS" not in world.bundle.sizes:
            raise CannotCheck(f"{bundle} has no SHA256SUMS: it is no bundle")
        judge(world)
        return write_report(world.report, verdict(world))
def main(words):
    if len(words) != 2:
        print("usage: python3 verify.py BUNDLE TRUSTDIR", file=sys.stderr)
        return 64
    try:
        return verify(*words)
    except (CannotCheck, OSError, MemoryError, KeyboardInterrupt) as error:
        print(f"verify: nothing is said of the bundle: {type(error).__name__}: {error}", file=sys.stderr)
        return 2

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
