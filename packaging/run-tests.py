#!/usr/bin/env python3
"""Runs the suites of `make test`: builds once, runs each suite as the user it asks for, prints its seconds against its budget.

usage: run-tests.py [SUITE ...]      (no name: all; `--list` names them)
Root suites need uid 0; the others run as a fresh uid without any capability. A suite that cannot run here is skipped by name,
which with CI=true is a failure. Closes with `N passed, N failed, N skipped`, counted over tests.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CI = os.environ.get("CI") == "true"
ROOT_CACHE = "/var/cache/exhibit"  # a fresh uid must reach the test binaries: not below a 0700 home
CACHE = os.environ.get("EXHIBIT_CACHE") or (
    ROOT_CACHE if os.getuid() == 0 else os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "exhibit"))
TARGET = os.environ.get("CARGO_TARGET_DIR") or os.path.join(CACHE, "target")
TOOLS = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "exhibit")
LOGS = os.path.join(TARGET, "test-logs")
FRESH_UID = 54321

# name, who runs it, budget in seconds, packages whose tests it holds, name filters
SUITES = [
    ("lint", "any", 360, None, []),
    ("build", "any", 900, None, []),
    ("unit", "user", 180, ["evidence", "ledger", "durable", "proto", "certs", "store", "server", "mirror", "cli"], ["--skip", "servers::"]),
    ("verifiers", "user", 240, ["exhibit-verify"], []),
    ("unit-root", "root", 240, ["agent", "store", "server"], ["--skip", "servers::"]),
    ("unit-user", "user", 120, ["agent"], []),
    ("journey", "root", 240, ["system-tests"], ["journey::", "dependencies::", "edges::", "lifecycle::", "production::"]),
    ("hostile", "root", 240, ["system-tests"], ["bad_input::"]),
    ("faults", "root", 300, ["system-tests"], ["faults::"]),
    ("strangers", "root", 240, ["system-tests"], ["strangers::"]),
    ("stores", "root", 420, ["store", "system-tests"], ["servers::", "buckets::"]),
    ("mirror", "root", 300, ["system-tests"], ["mirror::"]),
    ("packages", "root", 180, ["system-tests"], ["packages::"]),
]

# S3 servers of suite `stores`: name, script, variable that names its `ready` file, what must be there
S3_SERVERS = [
    ("Ceph RGW", "ceph.sh", "EXHIBIT_TEST_CEPH", {"radosgw": "/usr/bin/radosgw", "ceph-mon": "/usr/bin/ceph-mon", "ceph-osd": "/usr/bin/ceph-osd"}),
    ("LocalStack", "localstack.sh", "EXHIBIT_TEST_LOCALSTACK", {"LOCALSTACK_VENV": os.path.join(TOOLS, "localstack")}),
    ("Garage", "garage.sh", "EXHIBIT_TEST_GARAGE", {"GARAGE": os.path.join(TOOLS, "tools/bin/garage")}),
]
# What may be skipped in CI, too, by name: one asks for Python 3.13, the other for half an hour of building (`make test-garage`).
MAY_BE_SKIPPED = ("stores: servers on LocalStack", "stores: servers on Garage")


def environment():
    env = dict(os.environ, CARGO_TARGET_DIR=TARGET, CARGO_TERM_COLOR="never")
    env.setdefault("RUST_BACKTRACE", "1")
    env["EXHIBIT_BIN_DIR"] = os.path.join(TARGET, "debug")
    env["EXHIBIT_STRANGERS_VENV"] = os.path.join(TOOLS, "venv-strangers")
    env["EXHIBIT_VENV"] = os.path.join(TOOLS, "venv")
    return env


def run(argv, **kwargs):
    print("+ " + " ".join(argv), flush=True)
    return subprocess.run(argv, cwd=kwargs.pop("cwd", ROOT), env=kwargs.pop("env", environment()), stdin=subprocess.DEVNULL, **kwargs).returncode


def lint(result):
    typos = os.path.join(TOOLS, "venv/bin/typos")
    deny = os.path.join(TOOLS, "tools/bin/cargo-deny")
    steps = [
        ("fmt", ["cargo", "fmt", "--all", "--check"]),
        ("typos", [typos] if os.path.exists(typos) else None),
        ("deny", [deny, "check", "--hide-inclusion-graph", "bans", "licenses", "sources"] if os.path.exists(deny) else None),
        ("clippy", ["cargo", "clippy", "-q", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        ("doc", ["cargo", "doc", "-q", "--locked", "--workspace", "--no-deps", "--document-private-items"]),
    ]
    for name, argv in steps:
        if argv is None:
            result.skip("lint: " + name, "tool not installed; see packaging/test-deps.sh")
            continue
        env = environment()
        # the generated wire code has placeholders in angle brackets in its comments; private links are of use here
        env["RUSTDOCFLAGS"] = "-D warnings -A rustdoc::invalid_html_tags -A rustdoc::private_intra_doc_links"
        result.one("lint: " + name, run(argv, env=env) == 0)


EXECUTABLES = {}


def build(result):
    ok = run(["cargo", "build", "-q", "--locked", "--workspace", "--all-targets"]) == 0
    result.one("build", ok)
    if ok:
        find_executables()


def find_executables():
    done = subprocess.run(["cargo", "test", "-q", "--locked", "--workspace", "--no-run", "--message-format=json"], cwd=ROOT,
                          env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message.get("executable") and message["profile"]["test"]:
            package = re.sub(r".*/", "", message["package_id"].split("#")[0])
            if "#" in message["package_id"] and "@" in message["package_id"].split("#")[1]:
                package = message["package_id"].split("#")[1].split("@")[0]
            EXECUTABLES.setdefault(package, []).append((message["target"]["name"], message["executable"],
                                                        os.path.dirname(message["manifest_path"])))
    if done.returncode != 0:
        sys.exit("run-tests: tests do not build; run `cargo test --workspace --no-run`")


def as_fresh_user(argv, env, scratch):
    """argv as a uid nobody else has, in a mount namespace where the checkout can be reached though a parent is 0700."""
    os.chown(scratch, FRESH_UID, FRESH_UID)
    env.update(HOME=scratch, TMPDIR=scratch, XDG_CACHE_HOME=os.path.join(scratch, "cache"))
    return ["sh", os.path.join(ROOT, "packaging/as-user.sh"), str(FRESH_UID), ROOT, os.path.realpath(TARGET)] + argv


def another_suite_runs_it(who, why):
    """A test that asks for the other kind of user is no hole: a suite of that kind runs it, too."""
    return (who == "user" and "needs root" in why) or (who == "root" and "needs no root" in why)


def tests(result, name, who, packages, filters):
    if not EXECUTABLES:
        find_executables()
    if who == "root" and os.getuid() != 0:
        result.skip(name, "needs root")
        return
    for package in packages:
        for target, executable, directory in EXECUTABLES.get(package, []):
            env = environment()
            env["CARGO_MANIFEST_DIR"] = directory
            if who == "user":
                env.pop("CI", None)  # skips are judged here, not by the test
            argv = [executable, "--show-output"] + filters
            with tempfile.TemporaryDirectory(prefix="exhibit-test-", ignore_cleanup_errors=True) as scratch:
                os.chmod(scratch, 0o755)
                if who == "user" and os.getuid() == 0:
                    argv = as_fresh_user(argv, env, scratch)
                else:
                    env["TMPDIR"] = scratch
                print(f"-- {name}: {package} {target}", flush=True)
                child = subprocess.Popen(argv, cwd=directory, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                         stderr=subprocess.STDOUT)
                counts, said = None, []
                for raw in child.stdout:
                    line = raw.decode(errors="replace")
                    said.append(line)
                    counts = re.match(r"test result: .*? (\d+) passed; (\d+) failed; (\d+) ignored", line) or counts
                    skipped = re.match(r"(?:SKIPPED|skipped:?) (.+)", line)
                    if skipped and not another_suite_runs_it(who, skipped.group(1)):
                        result.skip(f"{name}: {skipped.group(1).strip()}", "said by the test")
                code = child.wait()
                keep(name, f"{package}-{target}", said, code)
                if counts:
                    result.passed += int(counts.group(1))
                    result.failed += int(counts.group(2))
                if code != 0:
                    result.told.append((f"{name}: {package} {target}", failures_of(said)))
                if code != 0 and not (counts and int(counts.group(2))):
                    result.one(f"{name}: {package} {target} (exit {code})", False)
                elif code != 0:
                    result.problems.append(f"{name}: {package} {target}")


def keep(suite, what, said, code):
    """The whole output in a file; on the screen what tests found worth saying, and the verdict."""
    os.makedirs(LOGS, exist_ok=True)
    with open(os.path.join(LOGS, f"{suite}-{what}.log"), "w", encoding="utf-8") as log:
        log.writelines(said)
    worth = re.compile(r"tried: |measured: |faults: |SKIPPED|skipped|test result: |test .* \.\.\. FAILED")
    for line in said:
        if worth.match(line):
            sys.stdout.write(line)
    if code != 0:
        print(f"   exit {code}; whole output in {LOGS}/{suite}-{what}.log")
    sys.stdout.flush()


def failures_of(said):
    """What failing tests printed, or the last lines of a program that did not get to say it; bounded."""
    text = "".join(said)
    begin = text.rfind("\nfailures:\n", 0, text.rfind("\nfailures:\n"))
    lines = (text[begin:] if begin >= 0 else text).splitlines()
    return lines[:250] if begin >= 0 else lines[-80:]


def start_servers(scratch):
    """Starts the S3 servers that can be had here; the tests say which they did not find."""
    started = []
    for name, script, variable, needs in S3_SERVERS:
        os.environ.pop(variable, None)
        if not all(os.path.exists(path) for path in needs.values()):
            continue
        folder = os.path.join(scratch, script.removesuffix(".sh"))
        with open(folder + ".log", "wb") as log:
            child = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "bash", os.path.join(ROOT, "packaging/test-s3", script), folder],
                                     env=dict(os.environ, **needs), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        started.append((name, child, os.path.join(folder, "ready"), variable, time.monotonic()))
    for name, child, ready, variable, begun in started:
        while not os.path.exists(ready) and child.poll() is None and time.monotonic() - begun < 120:
            time.sleep(0.1)
        if os.path.exists(ready):
            os.environ[variable] = ready
            print(f"-- stores: {name} answers after {time.monotonic() - begun:.0f} s", flush=True)
        else:
            with open(os.path.dirname(ready) + ".log", encoding="utf-8", errors="replace") as log:
                print(f"-- stores: {name} did not start: {log.read()[-2000:]}", flush=True)
    return started


def stop_servers(started):
    for _, child, _, _, _ in started:
        child.terminate()
    for _, child, _, _, _ in started:
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()


class Result:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.problems, self.told = [], []

    def one(self, what, ok):
        if ok:
            self.passed += 1
        else:
            self.failed += 1
            self.problems.append(what)

    def skip(self, what, why):
        print(f"skipped: {what}: {why}", flush=True)
        if CI and not what.startswith(MAY_BE_SKIPPED):
            self.one(f"{what} skipped with CI=true ({why})", False)
        else:
            self.skipped += 1


def main():
    names = [suite[0] for suite in SUITES]
    if sys.argv[1:] == ["--list"]:
        for name, who, budget, _, _ in SUITES:
            print(f"{name:10} {who:5} budget {budget} s")
        return 0
    wanted = sys.argv[1:] or names
    unknown = [name for name in wanted if name not in names]
    if unknown:
        print(f"run-tests: no suite {unknown[0]}; there are: {', '.join(names)}", file=sys.stderr)
        return 64
    os.makedirs(TARGET, exist_ok=True)
    if TARGET.startswith(ROOT_CACHE):
        os.chmod(ROOT_CACHE, 0o755)
    result, table = Result(), []
    for name, who, budget, packages, filters in SUITES:
        if name not in wanted:
            continue
        print(f"== suite {name} ({'needs root' if who == 'root' else 'runs without root' if who == 'user' else 'any user'})", flush=True)
        begun, failed = time.monotonic(), result.failed
        if name == "lint":
            lint(result)
        elif name == "build":
            build(result)
        elif name == "stores" and os.getuid() == 0:
            if not EXECUTABLES:
                find_executables()
            with tempfile.TemporaryDirectory(prefix="exhibit-s3-", ignore_cleanup_errors=True) as scratch:
                servers = start_servers(scratch)
                try:
                    tests(result, name, who, packages, filters)
                finally:
                    stop_servers(servers)
        else:
            tests(result, name, who, packages, filters)
        seconds = time.monotonic() - begun
        table.append((name, seconds, budget, "ok" if result.failed == failed else "FAILED"))
        print(f"== suite {name}: {table[-1][3]}, {seconds:.0f} s of {budget} s", flush=True)
        if name == "build" and result.failed != failed:
            break
    for what, lines in result.told:
        print(f"\n== failures of {what}")
        print("\n".join(line[:600] for line in lines))
    print()
    for name, seconds, budget, verdict in table:
        print(f"{name:10} {verdict:6} {seconds:5.0f} s of {budget} s{'   OVER BUDGET' if seconds > budget else ''}")
    for problem in result.problems:
        print(f"failed: {problem}")
    print(f"{result.passed} passed, {result.failed} failed, {result.skipped} skipped")
    return 1 if result.failed else 0


if __name__ == "__main__":
    sys.exit(main())
