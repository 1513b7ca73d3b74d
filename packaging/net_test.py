"""Tests of net.py: a name or a verdict that goes is told, one that moved is followed."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import net  # noqa: E402


def folder(names="", moved="", verdicts="", changed=""):
    made = tempfile.TemporaryDirectory()
    for name, text in (("test-names.txt", names), ("moved-names.txt", moved), ("verdicts.txt", verdicts), ("changed-verdicts.txt", changed)):
        with open(os.path.join(made.name, name), "w", encoding="utf-8") as file:
            file.write("# head\n" + text)
    return made


def wrong_names(names, moved, today):
    with folder(names=names, moved=moved) as made:
        return list(net.names(made, set(today)))


def wrong_verdicts(verdicts, moved, today, changed=""):
    with folder(verdicts=verdicts, moved=moved, changed=changed) as made:
        return list(net.verdicts(made, today))


class Names(unittest.TestCase):
    def test_a_name_that_is_there_needs_no_line(self):
        self.assertEqual(wrong_names("barn.rs: a\n", "", ["barn.rs: a", "barn.rs: new"]), [])

    def test_a_name_that_is_gone_without_a_line_is_told(self):
        self.assertEqual(len(wrong_names("barn.rs: a\nbarn.rs: b\n", "", ["barn.rs: a"])), 1)

    def test_a_name_that_moved_is_looked_for_at_the_new_place(self):
        move = "barn.rs: a -> shed.rs: b, shed.rs: c (split)\n"
        self.assertEqual(wrong_names("barn.rs: a\n", move, ["shed.rs: b", "shed.rs: c"]), [])
        self.assertEqual(len(wrong_names("barn.rs: a\n", move, ["shed.rs: b"])), 1)

    def test_a_star_moves_a_folder_and_the_longest_line_wins(self):
        moved = "barn.rs: * -> shed.rs: * (moved)\nbarn.rs: cow::* -> pen.rs: * (moved)\nbarn.rs: cow::red -> pen.rs: blue (renamed)\n"
        names = "barn.rs: hen\nbarn.rs: cow::old\nbarn.rs: cow::red\n"
        self.assertEqual(wrong_names(names, moved, ["shed.rs: hen", "pen.rs: old", "pen.rs: blue"]), [])
        self.assertEqual(len(wrong_names(names, moved, ["shed.rs: hen", "shed.rs: cow::old", "pen.rs: blue"])), 1)

    def test_a_line_without_use_or_reason_is_told(self):
        self.assertEqual(len(wrong_names("barn.rs: a\n", "barn.rs: b -> barn.rs: a (why)\n", ["barn.rs: a"])), 1)
        with self.assertRaises(ValueError):
            wrong_names("barn.rs: a\n", "barn.rs: a -> barn.rs: b\n", [])


class Verdicts(unittest.TestCase):
    base = "      2 forged::a: exhibit-verify 1 custody, seals\n      1 forged::a: verify.sh 1\n"
    today = ["forged::a: exhibit-verify 1 custody, seals\n"] * 2 + ["forged::a: verify.py 1\n"]

    def test_the_successor_of_verify_sh_owes_its_verdicts(self):
        self.assertEqual(len(wrong_verdicts(self.base, "", [line.replace("verify.py", "verify.sh") for line in self.today])), 1)

    def test_the_same_and_more_is_good(self):
        self.assertEqual(wrong_verdicts(self.base, "", self.today), [])
        self.assertEqual(wrong_verdicts(self.base, "", [*self.today, "forged::b: verify.py 0\n", *self.today]), [])

    def test_another_verdict_is_told(self):
        self.assertEqual(len(wrong_verdicts(self.base, "", [line.replace("custody, seals", "seals") for line in self.today])), 1)
        self.assertEqual(len(wrong_verdicts(self.base, "", [line.replace("verify.py 1", "verify.py 0") for line in self.today])), 1)

    def test_a_verdict_that_was_meant_to_change_is_due_as_it_is_now(self):
        changed = "1 forged::a: verify.py 1 -> verify.py 2 (it cannot check that any more)\n"
        self.assertEqual(len(wrong_verdicts(self.base, "", self.today, changed)), 1)
        self.assertEqual(wrong_verdicts(self.base, "", [line.replace("verify.py 1", "verify.py 2") for line in self.today], changed), [])
        with self.assertRaises(ValueError):
            wrong_verdicts(self.base, "", self.today, changed.replace("1 forged", "2 forged"))

    def test_fewer_are_told(self):
        self.assertEqual(len(wrong_verdicts(self.base, "", self.today[1:])), 1)

    def test_a_test_that_is_gone_is_told_and_one_that_moved_is_followed(self):
        moved = [line.replace("forged::a", "table::b") for line in self.today]
        self.assertEqual(len(wrong_verdicts(self.base, "", moved)), 2)
        move = f"{net.VERIFIERS_AT_BASE}: forged::a -> {net.VERIFIERS}: table::b (a row of a table)\n"
        self.assertEqual(wrong_verdicts(self.base, move, moved), [])

    def test_tests_that_became_one_have_the_verdicts_of_all(self):
        base = self.base + "      1 forged::c: verify.sh 1\n"
        moves = "".join(f"{net.VERIFIERS_AT_BASE}: forged::{one} -> {net.VERIFIERS}: table::b (a row of a table)\n" for one in "ac")
        moved = [line.replace("forged::a", "table::b") for line in self.today]
        self.assertEqual(len(wrong_verdicts(base, moves, moved)), 1)
        self.assertEqual(wrong_verdicts(base, moves, [*moved, "table::b: verify.py 1\n"]), [])


if __name__ == "__main__":
    unittest.main()
