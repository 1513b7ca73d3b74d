"""Tests of run-tests.py: the rules by which a silent hole becomes a failure."""
import importlib.util
import io
import os
import unittest
from contextlib import redirect_stdout
from unittest import mock

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "run-tests.py")
SPEC = importlib.util.spec_from_file_location("run_tests", PATH)
runner = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(runner)


def executable(package, target="it"):
    return runner.Executable(package, target, "/nonexistent", "/")


class Rules(unittest.TestCase):
    def test_every_spelling_of_a_skip_counts(self):
        for line in ("SKIPPED name: why", "skipped: name", "skipped without tool: name", "not run: no tool", "Not run, no tool", "Skipping name"):
            self.assertTrue(runner.SKIP.match(line), line)
        for line in ("tried: a file that was skipped", "test skipped_policy ... ok", "skipped_policy for 5 ways"):
            self.assertFalse(runner.SKIP.match(line), line)

    def test_needs_root_is_no_hole_only_where_a_root_suite_runs_the_package(self):
        self.assertTrue(runner.another_suite_runs_it("user", "agent", "SKIPPED x: needs root"))
        self.assertFalse(runner.another_suite_runs_it("user", "ledger", "SKIPPED x: needs root"))
        self.assertTrue(runner.another_suite_runs_it("root", "agent", "SKIPPED x: needs no root"))
        self.assertFalse(runner.another_suite_runs_it("root", "system-tests", "SKIPPED x: needs no root"))
        self.assertFalse(runner.another_suite_runs_it("user", "agent", "SKIPPED x: no such tool"))

    def test_a_test_that_no_suite_runs_is_named(self):
        found = [executable("system-tests"), executable("barn")]
        names = {"system-tests": ["journey::a", "orphan::b", "orphan::c"], "barn": ["d::e"]}
        with mock.patch.object(runner, "EXECUTABLES", found), mock.patch.object(runner, "listed", lambda one: names[one.package]):
            problems = list(runner.unassigned())
        self.assertEqual(len(problems), 2, problems)
        self.assertIn("no suite runs orphan of system-tests", problems[0])
        self.assertIn("no suite runs d of barn", problems[1])

    def test_a_suite_below_its_minimum_fails_and_a_skipped_one_does_not(self):
        suite = runner.Suite("barn", "any", 10, 3, ["barn"])

        def ran(passed, skipped):
            def fake(result, *_):
                result.passed += passed
                result.skipped += skipped
            result = runner.Result()
            with mock.patch.object(runner, "EXECUTABLES", [executable("barn")]), mock.patch.object(runner, "run_executable", fake):
                runner.tests(result, suite)
            return result.failed
        self.assertEqual([ran(3, 0), ran(2, 0), ran(0, 0), ran(2, 1)], [0, 1, 1, 0])

    def test_a_skip_fails_in_ci_but_for_those_that_are_named(self):
        with mock.patch.object(runner, "CI", True), redirect_stdout(io.StringIO()):
            result = runner.Result()
            result.skip("journey: x", "said by the test")
            result.skip(runner.MAY_BE_SKIPPED[0] + ": not set", "said by the test")
        self.assertEqual((result.failed, result.skipped), (1, 1))

    def test_the_budgets_together_are_the_gates(self):
        self.assertLessEqual(sum(suite.budget for suite in runner.SUITES), runner.GATE_BUDGET)


if __name__ == "__main__":
    unittest.main()
