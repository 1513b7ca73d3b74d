#!/usr/bin/env python3
"""`make check`: format, clippy and unit tests of the rooms that changed since main, working tree included. The loop while you edit; `make test` is the gate.

usage: check.py [--table | ROOM ...]     no room: those that `git diff` names; --table: adds a line to each room, checks it, prints the seconds
"""
import json
import os
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUDGET = 60  # seconds, warm, after an edit of one line


def said(*argv):
    return subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, text=True).stdout


def rooms():
    """Package name by folder, the deepest folder first."""
    meta = json.loads(said("cargo", "metadata", "--no-deps", "--format-version", "1", "--offline"))
    found = {os.path.relpath(os.path.dirname(package["manifest_path"]), ROOT): package for package in meta["packages"]}
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))


def changed_files():
    base = subprocess.run(["git", "merge-base", "HEAD", "main"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, text=True)
    since = base.stdout.strip() or "HEAD"
    return set(said("git", "diff", "--name-only", since).split() + said("git", "ls-files", "--others", "--exclude-standard").split())


def changed_rooms(known):
    found = set()
    for path in changed_files():
        folder = next((folder for folder in known if path.startswith(folder + "/")), None)
        if folder is not None:
            found.add(folder)
        elif path in ("Cargo.toml", "Cargo.lock", "clippy.toml", "rustfmt.toml"):
            print(f"check: {path} concerns every room; `make lint` looks at all of them")
    return found


def check(known, folders):
    """True when all is well."""
    steps = [["cargo", "fmt", "--all", "--check"]]
    packages = [known[folder] for folder in sorted(folders)]
    chosen = [word for package in packages for word in ("-p", package["name"])]
    if chosen:
        steps.append(["cargo", "clippy", "-q", *chosen, "--all-targets", "--", "-D", "warnings"])
        has_unit_tests = {"lib", "rlib", "bin", "proc-macro"}
        unit = [package for package in packages if has_unit_tests & {kind for target in package["targets"] for kind in target["kind"]}]
        chosen = [word for package in unit for word in ("-p", package["name"])]
        steps.append(["cargo", "test", "-q", *chosen, "--lib", "--bins", "--", "--skip", "servers::"])
    steps.append(["cargo", "test", "-q", "-p", "house"])
    for argv in steps:
        begun = time.monotonic()
        print("+ " + " ".join(argv), flush=True)
        env = dict(os.environ, RUST_BACKTRACE=os.environ.get("RUST_BACKTRACE", "0"))
        code = subprocess.run(argv, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, check=False).returncode
        print(f"  {time.monotonic() - begun:.0f} s", flush=True)
        if code != 0:
            return False
    return True


def main():
    known = rooms()
    if sys.argv[1:] == ["--table"]:
        rows = []
        for folder in sorted(known):
            check(known, [folder])  # warm
            source = next(target["src_path"] for target in known[folder]["targets"])
            with open(source, encoding="utf-8") as file:
                text = file.read()
            try:
                with open(source, "w", encoding="utf-8") as file:
                    file.write(text + "\nconst _: () = ();\n")
                begun = time.monotonic()
                verdict = "" if check(known, [folder]) else " (failed)"
                rows.append(f"| {folder} | {time.monotonic() - begun:.0f}{verdict} |")
            finally:
                with open(source, "w", encoding="utf-8") as file:
                    file.write(text)
        print("\n".join(["| room | seconds |", "|---|---|", *rows]))
        return 0
    wanted = set(sys.argv[1:])
    unknown = wanted - set(known)
    if unknown:
        print(f"check: no room {', '.join(sorted(unknown))}; there are: {', '.join(sorted(known))}", file=sys.stderr)
        return 64
    begun = time.monotonic()
    folders = wanted or changed_rooms(known)
    print(f"check: {', '.join(sorted(folders)) or 'no room changed'}")
    good = check(known, folders)
    print(f"check: {'ok' if good else 'FAILED'}, {time.monotonic() - begun:.0f} s")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
