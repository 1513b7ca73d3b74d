#!/usr/bin/env python3
"""Proves that a commit changed comments and documents only: strips the comments of every changed file and compares what is left.

usage: same-code.py [OLD [NEW]]     OLD: a commit, default HEAD^; NEW: a commit, default HEAD; `--` for NEW: the working tree

Rust is compared by tokens, so that rewrapped code is the same code; Python by syntax tree without docstrings; shell, TOML, units and Makefiles
line by line without lines that are a comment. Markdown is a document, except for its fenced blocks, which tests run.
Any other file must be the same byte for byte. A doc comment on a clap field is help text: suite `journey` compares its structure with tests/net.
Exit 0: the same code. Exit 1: names the files that differ. Exit 2: could not compare.
"""
import ast
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

RUST = re.compile(
    r"""(?P<comment>//[^\n]*)
      | (?P<block>/\*)
      | (?P<blank>\s+)
      | (?P<raw>\b(?:br|cr|r)(?P<hashes>\#*)".*?"(?P=hashes))
      | (?P<string>\b[bc]?"(?:\\.|[^"\\])*"|"(?:\\.|[^"\\])*")
      | (?P<character>\bb?'(?:\\(?:x[0-9a-fA-F]{2}|u\{[0-9a-fA-F_]+\}|.)|[^'\\\n])'|'(?:\\(?:x[0-9a-fA-F]{2}|u\{[0-9a-fA-F_]+\}|.)|[^'\\\n])')
      | (?P<word>(?:r\#)?\w+)
      | (?P<mark>.)""",
    re.VERBOSE | re.DOTALL,
)


# Before these a bracket opens arguments; behind a keyword it opens a tuple, in which the last comma may mean something: `(a,)`.
KEYWORDS = {"as", "break", "else", "if", "in", "let", "match", "move", "mut", "ref", "return", "while"}


def rust(text):
    """The tokens of Rust source without comments, and without the comma that rustfmt puts behind the last of some lines."""
    found, at, opened = [], 0, []
    while at < len(text):
        part = RUST.match(text, at)
        at = part.end()
        if part["block"]:
            at = end_of_block_comment(text, part.start())
        elif not part["comment"] and not part["blank"]:
            token = part.group(0)
            if token in "([{":
                before = found[-1] if found else ""
                opened.append(token != "(" or before in (">", "!", ")", "]") or (before[-1:].isidentifier() and before not in KEYWORDS))
            elif token in ")]}" and opened and opened.pop() and found[-1] == ",":
                found.pop()
            found.append(token)
    return found


def end_of_block_comment(text, begin):
    """Block comments nest in Rust."""
    depth = 0
    for mark in re.finditer(r"/\*|\*/", text[begin:]):
        depth += 1 if mark.group(0) == "/*" else -1
        if depth == 0:
            return begin + mark.end()
    return len(text)


def python(text):
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def without_comment_lines(text):
    lines = [line.rstrip() for line in text.split("\n")]
    # the first line of a script is no comment
    return lines[:1] * text.startswith("#!") + [line for line in lines if line and not line.lstrip().startswith("#")]


def markdown(text):
    """The fenced blocks."""
    return re.findall(r"^```.*?^```$", text, re.M | re.S)


def code(path, text):
    """What a file is without its comments, in a form that can be compared."""
    name = os.path.basename(path)
    if name.endswith(".rs"):
        return rust(text)
    if name.endswith(".py"):
        return python(text)
    if name.endswith(".md"):
        return markdown(text)
    if name == "Makefile" or name.endswith((".sh", ".toml", ".service")):
        return without_comment_lines(text)
    return text


def git(*argv):
    return subprocess.run(["git", *argv], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout


def changed(old, new):
    """(path before, path after); a renamed file is no comment, and is told as one that came and one that went."""
    against = [old] if new is None else [old, new]
    return git("diff", "--name-only", "--no-renames", "-z", *against).decode().split("\0")[:-1]


def content(commit, path):
    try:
        if commit is None:
            with open(os.path.join(ROOT, path), "rb") as file:
                return file.read().decode()
        return git("show", f"{commit}:{path}").decode()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None


def judge(old, new):
    """Paths whose code differs, each with what is wrong."""
    for path in changed(old, new):
        before, after = content(old, path), content(new, path)
        if path.endswith(".md") and (before is None or after is None):
            continue
        if before is None or after is None:
            yield f"{path}: {'came' if before is None else 'went'}"
        elif code(path, before) != code(path, after):
            yield f"{path}: differs in more than comments"


def main():
    old, new = (sys.argv[1:] + ["HEAD^", "HEAD"][len(sys.argv) - 1:])[:2]
    new = None if new == "--" else new
    try:
        files = changed(old, new)
        wrong = list(judge(old, new))
    except (subprocess.CalledProcessError, SyntaxError, UnicodeDecodeError) as error:
        print(f"same-code: cannot compare {old} and {new or 'the working tree'}: {error}", file=sys.stderr)
        return 2
    for line in wrong:
        print(line)
    print(f"same-code: {len(files)} files changed, {len(wrong)} differ in more than comments")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
