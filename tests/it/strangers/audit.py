"""Reads a ledger of ours with aics-tlog, which knows nothing of us: checkpoint under the pinned key, every tile and bundle, inclusion,
consistency with an older checkpoint. usage: audit.py LEDGER VKEY [OLDER_CHECKPOINT]; exit 0 when all of it holds."""
import sys
from pathlib import Path

from aics_tlog import (FileSystemTileReader, VerifiedTileReader, audit_tiles, consistency_proof_from_tiles, inclusion_proof_from_tiles,
                       leaf_hash, parse_note, parse_vkey, read_entry, verify_checkpoint, verify_consistency, verify_inclusion)


def head(path, key):
    result = verify_checkpoint(parse_note(Path(path).read_bytes()), key, expected_origin=key.name)
    if not result.ok:
        sys.exit(f"checkpoint refused: {result.error}")
    return result


ledger, key = Path(sys.argv[1]), parse_vkey(sys.argv[2])
newest = head(ledger / "checkpoint", key)
reader = FileSystemTileReader(ledger)
report = audit_tiles(reader, newest.size, newest.root)
verified = VerifiedTileReader(reader, newest.size, newest.root)
proven = 0
for index in sorted({0, 1, 255, 256, 257, 65535, 65536, newest.size // 2, newest.size - 1} & set(range(newest.size))):
    proof = inclusion_proof_from_tiles(verified, index, newest.size)
    if not verify_inclusion(leaf_hash(read_entry(verified, index, newest.size)), index, newest.size, proof, newest.root):
        sys.exit(f"entry {index} is not proven")
    proven += 1
older = 0
if len(sys.argv) > 3:
    old = head(sys.argv[3], key)
    older = old.size
    proof = consistency_proof_from_tiles(verified, older, newest.size)
    if not verify_consistency(older, newest.size, old.root, newest.root, proof):
        sys.exit("the older checkpoint is not continued")
print(f"aics-tlog: size {report.size}, {report.tiles} tiles, {report.bundles} bundles, {proven} entries proven, continues size {older}")
