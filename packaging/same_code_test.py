"""Tests of same-code.py: a changed comment is the same code, every other change is not."""
import importlib.util
import os
import unittest

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "same-code.py")
SPEC = importlib.util.spec_from_file_location("same_code", PATH)
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)


class Rust(unittest.TestCase):
    def same(self, one, two):
        return tool.rust(one) == tool.rust(two)

    def test_comments_and_layout_do_not_count(self):
        for text in ("fn a() { b(1, 2) }", "//! head\n/// doc\nfn a() { // why\n    b(\n        1,\n        2,\n    )\n}\n", "fn a() { /* x /* y */ fn z() {} */ b(1, 2) }"):
            self.assertTrue(self.same("fn a() { b(1, 2) }", text), text)

    def test_every_other_change_counts(self):
        base = 'fn a<\'x>(b: &\'x str) { c("// no comment", \'"\', r#"/* " */"#, 1) }'
        for old, new in (("// no", "//  no"), ("'\"'", "'q'"), ('/* " */', '/* "  */'), ("1)", "2)"), ("'x>", "'y>"), ("fn a", "fn  b")):
            self.assertIn(old, base)
            self.assertFalse(self.same(base, base.replace(old, new, 1)), old)

    def test_a_last_comma_counts_only_in_a_tuple(self):
        self.assertTrue(self.same("a(b,); c!(d,); [e,]", "a(b); c!(d); [e]"))
        self.assertFalse(self.same("let a = (b,);", "let a = (b);"))
        self.assertFalse(self.same("return (b,);", "return (b);"))

    def test_a_quote_in_a_character_begins_no_string(self):
        self.assertTrue(self.same("a('\"') // b\n", "a('\"')\n"))
        self.assertTrue(self.same("a('\\'') // b\n", "a('\\'')\n"))
        self.assertTrue(self.same("loop { 'a: b('\\u{e9}', b'\\\\') } // \"\n", "loop { 'a: b('\\u{e9}', b'\\\\') }\n"))
        self.assertFalse(self.same("a(b'x')", "a('x')"))

    def test_the_whole_tree_can_be_cut_into_tokens(self):
        for folder, _, names in os.walk(tool.ROOT):
            for name in (name for name in names if name.endswith(".rs") and not os.path.exists(os.path.join(folder, "CACHEDIR.TAG"))):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    tokens = tool.rust(file.read())
                # a string or a comment that was cut wrongly leaves brackets open
                for one, other in ("()", "[]", "{}"):
                    self.assertEqual(tokens.count(one), tokens.count(other), os.path.join(folder, name))


class Others(unittest.TestCase):
    def test_python_without_comments_and_docstrings(self):
        one = tool.python('"""Head."""\ndef a():\n    """Doc."""\n    return 1  # why\n')
        self.assertEqual(one, tool.python("def a():\n    return 1\n"))
        self.assertNotEqual(one, tool.python("def a():\n    return 2\n"))

    def test_scripts_without_comment_lines(self):
        one = tool.code("a.sh", "#!/bin/sh\n# why\necho '# no comment'\n")
        self.assertEqual(one, tool.code("a.sh", "#!/bin/sh\n\n  # because\necho '# no comment'\n"))
        self.assertNotEqual(one, tool.code("a.sh", "#!/bin/bash\necho '# no comment'\n"))
        self.assertNotEqual(one, tool.code("a.sh", "#!/bin/sh\necho '#  no comment'\n"))

    def test_of_a_document_only_the_blocks_count(self):
        one = tool.code("a.md", "text\n```sh\nmake\n```\n")
        self.assertEqual(one, tool.code("a.md", "other text\n```sh\nmake\n```\n"))
        self.assertNotEqual(one, tool.code("a.md", "text\n```sh\nmake demo\n```\n"))

    def test_of_anything_else_every_byte_counts(self):
        self.assertNotEqual(tool.code("a.proto", "// a\n"), tool.code("a.proto", "// b\n"))


if __name__ == "__main__":
    unittest.main()
