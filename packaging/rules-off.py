#!/usr/bin/env python3
"""Switches off each rule of custody in turn, and shows that a test named by the rule fails then.

usage: rules-off.py [--target DIR] [RULE ...]     no rule: every rule that the fold asks

No program of ours has such a switch. This script copies the committed tree, edits the three doors of custody/src/rule.rs in the copy, and builds the
copy's tests. In the copy, a rule that EXHIBIT_RULE_OFF names lets everything pass. Where the rule yields a value that the next line reads (`must_have`,
`must_hold`), there is nothing to go on with: such a rule refuses without its number and its words.

A rule is *held* by a judge when its tests pass with the rule on, and at least one of them fails with it off. Exit codes: 0 every rule is held, 1 some are not.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SWITCH = "EXHIBIT_RULE_OFF"
# Who is asked: name, package, test program, letter of rules.md. Each rule with that letter must be held by the judge.
JUDGES = [
    ("the fold", "custody", "it", "M"),
]
# What each door does in the copy when its rule is off: the line before which this goes, and this.
DOORS = {
    "pub fn must(": "if off(rule) { return Ok(()); }",
    "pub fn must_have<": "if off(rule) && found.is_none() { return Err(Broken { rule, says: \"off\".to_owned() }); }",
    "pub fn must_hold<": "if off(rule) && result.is_err() { return Err(Broken { rule, says: \"off\".to_owned() }); }",
}
OFF = f"\nfn off(rule: RuleId) -> bool {{\n    std::env::var(\"{SWITCH}\").is_ok_and(|id| id == rule.as_str())\n}}\n"


def copy(folder):
    """The committed tree, with doors that can be opened."""
    tree = subprocess.Popen(["git", "-c", "safe.directory=*", "archive", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-xm", "-C", folder], stdin=tree.stdout, check=True)
    if tree.wait() != 0:
        raise SystemExit("rules-off: git archive failed")
    path = os.path.join(folder, "custody/src/rule.rs")
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    for door, first in DOORS.items():
        at = [number for number, line in enumerate(lines) if line.startswith(door)]
        if len(at) != 1 or not lines[at[0]].endswith("{"):
            raise SystemExit(f"rules-off: custody/src/rule.rs has no line `{door}… {{`; mend DOORS")
        lines.insert(at[0] + 1, first)
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + OFF)


def programs(folder, target):
    """The test program of each judge, by package."""
    packages = [word for _, package, _, _ in JUDGES for word in ("-p", package)]
    argv = ["cargo", "test", "--offline", "--locked", "--no-run", "--message-format=json", *packages, "-p", "features", "--tests"]
    env = dict(os.environ, CARGO_TARGET_DIR=target)
    built = subprocess.run(argv, cwd=folder, env=env, stdout=subprocess.PIPE, check=True, text=True).stdout
    found = {}
    for line in built.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["kind"] == ["test"]:
            package = os.path.basename(os.path.dirname(message["manifest_path"]))
            found[package, message["target"]["name"]] = message["executable"]
    return found


def rules(folder):
    """Id and letters of the rules that the fold asks, in the order of the specification."""
    with open(os.path.join(folder, "custody/src/rule.rs"), encoding="utf-8") as file:
        folded = set(re.findall(r'^    \w+ "([a-z]+-\d+)" Fold;$', file.read(), re.M))
    with open(os.path.join(folder, "docs/spec/rules.md"), encoding="utf-8") as file:
        rows = re.findall(r"^\| ([a-z]+-\d+) \|.*\| ([A-Z ]+) \|$", file.read(), re.M)
    return [(rule, letters.split()) for rule, letters in rows if rule in folded]


def run(program, room, names, off=None):
    """Names of the tests that failed."""
    env = {**os.environ, "RUST_BACKTRACE": "0", **({SWITCH: off} if off else {})}
    done = subprocess.run([program, "--exact", *names], cwd=room, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    verdicts = dict(re.findall(r"^test (\S+) \.\.\. (ok|FAILED)", done.stdout, re.M))
    if set(verdicts) != set(names):
        raise SystemExit(f"rules-off: {program} did not run {', '.join(sorted(set(names) - set(verdicts)))}:\n{done.stdout[-2000:]}")
    return [name for name, verdict in verdicts.items() if verdict == "FAILED"]


def judge(who, program, room, letter, wanted):
    """Lines about rules that this judge does not hold, and how many it does."""
    listed = subprocess.run([program, "--list"], cwd=room, stdout=subprocess.PIPE, check=True, text=True).stdout
    every = re.findall(r"^(\S+): test$", listed, re.M)
    held, wrong = 0, []
    for rule, letters in wanted:
        if letter not in letters:
            continue
        begins = rule.replace("-", "_") + "_"
        names = [name for name in every if name.rsplit("::", 1)[-1].startswith(begins)]
        if not names:
            wrong.append(f"{rule}: {who} has no test of that name")
        elif failed := run(program, room, names):
            wrong.append(f"{rule}: {', '.join(failed)} fails with the rule on")
        elif not run(program, room, names, off=rule):
            wrong.append(f"{rule}: nothing fails with the rule off: {', '.join(names)}")
        else:
            held += 1
    return held, wrong


def main():
    args = sys.argv[1:]
    target = None
    if args[:1] == ["--target"] and len(args) > 1:
        target, args = args[1], args[2:]
    if any(not re.fullmatch(r"[a-z]+-\d+", rule) for rule in args):
        print(__doc__, file=sys.stderr)
        return 64
    failed = 0
    with tempfile.TemporaryDirectory(prefix="exhibit-rules-off.") as scratch:
        os.chmod(scratch, 0o755)
        folder = os.path.join(scratch, "tree")
        os.mkdir(folder)
        copy(folder)
        found = programs(folder, target or os.path.join(scratch, "target"))
        wanted = [(rule, letters) for rule, letters in rules(folder) if not args or rule in args]
        for who, package, program, letter in JUDGES:
            held, wrong = judge(who, found[package, program], os.path.join(folder, package), letter, wanted)
            for line in wrong:
                print(f"rules-off: {line}", flush=True)
            print(f"rules-off: {who}: {held} rules held, {len(wrong)} not", flush=True)
            failed += len(wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
