#!/usr/bin/env python3
"""verify.py is what its head says: short, one function a rule, for Python 3.9. Its verdicts are tested below verify/tests."""
import ast
import os
import re
import statistics
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
OLDEST = (3, 9)
# What came to the standard library after the oldest Python; verify.py may not name it.
LATER = {"batched", "bit_count", "ExceptionGroup", "file_digest", "pairwise", "StrEnum", "tomllib", "UTC"}


def read(*path):
    with open(os.path.join(HERE, *path), encoding="utf-8") as file:
        return file.read()


def rules(text):
    """Id and letters of each row of rules.md."""
    rows = (re.fullmatch(r"\| ([a-z]+-[0-9]+) \| .+ \| ([A-Z ]+) \|", line) for line in text.split("\n"))
    return {row[1]: row[2].split() for row in rows if row}


class Shape(unittest.TestCase):
    def setUp(self):
        self.text = read("verify.py")
        self.tree = ast.parse(self.text, feature_version=OLDEST)
        self.functions = [node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef)]
        self.rules = rules(read("..", "docs", "spec", "rules.md"))

    def test_it_has_at_most_2500_lines_of_at_most_110_columns(self):
        lines = self.text.split("\n")
        self.assertLessEqual(len(lines) - 1, 2500)
        self.assertEqual([number for number, line in enumerate(lines, 1) if len(line) > 110], [])

    def test_half_of_its_functions_have_at_most_25_lines(self):
        lengths = [function.end_lineno - function.lineno + 1 for function in self.functions]
        self.assertLessEqual(statistics.median(lengths), 25)

    def test_each_rule_that_a_verifier_asks_is_a_function_and_no_other_is(self):
        families = "|".join({number.partition("-")[0] for number in self.rules})
        named = {function.name.replace("_", "-") for function in self.functions
                 if re.fullmatch(f"({families})_[0-9]+", function.name)}
        asked = {number for number, letters in self.rules.items() if "V" in letters}
        self.assertGreater(len(asked), 100)
        self.assertEqual(named, asked)
        # The names that the program takes for rules are these.
        pattern = re.search(r'"\((?P<families>[a-z|"\s]+)\)_\[0-9\]\+"', self.text)
        self.assertLessEqual({number.partition("-")[0] for number in asked}, set(re.findall("[a-z]+", pattern["families"])))

    def test_it_runs_under_the_oldest_python_that_its_head_names(self):
        self.assertIn(f"Python {OLDEST[0]}.{OLDEST[1]} or later", ast.get_docstring(self.tree))
        for node in ast.walk(self.tree):
            name = getattr(node, "attr", getattr(node, "id", ""))
            self.assertNotIn(name, LATER)
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "zip":
                self.assertEqual(node.keywords, [])
            self.assertNotIsInstance(node, getattr(ast, "Match", ()))

    def test_each_python_of_this_machine_verifies_the_worked_example(self):
        vector = os.path.join(HERE, "..", "docs", "spec", "vectors", "bundle")
        for python in [sys.executable, *(f"python3.{minor}" for minor in range(OLDEST[1], 20))]:
            try:
                subprocess.run([python, "--version"], check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError):
                continue  # not on this machine
            words = [python, os.path.join(HERE, "verify.py"), os.path.join(vector, "bundle"), os.path.join(vector, "trust")]
            done = subprocess.run(words, capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout.split("\n")[-2]), (0, "VERIFIED with stock tools"), python)

    def test_its_head_says_what_it_does_not_check(self):
        self.assertIn("\nWhat it leaves ", ast.get_docstring(self.tree))


if __name__ == "__main__":
    unittest.main()
