#!/usr/bin/env python3
"""Runs the suites of `make test`: builds once, runs each suite as the user it asks for, prints its seconds against its budget.

usage: run-tests.py [SUITE ...]      no name: the gate
       run-tests.py long [PART ...]  what takes too long for the gate; parts: `ignored`, `kills`, `rules`; none: all
       run-tests.py --list           names all suites
       run-tests.py --table          prints the table of CONTRIBUTING; --record: writes it there, with the seconds of the last gate
Root suites need uid 0; the others run as a fresh uid without any capability. A suite that cannot run here is skipped by name,
which with CI=true is a failure. A suite that runs fewer tests than its minimum fails, and so does a test that no suite runs.
Closes with seconds against budget by suite, the last run of `make test-long`, and `N passed, N failed, N skipped`, counted over tests.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "packaging"))
import net  # noqa: E402  # beside this file
CI = os.environ.get("CI") == "true"
ROOT_CACHE = "/var/cache/exhibit"  # a fresh uid must reach the test binaries: not below a 0700 home
# where test-deps.sh installs tools: the same rule as there
TOOLS = os.environ.get("EXHIBIT_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "exhibit")
CACHE = os.environ.get("EXHIBIT_CACHE") or (ROOT_CACHE if os.getuid() == 0 else TOOLS)
TARGET = os.environ.get("CARGO_TARGET_DIR") or os.path.join(CACHE, "target")
LOGS = os.path.join(TARGET, "test-logs")
LONG_RECORD = os.path.join(ROOT, "tests/long-run.txt")
SECONDS_RECORD = os.path.join(TARGET, "test-seconds.json")  # of the last gate, by suite; `--record` reads it
CONTRIBUTING = os.path.join(ROOT, "CONTRIBUTING.md")
NET = os.path.join(ROOT, "tests/net")
FRESH_UID = 54321
GATE_BUDGET = 2400  # seconds of the whole gate, from nothing, on two cores


class Suite(NamedTuple):
    name: str
    who: str  # "root", "user": a fresh uid, "any": whoever calls
    budget: int  # seconds
    least: int  # tests that must run; below it the suite fails
    packages: list  # whose tests it holds
    only: list = []  # parts of test names; none: all
    without: list = []  # parts of test names that it leaves to another suite
    holds: str = ""  # for the table of CONTRIBUTING


SUITES = [
    Suite("lint", "any", 240, 0, [], holds="format, spelling, licences, clippy, documentation"),
    Suite("build", "any", 600, 0, [], holds="everything once, tests included; no test without a suite"),
    Suite("doc", "any", 20, 1, [], holds="examples in documentation comments"),
    Suite("house", "any", 20, 28, ["house"], holds="the shape of the tree"),
    Suite("unit", "user", 190, 690, ["evidence", "ledger", "custody", "proto", "certs", "durable", "cage", "store", "server", "mirror", "cli"], without=["servers::"],
          holds="each room on its own"),
    Suite("verifiers", "user", 380, 69, ["exhibit-verify"], holds="every forgery, put to both verifiers"),
    Suite("unit-root", "root", 110, 340, ["agent", "cage", "store", "server"], without=["servers::", "ledger::tests::model::"], holds="rooms that need mounts, sandboxes, other users"),
    Suite("unit-user", "user", 50, 120, ["agent"], holds="the agent without any capability"),
    Suite("journey", "root", 100, 34, ["system-tests"], ["journey::", "dependencies::", "edges::", "lifecycle::", "production::", "net::", "durability::", "keys::", "limits::"],
          holds="whole jobs by the programs; commands, flags and answers as they were"),
    Suite("hostile", "root", 60, 15, ["system-tests"], ["bad_input::"], holds="forged, lying and changing input through real processes"),
    Suite("faults", "root", 230, 6, ["system-tests"], ["faults::"], holds="kill -9, cut lines, stores that fail"),
    Suite("strangers", "root", 40, 7, ["system-tests"], ["strangers::"], holds="other people's readers, witnesses and clients"),
    Suite("stores", "root", 100, 34, ["store", "system-tests"], ["servers::", "buckets::"], holds="real S3 servers"),
    Suite("mirror", "root", 120, 11, ["system-tests"], ["mirror::"], holds="mirrors as operators meet them"),
    Suite("packages", "root", 60, 2, ["system-tests"], ["packages::"], holds="the Debian packages in a booted container"),
    Suite("pages", "root", 60, 7, ["system-tests"], ["pages::"],
          holds="every command, path and list of README and guide; an example in each help text"),
]
# Not in the gate: `make test-long`.
LONG = Suite("long", "root", 7200, 3, [], holds="tests marked `ignore`, a thousand kills, each rule of custody switched off")
LONG_ROUNDS = "1000"
# Tests that only `make test-long` runs. A test marked `ignore` and not named here fails the gate: nothing gets out of it unseen.
LONG_TESTS = (
    "verify/tests/it/main.rs: flips::every_byte_flipped_under_a_responders_new_signature_is_rejected",
    "verify/tests/it/main.rs: stock_tools::speed_of_a_large_container",
    "evidence/tests/it/main.rs: container::speed::a_million_items_stay_in_bounded_memory",
)

# S3 servers of suite `stores`: name, script, variable that names its `ready` file, what must be there
S3_SERVERS = [
    ("Ceph RGW", "ceph.sh", "EXHIBIT_TEST_CEPH", {"radosgw": "/usr/bin/radosgw", "ceph-mon": "/usr/bin/ceph-mon", "ceph-osd": "/usr/bin/ceph-osd"}),
    ("LocalStack", "localstack.sh", "EXHIBIT_TEST_LOCALSTACK", {"LOCALSTACK_VENV": os.path.join(TOOLS, "localstack")}),
    ("Garage", "garage.sh", "EXHIBIT_TEST_GARAGE", {"GARAGE": os.path.join(TOOLS, "tools/bin/garage")}),
]
# What may be skipped in CI, by name: one server needs Python 3.13, the other half an hour of building (`make test-garage`).
MAY_BE_SKIPPED = ("stores: servers on LocalStack", "stores: servers on Garage")
# Every spelling in which a test may say that it did not run.
SKIP = re.compile(r"(?:skipped|skipping|skip|not run)\b:?\s*(.*)", re.IGNORECASE)


# Variables that make a test binary play another process, or a test ask for less. A gate that inherits one would be green for nothing.
PROBES = re.compile(r"EXHIBIT_(\w+_PROBE|CAGE_CHILD|TEST_DURABLE_\w+|VERDICTS)$")
WEAKENS_THE_GATE = re.compile(r"EXHIBIT_(FAULT_ROUNDS|FAULT_SEED|MODEL_SEEDS?|BLESS|WRITE_VECTORS)$")


def environment():
    env = {name: value for name, value in os.environ.items() if not PROBES.match(name)}
    env.update(CARGO_TARGET_DIR=TARGET, CARGO_TERM_COLOR="never")
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
    with open(CONTRIBUTING, encoding="utf-8") as page:
        stands = seconds_in(page.read()) is not None
    result.one("lint: the suites of CONTRIBUTING.md (run-tests.py --record writes them)", stands)
    for own in sorted(name for name in os.listdir(os.path.join(ROOT, "packaging")) if name.endswith("_test.py")):
        result.one(f"lint: packaging/{own}", run([sys.executable, os.path.join(ROOT, "packaging", own)]) == 0)
    for name, argv in steps:
        if argv is None:
            result.skip("lint: " + name, "tool not installed; see packaging/test-deps.sh")
            continue
        env = environment()
        # the generated wire code has placeholders in angle brackets in its comments; private links are of use here
        env["RUSTDOCFLAGS"] = "-D warnings -A rustdoc::invalid_html_tags -A rustdoc::private_intra_doc_links"
        result.one("lint: " + name, run(argv, env=env) == 0)


class Executable(NamedTuple):
    package: str
    target: str
    source: str  # the target's first file, relative to the checkout
    path: str
    directory: str


EXECUTABLES = []


def build(result):
    ok = run(["cargo", "build", "-q", "--locked", "--workspace", "--all-targets"]) == 0
    result.one("build", ok)
    if ok:
        find_executables()
        for problem in [*unassigned(), *ignored(), *net.names(NET, {f"{one.source}: {test}" for one in EXECUTABLES for test in listed(one)})]:
            result.one(problem, False)


def find_executables():
    done = subprocess.run(["cargo", "test", "-q", "--locked", "--workspace", "--no-run", "--message-format=json"], cwd=ROOT,
                          env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message.get("executable") and message["profile"]["test"]:
            package = re.sub(r".*/", "", message["package_id"].split("#")[0])
            if "#" in message["package_id"] and "@" in message["package_id"].split("#")[1]:
                package = message["package_id"].split("#")[1].split("@")[0]
            EXECUTABLES.append(Executable(package, message["target"]["name"], os.path.relpath(message["target"]["src_path"], ROOT),
                                          message["executable"], os.path.dirname(message["manifest_path"])))
    if done.returncode != 0:
        sys.exit("run-tests: tests do not build; run `cargo test --workspace --no-run`")


def listed(executable, more=()):
    """Names of the tests in an executable."""
    said = subprocess.run([executable.path, "--list", *more], cwd=executable.directory, env=environment(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, check=True, text=True).stdout
    return [line.removesuffix(": test") for line in said.splitlines() if line.endswith(": test")]


def chosen(suite, package, test):
    """Whether a suite runs a test: the rule by which libtest reads `suite.only` and `suite.without`."""
    return (package in suite.packages and (not suite.only or any(part in test for part in suite.only))
            and not any(part in test for part in suite.without))


def unassigned():
    """Test modules that no suite runs, by name."""
    for executable in EXECUTABLES:
        lost = [test for test in listed(executable) if not any(chosen(suite, executable.package, test) for suite in SUITES)]
        for module in sorted({test.split("::")[0] for test in lost}):
            yield f"no suite runs {module} of {executable.package} ({executable.target}); see SUITES in packaging/run-tests.py"


def ignored():
    """Tests marked `ignore` that are not among the long ones, by name."""
    for executable in EXECUTABLES:
        for test in listed(executable, ["--ignored"]):
            name = f"{executable.source}: {test}"
            if name not in LONG_TESTS:
                yield f"ignored and not in LONG_TESTS of packaging/run-tests.py: {name}"


def doctests(result, suite):
    argv = ["cargo", "test", "--locked", "--workspace", "--doc"]
    print("+ " + " ".join(argv), flush=True)
    done = subprocess.run(argv, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", check=False)
    count = 0
    for passed, failed in re.findall(r"^test result: .*? (\d+) passed; (\d+) failed", done.stdout, re.M):
        result.passed += int(passed)
        result.failed += int(failed)
        count += int(passed) + int(failed)
    enough(result, suite, count)
    if done.returncode != 0:
        result.told.append(("doc", done.stdout.splitlines()[-80:]))
        result.problems.append("doc")
        result.failed += not re.search(r"[1-9]\d* failed", done.stdout)


def as_fresh_user(argv, env, scratch):
    """argv as a uid nobody else has, in a mount namespace where the checkout can be reached though a parent is 0700."""
    os.chown(scratch, FRESH_UID, FRESH_UID)
    env.update(HOME=scratch, TMPDIR=scratch, XDG_CACHE_HOME=os.path.join(scratch, "cache"))
    return ["sh", os.path.join(ROOT, "packaging/as-user.sh"), str(FRESH_UID), ROOT, os.path.realpath(TARGET)] + argv


def another_suite_runs_it(who, package, test, said):
    """A test that asks for the other kind of user is no hole if a suite of that kind runs this very test."""
    other = "root" if who == "user" and "needs root" in said else "user" if who == "root" and "needs no root" in said else None
    return other is not None and any(suite.who == other and chosen(suite, package, test) for suite in SUITES)


def enough(result, suite, count):
    """A suite below its minimum fails. A test that says that it was skipped has run: it counts, and is judged by its name."""
    if count < suite.least:
        result.one(f"{suite.name}: {count} tests ran, at least {suite.least} must", False)


def tests(result, suite, arguments=(), extra=None):
    """Runs what a suite holds. `arguments` go to every executable, `extra` into its environment."""
    if not EXECUTABLES:
        find_executables()
    if suite.who == "root" and os.getuid() != 0:
        result.skip(suite.name, "needs root")
        return
    count = 0
    for executable in EXECUTABLES:
        if executable.package not in suite.packages:
            continue
        env = dict(environment(), **(extra or {}), CARGO_MANIFEST_DIR=executable.directory)
        if suite.who == "user":
            env.pop("CI", None)  # skips are judged here, not by the test
        argv = [executable.path, "--show-output", *arguments, *suite.only]
        for part in suite.without:
            argv += ["--skip", part]
        with tempfile.TemporaryDirectory(prefix="exhibit-test-", ignore_cleanup_errors=True) as scratch:
            os.chmod(scratch, 0o755)
            if suite.who == "user" and os.getuid() == 0:
                argv = as_fresh_user(argv, env, scratch)
            else:
                env["TMPDIR"] = scratch
            count += run_executable(result, suite, executable, argv, env)
    enough(result, suite, count)


def run_executable(result, suite, executable, argv, env):
    """Runs one executable and returns how many of its tests ran."""
    what = f"{executable.package} {executable.target}"
    print(f"-- {suite.name}: {what}", flush=True)
    child = subprocess.Popen(argv, cwd=executable.directory, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    counts, said, test = None, [], ""
    for raw in child.stdout:
        line = raw.decode(errors="replace")
        said.append(line)
        counts = re.match(r"test result: .*? (\d+) passed; (\d+) failed; (\d+) ignored", line) or counts
        # libtest shows what each test printed below its name
        head = re.match(r"---- (.+) stdout ----$", line)
        test = head.group(1) if head else test
        skipped = SKIP.match(line)
        if skipped and not another_suite_runs_it(suite.who, executable.package, test, line):
            result.skip(f"{suite.name}: {skipped.group(1).strip()}", "said by the test")
    child.stdout.close()
    code = child.wait()
    keep(suite.name, what.replace(" ", "-"), said, code)
    passed, failed = (int(counts.group(1)), int(counts.group(2))) if counts else (0, 0)
    result.passed += passed
    result.failed += failed
    if code != 0 or counts is None:
        result.told.append((f"{suite.name}: {what}", failures_of(said)))
        if failed:
            result.problems.append(f"{suite.name}: {what}")
        else:
            # exit 0 without a result line: the executable played another process, or left early
            result.one(f"{suite.name}: {what} (exit {code}{'' if counts else ', no result line'})", False)
    return passed + failed


def keep(suite, what, said, code):
    """The whole output in a file; on the screen what tests found worth saying, and the verdict."""
    os.makedirs(LOGS, exist_ok=True)
    with open(os.path.join(LOGS, f"{suite}-{what}.log"), "w", encoding="utf-8") as log:
        log.writelines(said)
    worth = re.compile(r"tried: |measured: |faults: |test result: |test .* \.\.\. FAILED")
    for line in said:
        if worth.match(line) or SKIP.match(line):
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


def table_of_suites(seconds):
    """The table of CONTRIBUTING.md; `seconds` by name of suite, as text."""
    rows = [f"| `{suite.name}` | {suite.who} | {seconds.get(suite.name, '')} | {suite.budget} | {suite.least or ''} | {suite.holds} |" for suite in [*SUITES, LONG]]
    return "\n".join(["| suite | runs as | took, s | budget, s | least tests | holds |", "|---|---|---|---|---|---|", *rows])


def seconds_in(page):
    """The measured seconds that the table of a page states; None when the table is not that of the suites."""
    seconds = dict(re.findall(r"^\| `([a-z-]+)` \| (?:root|user|any) \| ([0-9]*) \|", page, re.M))
    return seconds if table_of_suites(seconds) in page else None


def record_seconds():
    """Writes the table of suites into CONTRIBUTING.md, with what the last gate took."""
    try:
        with open(SECONDS_RECORD, encoding="utf-8") as record:
            seconds = json.load(record)
    except FileNotFoundError:
        seconds = {}
    with open(CONTRIBUTING, encoding="utf-8") as file:
        page = file.read()
    old = re.search(r"^\| suite \| runs as .*\n(?:\|.*\n)*\| `long` .*$", page, re.M)
    stated = dict(re.findall(r"^\| `([a-z-]+)` \| (?:root|user|any) \| ([0-9]*) \|", page, re.M))
    page = page.replace(old.group(0), table_of_suites({**stated, **seconds}))
    with open(CONTRIBUTING, "w", encoding="utf-8") as file:
        file.write(page)


def verifiers(result, suite):
    """The suite, and a comparison of each verdict with the base's."""
    with tempfile.TemporaryDirectory(prefix="exhibit-verdicts-", ignore_cleanup_errors=True) as scratch:
        record = os.path.join(scratch, "verdicts")
        with open(record, "w", encoding="utf-8"):
            pass
        os.chmod(scratch, 0o755)
        os.chmod(record, 0o666)  # the suite runs as another user
        tests(result, suite, extra={"EXHIBIT_VERDICTS": record})
        with open(record, encoding="utf-8") as file:
            found = file.readlines()
    print(f"-- verifiers: {len(found)} verdicts, compared with tests/net/verdicts.txt", flush=True)
    wrong = list(net.verdicts(NET, found))
    if wrong:
        os.makedirs(LOGS, exist_ok=True)
        with open(os.path.join(LOGS, "verdicts.txt"), "w", encoding="utf-8") as log:
            log.writelines(found)
        result.told.append((f"verifiers: verdicts (today's: {LOGS}/verdicts.txt)", wrong))
    result.one("verifiers: verdicts are those of tests/net/verdicts.txt", not wrong)


LONG_PARTS = {"ignored": "ignored tests", "kills": "kills", "rules": "rules switched off"}  # what the line of each begins with


def run_long(result, parts):
    """Every test marked `ignore`, many more kills, and each rule switched off. Leaves the record of each part in the repository."""
    if "ignored" in parts:
        packages = sorted({executable.package for executable in EXECUTABLES if listed(executable, ["--ignored"])})
        record_long(result, LONG_PARTS["ignored"], lambda: tests(result, LONG._replace(packages=packages), ["--ignored"]))
    if "kills" in parts:
        rounds = os.environ.get("EXHIBIT_FAULT_ROUNDS", LONG_ROUNDS)
        faults = next(suite for suite in SUITES if suite.name == "faults")
        record_long(result, f"{LONG_PARTS['kills']}, {rounds} rounds", lambda: tests(result, faults, extra={"EXHIBIT_FAULT_ROUNDS": rounds}))
    if "rules" in parts:
        record_long(result, LONG_PARTS["rules"], lambda: rules_off(result))


def rules_off(result):
    """One result for each judge; the names of the rules that a judge does not hold are printed."""
    argv = [sys.executable, os.path.join(ROOT, "packaging/rules-off.py"), "--target", os.path.join(TARGET, "rules-off")]
    done = subprocess.run(argv, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, end="", flush=True)
    judges = re.findall(r"^rules-off: (.*: \d+ rules held, (\d+) not)$", done.stdout, re.M)
    for line, wrong in judges:
        result.one(line, wrong == "0")
    if not judges:
        result.one("rules-off ran", False)


def record_long(result, part, run_part):
    """Runs a part and writes its line; lines of other parts stay."""
    before, begun = (result.passed, result.failed, result.skipped), time.monotonic()
    run_part()
    passed, failed, skipped = (now - then for now, then in zip((result.passed, result.failed, result.skipped), before))
    git = lambda *argv: subprocess.run(["git", "-c", "safe.directory=*", *argv], cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
    dirty = " with changes that were not committed" if git("status", "--porcelain", "--untracked-files=no", "--", ":!tests/long-run.txt") else ""
    line = (f"{part}: commit {git('rev-parse', 'HEAD')[:12]}{dirty}, {time.strftime('%Y-%m-%d', time.gmtime())}: {passed} passed, {failed} failed, "
            f"{skipped} skipped, {time.monotonic() - begun:.0f} s")
    print(f"-- long: {line}", flush=True)
    others = [other for other in long_runs() if other.split(",")[0].split(":")[0] != part.split(",")[0]]
    with open(LONG_RECORD, "w", encoding="utf-8") as record:
        record.writelines(f"{one}\n" for one in sorted([*others, line]))


def long_runs():
    """The lines of the last runs of `make test-long`, one a part."""
    try:
        with open(LONG_RECORD, encoding="utf-8") as record:
            return record.read().splitlines()
    except FileNotFoundError:
        return []


def one_suite(result, suite, parts):
    if suite.name == "lint":
        lint(result)
    elif suite.name == "build":
        build(result)
    elif suite.name == "doc":
        doctests(result, suite)
    elif suite.name == "verifiers":
        verifiers(result, suite)
    elif suite.name == "long":
        if not EXECUTABLES:
            build(result)
        run_long(result, parts)
    elif suite.name == "stores" and os.getuid() == 0:
        if not EXECUTABLES:
            find_executables()
        with tempfile.TemporaryDirectory(prefix="exhibit-s3-", ignore_cleanup_errors=True) as scratch:
            servers = start_servers(scratch)
            try:
                tests(result, suite)
            finally:
                stop_servers(servers)
    else:
        tests(result, suite)


def main():
    everything = [*SUITES, LONG]
    names = [suite.name for suite in everything]
    if sys.argv[1:] == ["--list"]:
        for suite in everything:
            print(f"{suite.name:10} {suite.who:5} budget {suite.budget} s, at least {suite.least} tests")
        return 0
    if sys.argv[1:] == ["--table"]:
        print(table_of_suites({}))
        return 0
    if sys.argv[1:] == ["--record"]:
        record_seconds()
        return 0
    is_gate = not sys.argv[1:]
    wanted = sys.argv[1:] or [suite.name for suite in SUITES]
    parts = [name for name in wanted if name in LONG_PARTS and "long" in wanted]
    wanted = [name for name in wanted if name not in parts]
    unknown = [name for name in wanted if name not in names]
    if unknown:
        print(f"run-tests: no suite {unknown[0]}; there are: {', '.join(names)}", file=sys.stderr)
        return 64
    for name in [name for name in os.environ if is_gate and WEAKENS_THE_GATE.match(name)]:
        print(f"run-tests: {name} is set, and the gate does not listen to it", flush=True)
        del os.environ[name]
    os.makedirs(TARGET, exist_ok=True)
    if TARGET.startswith(ROOT_CACHE):
        os.chmod(ROOT_CACHE, 0o755)
    result, table, started = Result(), [], time.monotonic()
    for suite in everything:
        if suite.name not in wanted:
            continue
        who = {"root": "needs root", "user": "runs without root", "any": "any user"}[suite.who]
        print(f"== suite {suite.name} ({who})", flush=True)
        begun, failed = time.monotonic(), result.failed
        one_suite(result, suite, parts or LONG_PARTS)
        seconds = time.monotonic() - begun
        table.append((suite, seconds, "ok" if result.failed == failed else "FAILED"))
        print(f"== suite {suite.name}: {table[-1][2]}, {seconds:.0f} s of {suite.budget} s", flush=True)
        if suite.name == "build" and result.failed != failed:
            break
    for what, lines in result.told:
        print(f"\n== failures of {what}")
        print("\n".join(line[:600] for line in lines))
    print()
    for suite, seconds, verdict in table:
        print(f"{suite.name:10} {verdict:6} {seconds:5.0f} s of {suite.budget} s{'   OVER BUDGET' if seconds > suite.budget else ''}")
    for problem in result.problems:
        print(f"failed: {problem}")
    whole = time.monotonic() - started
    if is_gate:
        print(f"gate       {'ok' if whole <= GATE_BUDGET else 'OVER BUDGET':6} {whole:5.0f} s of {GATE_BUDGET} s")
        with open(SECONDS_RECORD, "w", encoding="utf-8") as record:
            json.dump({suite.name: f"{seconds:.0f}" for suite, seconds, _ in table}, record)
    for part in LONG_PARTS.values():
        line = next((line for line in long_runs() if line.startswith(part)), f"{part}: never")
        print(f"make test-long, last run ({os.path.relpath(LONG_RECORD, ROOT)}): {line}")
    print(f"{result.passed} passed, {result.failed} failed, {result.skipped} skipped")
    return 1 if result.failed else 0


if __name__ == "__main__":
    sys.exit(main())
