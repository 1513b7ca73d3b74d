#!/usr/bin/env python3
"""Print a bodyfile of one collection: one line per file, with the times that the endpoint's kernel reported before the file was read.

usage: bodyfile.py BUNDLE/evidence/COLLECTION > bodyfile

The lines are MD5|name|inode|mode|uid|gid|size|atime|mtime|ctime|crtime, as mactime and plaso read them. The first column is 0: Exhibit
records SHA-256. The script reads the item records in the seals and verifies nothing. Run exhibit-verify first. Needs zstd.
"""
import glob
import json
import os
import signal
import stat
import subprocess
import sys

signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # like cat: ends quietly when head has seen enough


def records(seal):
    """The item records of one seal: the header's `records_len` says how long the compressed part at the end is."""
    with open(seal, "rb") as file:
        header = json.loads(file.readline())
        file.seek(-header["records_len"], os.SEEK_END)
        packed = file.read()
    plain = subprocess.run(["zstd", "-dcq"], input=packed, stdout=subprocess.PIPE, check=True).stdout
    return [json.loads(line) for line in plain.splitlines()]


def line(record):
    before = record["before"]
    seconds = [before[name].split(".")[0] if before[name] else "0" for name in ("atime", "mtime", "ctime", "btime")]
    name = record["shown"].replace("|", "\\x7c")
    mode = "r/" + stat.filemode(before["mode"])
    return "|".join(["0", name, before["ino"], mode, str(before["uid"]), str(before["gid"]), before["size"], *seconds])


if len(sys.argv) != 2:
    sys.exit(__doc__)
items = {}
for seal in sorted(glob.glob(os.path.join(glob.escape(sys.argv[1]), "seals", "*.seal"))):
    for record in records(seal):
        items[record["n"]] = record  # the record of an item that goes on in the next segment comes again there
if not items:
    sys.exit(f"bodyfile.py: {sys.argv[1]} holds no seals. Name a folder BUNDLE/evidence/COLLECTION of a whole bundle")
for record in items.values():
    if record.get("before"):
        print(line(record))
