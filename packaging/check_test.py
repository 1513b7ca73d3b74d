"""Tests of check.py: it finds the rooms that changed, and compiles no third-party crate with other features than the workspace does."""
import importlib.util
import os
import subprocess
import unittest

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "check.py")
SPEC = importlib.util.spec_from_file_location("check", PATH)
check = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(check)


def features(*selected):
    """Every crate with its features, as cargo compiles it for these packages."""
    out = subprocess.run(["cargo", "tree", "--locked", *selected, "-e", "normal,dev", "-f", "{p} {f}", "--prefix", "none"], cwd=check.ROOT,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, text=True).stdout
    return {line.removesuffix(" (*)") for line in out.splitlines()}


class Check(unittest.TestCase):
    def test_the_hub_gives_each_room_the_features_of_the_workspace(self):
        whole = features("--workspace")
        for package in check.rooms().values():
            other = features("-p", package["name"], "-p", check.HUB) - whole
            self.assertEqual(other, set(), f"{package['name']}: add what brings these to tests/features/Cargo.toml")

    def test_a_file_belongs_to_the_deepest_room(self):
        known = check.rooms()
        self.assertEqual(check.changed_rooms(known, ["tests/house/src/lib.rs", "server/src/lib.rs", "README.md"]), {"tests/house", "server"})

    def test_each_long_test_is_there(self):
        rust = check.said("git", "grep", "-hE", r"^ *(pub(\([a-z]+\))? )?(async )?(fn|mod) ", "--", "*.rs")
        for name in check.LONG:
            last = name.rstrip(":").split("::")[-1]
            self.assertRegex(rust, rf"\b(fn|mod) {last}\b", "a test of LONG that no longer exists hides nothing: take it out")

    def test_every_room_has_a_place_for_a_line_and_tests(self):
        for folder, package in check.rooms().items():
            with open(check.source(package)[1], encoding="utf-8") as file:
                text = file.read()
            self.assertEqual(len(check.with_a_line(text)), len(text) + len("const _: () = ();\n"), folder)
            self.assertTrue(any(argv[1] == "test" and package["name"] in argv for argv in check.steps([package])), folder)

    def test_clippy_asks_for_a_library_only_where_a_room_has_one(self):
        known = check.rooms()
        for folder, asked in (("cli", False), ("evidence", True)):
            clippy = next(argv for argv in check.steps([known[folder]]) if argv[1] == "clippy")
            self.assertEqual("--lib" in clippy, asked, folder)

    def test_a_line_goes_where_no_comment_hangs_on_the_next_item(self):
        self.assertEqual(check.with_a_line("//! Head.\n\n/// Doc.\nmod a;\n\nmod b;\n"), "//! Head.\n\n/// Doc.\nmod a;\n\nconst _: () = ();\nmod b;\n")


if __name__ == "__main__":
    unittest.main()
