// Reads a ledger of ours with golang.org/x/mod/sumdb, which knows nothing of us: note.Open under the pinned key, tlog.TileHashReader over the
// tiles, CheckRecord for entries of the bundles, CheckTree against an older checkpoint.
// usage: reader LEDGER VKEY [OLDER_CHECKPOINT]; exit 0 when all of it holds.
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The go.sum database names the tile height in its paths (tile/8/L/N) and calls bundles "data"; C2SP tlog-tiles does not.
type tiles struct{ folder string }

func (t tiles) Height() int { return 8 }

func (t tiles) read(tile tlog.Tile) ([]byte, error) {
	path := strings.Replace(tile.Path(), "tile/8/data/", "tile/entries/", 1)
	return os.ReadFile(filepath.Join(t.folder, strings.Replace(path, "tile/8/", "tile/", 1)))
}

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range wanted {
		data, err := t.read(tile)
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func fail(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

func head(path, vkey string) tlog.Tree {
	verifier, err := note.NewVerifier(vkey)
	fail("key", err)
	message, err := os.ReadFile(path)
	fail("checkpoint", err)
	opened, err := note.Open(message, note.VerifierList(verifier))
	fail("note.Open", err)
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		fail("checkpoint", fmt.Errorf("%q", opened.Text))
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	fail("size", err)
	hash, err := tlog.ParseHash(lines[2])
	fail("root", err)
	return tlog.Tree{N: size, Hash: hash}
}

func entry(folder string, index, size int64) []byte {
	tile := tlog.Tile{H: 8, L: -1, N: index / 256, W: 256}
	if size-tile.N*256 < 256 {
		tile.W = int(size - tile.N*256)
	}
	data, err := tiles{folder}.read(tile)
	fail("bundle", err)
	for place := int64(0); ; place++ {
		if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
			fail("bundle", fmt.Errorf("entry %d is cut", index))
		}
		length := int(binary.BigEndian.Uint16(data))
		if place == index%256 {
			return data[2 : 2+length]
		}
		data = data[2+length:]
	}
}

func main() {
	folder, vkey := os.Args[1], os.Args[2]
	newest := head(filepath.Join(folder, "checkpoint"), vkey)
	reader := tlog.TileHashReader(newest, tiles{folder})
	proven := 0
	for index := int64(0); index < newest.N; index++ {
		proof, err := tlog.ProveRecord(newest.N, index, reader)
		fail("ProveRecord", err)
		fail("CheckRecord", tlog.CheckRecord(proof, newest.N, newest.Hash, index, tlog.RecordHash(entry(folder, index, newest.N))))
		proven++
	}
	var older int64
	if len(os.Args) > 3 {
		old := head(os.Args[3], vkey)
		older = old.N
		proof, err := tlog.ProveTree(newest.N, old.N, reader)
		fail("ProveTree", err)
		fail("CheckTree", tlog.CheckTree(proof, newest.N, newest.Hash, old.N, old.Hash))
	}
	fmt.Printf("x/mod/sumdb: size %d, %d entries proven, continues size %d\n", newest.N, proven, older)
}
