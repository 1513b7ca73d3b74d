"""Tests of run-tests.py: the rules by which a silent hole becomes a failure."""
import importlib.util
import io
import os
import subprocess
import sys
import tempfile
import unittest
from contextlib import redirect_stdout
from unittest import mock

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "run-tests.py")
SPEC = importlib.util.spec_from_file_location("run_tests", PATH)
runner = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(runner)


def executable(package, target="it"):
    return runner.Executable(package, target, f"{package}/src/lib.rs", "/nonexistent", "/")


def ran(script, who="user", package="agent"):
    """What the runner makes of an executable that is this shell script."""
    suite = runner.Suite("barn", who, 10, 0, [package])
    result = runner.Result()
    with tempfile.TemporaryDirectory() as logs, mock.patch.object(runner, "LOGS", logs), mock.patch.object(runner, "CI", True), redirect_stdout(io.StringIO()):
        count = runner.run_executable(result, suite, executable(package)._replace(directory=logs), ["sh", "-c", script], dict(os.environ))
    return count, result


class Rules(unittest.TestCase):
    def test_every_spelling_of_a_skip_counts(self):
        for line in ("SKIPPED name: why", "skipped: name", "skipped without tool: name", "not run: no tool", "Not run, no tool", "Skipping name"):
            self.assertTrue(runner.SKIP.match(line), line)
        for line in ("tried: a file that was skipped", "test skipped_policy ... ok", "skipped_policy for 5 ways"):
            self.assertFalse(runner.SKIP.match(line), line)

    def test_needs_root_is_no_hole_only_where_a_root_suite_runs_this_test(self):
        self.assertTrue(runner.another_suite_runs_it("user", "agent", "a::b", "SKIPPED x: needs root"))
        self.assertFalse(runner.another_suite_runs_it("user", "ledger", "a::b", "SKIPPED x: needs root"))
        self.assertTrue(runner.another_suite_runs_it("root", "agent", "a::b", "SKIPPED x: needs no root"))
        self.assertFalse(runner.another_suite_runs_it("root", "system-tests", "journey::a", "SKIPPED x: needs no root"))
        self.assertFalse(runner.another_suite_runs_it("user", "agent", "a::b", "SKIPPED x: no such tool"))
        # suite unit-root leaves this module to suite unit
        self.assertFalse(runner.another_suite_runs_it("user", "server", "log::ledger::tests::model::a", "SKIPPED x: needs root"))

    def test_a_skip_is_judged_by_the_test_that_said_it(self):
        tail = "echo 'test result: ok. 1 passed; 0 failed; 0 ignored;'"
        _, result = ran(f"echo '---- a::b stdout ----'; echo 'SKIPPED b: needs root'; {tail}")
        self.assertEqual((result.failed, result.skipped), (0, 0))
        _, result = ran(f"echo '---- log::ledger::tests::model::b stdout ----'; echo 'SKIPPED b: needs root'; {tail}", package="server")
        self.assertEqual(result.failed, 1)

    def test_an_executable_without_a_result_line_fails(self):
        count, result = ran("exit 0")
        self.assertEqual((count, result.passed, result.failed), (0, 0, 1))
        self.assertIn("no result line", result.problems[0])
        count, result = ran("echo 'test result: ok. 2 passed; 0 failed; 0 ignored;'")
        self.assertEqual((count, result.passed, result.failed), (2, 2, 0))
        count, result = ran("echo 'test result: FAILED. 2 passed; 1 failed; 0 ignored;'; exit 101")
        self.assertEqual((count, result.passed, result.failed), (3, 2, 1))
        count, result = ran("echo 'test result: ok. 2 passed; 0 failed; 0 ignored;'; exit 1")
        self.assertEqual(result.failed, 1)

    def test_no_variable_that_makes_a_test_play_another_process_reaches_a_test(self):
        with mock.patch.dict(os.environ, {"EXHIBIT_CAGE_PROBE": "x", "EXHIBIT_CAGE_CHILD": "x", "EXHIBIT_VERDICTS": "x", "EXHIBIT_LOG": "x"}):
            env = runner.environment()
        self.assertEqual([name for name in env if "PROBE" in name or "CHILD" in name or "VERDICTS" in name], [])
        self.assertEqual(env["EXHIBIT_LOG"], "x")

    def test_a_test_that_no_suite_runs_is_named(self):
        found = [executable("system-tests"), executable("barn")]
        names = {"system-tests": ["journey::a", "orphan::b", "orphan::c"], "barn": ["d::e"]}
        with mock.patch.object(runner, "EXECUTABLES", found), mock.patch.object(runner, "listed", lambda one: names[one.package]):
            problems = list(runner.unassigned())
        self.assertEqual(len(problems), 2, problems)
        self.assertIn("no suite runs orphan of system-tests", problems[0])
        self.assertIn("no suite runs d of barn", problems[1])

    def test_an_ignored_test_is_named_unless_it_is_a_long_one(self):
        names = {"--ignored": [runner.LONG_TESTS[0].split(": ")[1], "journey::a"]}
        one = executable("exhibit-verify")._replace(source=runner.LONG_TESTS[0].split(": ")[0])
        with mock.patch.object(runner, "EXECUTABLES", [one]), mock.patch.object(runner, "listed", lambda _, more=(): names[more[0]]):
            problems = list(runner.ignored())
        self.assertEqual(len(problems), 1, problems)
        self.assertIn("journey::a", problems[0])

    def test_a_suite_below_its_minimum_fails_whether_or_not_something_was_skipped(self):
        suite = runner.Suite("barn", "any", 10, 3, ["barn"])

        def failed(count, skipped):
            def fake(result, *_):
                result.passed += count
                result.skipped += skipped
                return count
            result = runner.Result()
            with mock.patch.object(runner, "EXECUTABLES", [executable("barn")]), mock.patch.object(runner, "run_executable", fake):
                runner.tests(result, suite)
            return result.failed
        # A test that says that it was skipped is among those that ran: three with one skip are enough, two are not.
        self.assertEqual([failed(3, 0), failed(3, 1), failed(2, 0), failed(0, 0), failed(2, 1)], [0, 0, 1, 1, 1])

    def test_examples_in_documentation_have_a_minimum_too(self):
        suite = runner.Suite("doc", "any", 10, 1, [])

        def failed(text):
            done = mock.Mock(stdout=text, returncode=0)
            result = runner.Result()
            with mock.patch.object(runner.subprocess, "run", lambda *_, **__: done), redirect_stdout(io.StringIO()):
                runner.doctests(result, suite)
            return result.failed
        self.assertEqual(failed("test result: ok. 1 passed; 0 failed; 0 ignored;\n"), 0)
        self.assertEqual(failed("test result: ok. 0 passed; 0 failed; 0 ignored;\n"), 1)

    def test_the_table_of_suites_may_hold_other_seconds_and_nothing_else(self):
        page = f"text\n\n{runner.table_of_suites({'lint': '12'})}\n\ntext"
        self.assertEqual(runner.seconds_in(page)["lint"], "12")
        self.assertIsNone(runner.seconds_in(page.replace(f"| {runner.SUITES[0].budget} |", "| 2001 |")))

    def test_a_skip_fails_in_ci_but_for_those_that_are_named(self):
        with mock.patch.object(runner, "CI", True), redirect_stdout(io.StringIO()):
            result = runner.Result()
            result.skip("journey: x", "said by the test")
            result.skip(runner.MAY_BE_SKIPPED[0] + ": not set", "said by the test")
        self.assertEqual((result.failed, result.skipped), (1, 1))

    def test_tools_are_looked_for_where_they_are_installed(self):
        here = os.path.dirname(PATH)
        for cache in ({}, {"XDG_CACHE_HOME": "/a"}, {"EXHIBIT_CACHE": "/b"}, {"EXHIBIT_CACHE": "/b", "XDG_CACHE_HOME": "/a"}):
            env = {name: value for name, value in os.environ.items() if name not in ("EXHIBIT_CACHE", "XDG_CACHE_HOME")}
            env.update(cache)
            ask = "import importlib.util, sys; s = importlib.util.spec_from_file_location('r', sys.argv[1]); m = importlib.util.module_from_spec(s); s.loader.exec_module(m); print(m.TOOLS)"
            looked = subprocess.run([sys.executable, "-c", ask, PATH], env=env, stdout=subprocess.PIPE, check=True, text=True).stdout
            installed = subprocess.run(["sh", os.path.join(here, "test-deps.sh"), "--list"], env=env, stdout=subprocess.PIPE, check=True, text=True).stdout
            self.assertEqual(f"into: {looked.strip()}", installed.splitlines()[0], cache)

    def test_the_budgets_together_are_the_gates(self):
        self.assertLessEqual(sum(suite.budget for suite in runner.SUITES), runner.GATE_BUDGET)


if __name__ == "__main__":
    unittest.main()
