#!/usr/bin/env python3
"""`make check`: format, clippy and tests of the rooms that changed since main, working tree included. The loop while you edit; `make test` is the gate.

usage: check.py [ROOM ...]           no room: those that `git diff` names
       check.py --table [ROOM ...]   adds a line to each room, checks it warm, and prints the seconds
       check.py --record [ROOM ...]  the same, and writes the table into CONTRIBUTING.md

Tests of a room are its unit tests; of the rooms in WHOLE, its other tests too. Tests in LONG are left to the gate.
The package `features` is always selected beside a room: see tests/features/Cargo.toml.
"""
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CONTRIBUTING = os.path.join(ROOT, "CONTRIBUTING.md")
BUDGET = 60  # seconds, warm, on two cores, after an edit of one line
HUB = "features"
WHOLE = {"custody", "durable", "evidence", "ledger", "proto"}
# Left to the gate: real S3 servers; the model test of store and sequencer; tests that take seconds each because they try every fault or row.
LONG = [
    "servers::",
    "ledger::tests::model::",
    "every_disk_operation_of_a_publication_fails_in_every_form_and_history_stays_one",
    "a_store_that_fails_before_during_or_after_keeps_its_word_until_it_is_back_and_so_does_one_made_later",
    "throughput_on_two_directories",
    "a_foreign_value_in_any_column_is_an_error_that_names_it",
]
EVERY_ROOM = ("Cargo.toml", "Cargo.lock", "clippy.toml", "rustfmt.toml")


def said(*argv):
    return subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, text=True).stdout


def rooms():
    """Package by folder, the deepest folder first. The hub has no code."""
    meta = json.loads(said("cargo", "metadata", "--no-deps", "--format-version", "1", "--offline"))
    found = {os.path.relpath(os.path.dirname(package["manifest_path"]), ROOT): package for package in meta["packages"]}
    return dict(sorted(((folder, package) for folder, package in found.items() if package["name"] != HUB), key=lambda item: -len(item[0])))


def changed_files():
    base = subprocess.run(["git", "merge-base", "HEAD", "main"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, text=True)
    since = base.stdout.strip() or "HEAD"
    return set(said("git", "diff", "--name-only", since).split() + said("git", "ls-files", "--others", "--exclude-standard").split())


def changed_rooms(known, files):
    found = set()
    for path in files:
        folder = next((folder for folder in known if path.startswith(folder + "/")), None)
        if folder is not None:
            found.add(folder)
        elif path in EVERY_ROOM:
            print(f"check: {path} concerns every room; `make lint` looks at all of them")
    return found


def source(package):
    """The first file of a package's library, or of its program: (kind, path)."""
    kinds = {kind: target["src_path"] for target in package["targets"] for kind in target["kind"]}
    return next(((kind, kinds[kind]) for kind in ("lib", "rlib", "bin") if kind in kinds), None)


def steps(packages):
    """Argument lists, in order."""
    selected = lambda some: [word for package in some for word in ("-p", package["name"])] + ["-p", HUB]
    skip = [word for name in LONG for word in ("--skip", name)]
    found = [["cargo", "fmt", "--all", "--check"]]
    if packages:
        lib = ["--lib"] if any(source(package) and source(package)[0] != "bin" for package in packages) else []  # Cargo refuses it where no room has one
        found.append(["cargo", "clippy", "-q", *selected(packages), *lib, "--bins", "--tests", "--", "-D", "warnings"])
    # A program beside a library has no tests of its own, and building it would compile the library a second time.
    for kinds, targets in ((("lib", "rlib"), ["--lib"]), (("bin",), ["--bins"])):
        some = [package for package in packages if source(package) and source(package)[0] in kinds]
        if some:
            found.append(["cargo", "test", "-q", *selected(some), *targets, "--", *skip])
    whole = [package for package in packages if package["name"] in WHOLE]
    if whole:
        found.append(["cargo", "test", "-q", *selected(whole), "--test", "*", "--", *skip])
    found.append(["cargo", "test", "-q", "-p", "house", "-p", HUB, "--lib", "--test", "tree"])
    return found


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def check(known, folders):
    """True when all is well."""
    for argv in steps([known[folder] for folder in sorted(folders)]):
        begun, used = time.monotonic(), cpu_seconds()
        print("+ " + " ".join(argv), flush=True)
        env = dict(os.environ, RUST_BACKTRACE=os.environ.get("RUST_BACKTRACE", "0"))
        code = subprocess.run(argv, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, check=False).returncode
        print(f"  {time.monotonic() - begun:.0f} s, {cpu_seconds() - used:.0f} CPU-seconds", flush=True)
        if code != 0:
            return False
    return True


def with_a_line(text):
    """A source file with one line more, where no attribute or comment hangs on the next item."""
    lines = text.split("\n")
    item = re.compile(r"(pub(\([a-z]+\))? )?(mod|use|fn|const|struct|enum|static|type|async|extern)\b")
    for at, line in enumerate(lines):
        if item.match(line) and not lines[at - 1].startswith(("///", "#[", ")", "]")):
            return "\n".join([*lines[:at], "const _: () = ();", *lines[at:]])
    raise ValueError("no place for a line")


def measure(known, folder):
    """A row of the table: a warm check after an edit of one line."""
    path = source(known[folder])[1]
    with open(path, encoding="utf-8") as file:
        text = file.read()
    edited = with_a_line(text)
    check(known, [folder])  # warm
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(edited)
        begun, used = time.monotonic(), cpu_seconds()
        good = check(known, [folder])
        seconds, cpu = time.monotonic() - begun, cpu_seconds() - used
    finally:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    verdict = "failed" if not good else "over" if seconds > BUDGET else ""
    row = f"| `{folder}` | {seconds:.0f} | {cpu:.0f} | {verdict} |"
    print(row, flush=True)
    return row


def table(known, folders):
    return "\n".join(["| room | seconds | CPU-seconds | |", "|---|---|---|---|", *(measure(known, folder) for folder in sorted(folders))])


def record(rows):
    """Puts the table into CONTRIBUTING.md; rows of rooms that were not measured stay."""
    with open(CONTRIBUTING, encoding="utf-8") as file:
        page = file.read()
    old = re.search(r"^\| room \| seconds .*\n\|---.*(?:\n\|.*)*", page, re.M).group(0)
    of = lambda text: {row.split("|")[1].strip(): row for row in text.split("\n")[2:]}
    new = {**of(old), **of(rows)}
    new = "\n".join([*rows.split("\n")[:2], *(new[name] for name in sorted(new) if name.startswith("`"))])
    with open(CONTRIBUTING, "w", encoding="utf-8") as file:
        file.write(page.replace(old, new))


def main():
    known = rooms()
    mode = sys.argv[1] if sys.argv[1:2] in (["--table"], ["--record"]) else None
    wanted = set(sys.argv[2:] if mode else sys.argv[1:])
    unknown = wanted - set(known)
    if unknown:
        print(f"check: no room {', '.join(sorted(unknown))}; there are: {', '.join(sorted(known))}", file=sys.stderr)
        return 64
    if mode:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an edited source file is put back
        rows = table(known, wanted or set(known))
        print(f"\n{rows}")
        if mode == "--record":
            record(rows)
        return 1 if "| failed |" in rows else 0
    begun = time.monotonic()
    folders = wanted or changed_rooms(known, changed_files())
    print(f"check: {', '.join(sorted(folders)) or 'no room changed'}")
    good = check(known, folders)
    print(f"check: {'ok' if good else 'FAILED'}, {time.monotonic() - begun:.0f} s")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
