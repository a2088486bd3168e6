package strictjson

import (
	"bytes"
	"hash/maphash"
	"unicode"
	"unicode/utf8"
)

// names holds the names of all open objects as a stack: each object owns the part from its mark on. A name is a slice of the
// text, or of side if it was written with escapes or is compared without case. A name takes 12 bytes, and 4 to 8 more in objects
// with many names.
type names struct {
	data []byte
	fold bool
	side []byte
	all  []nameAt
	seed maphash.Seed
	// seeded reports that seed is initialized. Most texts have no object with many names and need no seed.
	seeded bool
}

type nameAt struct {
	start, length uint32
	side          bool
}

// mark is the start of an object's names.
type mark struct {
	names, side int
	// table is a hash table of the names of an object with many: indexes into all, plus one. The seed is random, so that a
	// sender cannot choose names that collide.
	table []uint32
}

// few is the number of names up to which a linear search is used.
const few = 12

func (n *names) begin() mark { return mark{names: len(n.all), side: len(n.side)} }

func (n *names) end(m mark) {
	n.all, n.side = n.all[:m.names], n.side[:m.side]
}

// add adds the name that is written in the text from start to end and returns its decoded form. known reports that the object
// already has the name.
func (n *names) add(m *mark, start, end int, escaped bool) (name []byte, known bool) {
	at := nameAt{start: uint32(start), length: uint32(end - start)}
	name = n.data[start:end]
	if escaped {
		from := len(n.side)
		unescape(name, func(piece []byte) { n.side = append(n.side, piece...) })
		at = nameAt{uint32(from), uint32(len(n.side) - from), true}
		name = n.side[from:]
	}
	if n.fold {
		from := len(n.side)
		n.side = appendFolded(n.side, name)
		at = nameAt{uint32(from), uint32(len(n.side) - from), true}
	}
	own := n.all[m.names:]
	if len(own) < few {
		for _, other := range own {
			if bytes.Equal(n.text(other), n.text(at)) {
				return name, true
			}
		}
		n.all = append(n.all, at)
		return name, false
	}
	return name, n.addHashed(m, at)
}

func (n *names) text(at nameAt) []byte {
	if at.side {
		return n.side[at.start : at.start+at.length]
	}
	return n.data[at.start : at.start+at.length]
}

func (n *names) addHashed(m *mark, at nameAt) (known bool) {
	count := len(n.all) - m.names
	if !n.seeded {
		n.seed, n.seeded = maphash.MakeSeed(), true
	}
	if len(m.table) < 2*(count+1) {
		m.table = make([]uint32, 4*(count+1))
		for i := range n.all[m.names:] {
			n.place(m, n.all[m.names+i], uint32(m.names+i+1))
		}
	}
	if n.place(m, at, uint32(len(n.all)+1)) {
		return true
	}
	n.all = append(n.all, at)
	return false
}

// place adds a name to the table unless it is already there.
func (n *names) place(m *mark, at nameAt, number uint32) (known bool) {
	text := n.text(at)
	for slot := maphash.Bytes(n.seed, text) % uint64(len(m.table)); ; slot = (slot + 1) % uint64(len(m.table)) {
		switch other := m.table[slot]; {
		case other == 0:
			m.table[slot] = number
			return false
		case bytes.Equal(n.text(n.all[other-1]), text):
			return true
		}
	}
}

// appendFolded appends a name in the form in which encoding/json compares it: each character is replaced by the smallest one
// that differs only in case.
func appendFolded(b, name []byte) []byte {
	for i := 0; i < len(name); {
		if c := name[i]; c < utf8.RuneSelf {
			if 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			b = append(b, c)
			i++
			continue
		}
		r, size := utf8.DecodeRune(name[i:])
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				r = next
				break
			}
			r = next
		}
		b = utf8.AppendRune(b, r)
		i += size
	}
	return b
}
