"""Compares the tests of today with the records in tests/net: no test goes without a word, no verdict changes.

test-names.txt   every test of the base, `SOURCE: NAME`
verdicts.txt     how often, in which test, each verifier gave which verdict at the base; what it says of verify.sh is due of verify.py, its successor
changed-verdicts.txt  `TIMES TEST: OLD VERDICT -> NEW VERDICT (why)`: a verdict that was meant to change
moved-names.txt  `OLD -> NEW[, NEW] (why)`: where a name of the base went. `*` at the end of both sides stands for the same rest. The longest OLD wins.

Numbers only grow: a test may be added, and a forgery may be put to the verifiers once more, never once less.
"""
import collections
import os
import re
from typing import NamedTuple

MOVE = re.compile(r"(?P<old>.+?) -> (?P<new>.+?) \((?P<why>[^()].*)\)$")
VERDICT = re.compile(r" *(?P<times>\d+) (?P<test>[^ ]+): (?P<verdict>.+)$")
VERIFIERS = "verify/tests/it/main.rs"  # where the tests of verdicts.txt are today
VERIFIERS_AT_BASE = "cli/verify/tests/it/main.rs"


class Move(NamedTuple):
    old: str
    new: tuple
    line: str

    def leads(self, name):
        """Where the move takes a name; None when it does not speak of it."""
        if not self.old.endswith("*"):
            return self.new if name == self.old else None
        if not name.startswith(self.old[:-1]):
            return None
        rest = name[len(self.old) - 1:]
        return tuple(new[:-1] + rest if new.endswith("*") else new for new in self.new)


def lines(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return [line.rstrip("\n") for line in file if line.strip() and not line.startswith("#")]


def moves(folder):
    """The moves, the longest old name first."""
    found = []
    for line in lines(folder, "moved-names.txt"):
        parts = MOVE.match(line)
        if parts is None:
            raise ValueError(f"tests/net/moved-names.txt: not `OLD -> NEW (why)`: {line}")
        found.append(Move(parts["old"], tuple(parts["new"].split(", ")), line))
    return sorted(found, key=lambda move: (move.old.endswith("*"), -len(move.old)))


def names(folder, today):
    """What is wrong with the names of today, a set of `SOURCE: NAME`."""
    base, known = lines(folder, "test-names.txt"), moves(folder)
    used = set()
    for name in base:
        if name in today:
            continue
        move = next((move for move in known if move.leads(name)), None)
        if move is None:
            yield f"the test {name} is gone; if it moved, say where in tests/net/moved-names.txt"
            continue
        used.add(move)
        for new in move.leads(name):
            if new not in today:
                yield f"the test {name} is gone: it should be {new} (tests/net/moved-names.txt), which does not exist"
    for move in known:
        if move not in used:
            yield f"tests/net/moved-names.txt: no name of the base needs the line `{move.line}`"


CHANGED = re.compile(r" *(?P<times>\d+) (?P<test>[^ ]+): (?P<old>.+?) -> (?P<new>.+?) \((?P<why>[^()].*)\)$")


def verdicts_due(folder):
    """How often each verdict is due in each test of the base, (test, verdict): the record, and what was meant to change."""
    due = collections.Counter()
    for line in lines(folder, "verdicts.txt"):
        parts = VERDICT.match(line)
        verdict = re.sub(r"^verify\.sh\b", "verify.py", parts["verdict"].strip())
        due[parts["test"], verdict] += int(parts["times"])
    for line in lines(folder, "changed-verdicts.txt"):
        parts = CHANGED.match(line)
        if parts is None or due[parts["test"], parts["old"]] < int(parts["times"]):
            raise ValueError(f"tests/net/changed-verdicts.txt: no verdict of the base: {line}")
        due[parts["test"], parts["old"]] -= int(parts["times"])
        due[parts["test"], parts["new"]] += int(parts["times"])
    return due


def counted(found):
    """How often each (test, verdict) stands in lines of a recording."""
    return collections.Counter(tuple(line.strip().split(": ", 1)) for line in found if line.strip())


def verdicts(folder, found):
    """What is wrong with the verdicts of today, lines `TEST: VERIFIER CODE CHECKS` as EXHIBIT_VERDICTS records them."""
    today, known = counted(found), moves(folder)
    due = collections.Counter()
    said = {}
    for (test, verdict), times in verdicts_due(folder).items():
        homes = [test]
        if not any(one == test for one, _ in today):
            old = f"{VERIFIERS_AT_BASE}: {test}"
            move = next((move for move in known if move.leads(old)), None)
            homes = [new.removeprefix(f"{VERIFIERS}: ") for new in move.leads(old)] if move else []
        if not homes:
            yield f"no verdict of {test} was recorded; if it moved, say where in tests/net/moved-names.txt"
            continue
        # Several old tests may have become one, and one old test several.
        key = (tuple(homes), verdict)
        due[key] += times
        said.setdefault(key, []).append(test)
    for (homes, verdict), times in due.items():
        got = sum(today[home, verdict] for home in homes)
        if got < times:
            yield f"verdicts: {' and '.join(sorted(set(said[homes, verdict])))}: `{verdict}` {got} times, {times} at the base (tests/net/verdicts.txt)"
