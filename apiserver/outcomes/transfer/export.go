package transfer

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"sharedcloud.io/function-operator/apiserver/outcomes"
)

// table is one that is exported, imported and copied. All columns go along, by name. A new table is one entry in tables.
type table struct {
	name string
	// order are the columns of the primary key: rows come in that order.
	order string
	// id is the column that the engine numbers by itself; "" for none. Another store gives other numbers.
	id string
	// refers are the columns that hold the id of a row of another table, which comes before this one. 0 and NULL stay.
	refers map[string]string
	// packed is a column that holds the id of a row of another table and an index, see key; "" for none. packedOf is that
	// table.
	packed, packedOf string
	// owner is one of refers, or packed: a row whose owner is left out is left out with it.
	owner string
	// unique are the columns by which a row that is there already is known, which is left out.
	unique []string
	// only is a condition on the rows that go along; "" for all.
	only string
}

// tables are all that go along, those first that others refer to.
var tables = []table{
	{name: "runs", order: "id", id: "id", unique: []string{"uid"}},
	{name: "workers", order: "id", id: "id", refers: map[string]string{"run_id": "runs"}, owner: "run_id"},
	{name: "attempts", order: "run_id, idx", refers: map[string]string{"run_id": "runs"}, owner: "run_id"},
	{name: "outcomes", order: "id", packed: "id", packedOf: "runs", refers: map[string]string{"worker_id": "workers"}, owner: "id"},
	// Uploads that still arrive are told by nothing but their number: they stay where they are.
	{name: "uploads", order: "id", id: "id", unique: []string{"namespace", "namespace_uid", "digest"}, only: "complete = 1"},
	{name: "upload_chunks", order: "id", packed: "id", packedOf: "uploads", owner: "id", only: "id / 4294967296 IN (SELECT id FROM uploads WHERE complete = 1)"},
}

// fleeting are tables of what a worker or an uploader tells again: they stay where they are.
var fleeting = []string{"live_output", "arriving_uploads"}

// Counts are numbers of rows by table.
type Counts map[string]int64

// String lists them in the order of tables.
func (c Counts) String() string {
	var parts []string
	for _, t := range tables {
		if n, ok := c[t.name]; ok {
			parts = append(parts, fmt.Sprintf("%d %s", n, t.name))
		}
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// The file: a gzip stream of lines of JSON. First a header; for each table a line that names it and its columns, and a line
// for each row, an array; at last the numbers of rows and a checksum of all lines before, so that a file that was cut short is not
// taken for a whole one.
const (
	transferFormat  = "sharedcloud-outcome-store"
	transferVersion = 1
	// longestLine is more than the largest outcome takes.
	longestLine = 512 << 20
)

type header struct {
	Format  string    `json:"format"`
	Version int       `json:"version"`
	Created time.Time `json:"created"`
}

type tableHeader struct {
	Table   string   `json:"table"`
	Columns []string `json:"columns"`
}

type trailer struct {
	Rows   Counts `json:"rows"`
	SHA256 string `json:"sha256"`
}

// binary is a value of bytes in a row.
type binary struct {
	Bytes []byte `json:"b"`
}

// Export writes all that a store has, in the one state in which it is at the beginning, into one file. Servers go on working
// meanwhile.
func Export(ctx context.Context, source outcomes.Source, to io.Writer) (Counts, error) {
	snapshot, err := outcomes.OpenSnapshot(ctx, source, false)
	if err != nil {
		return nil, err
	}
	defer snapshot.Close()
	zipped := gzip.NewWriter(to)
	counts, err := export(ctx, snapshot, zipped)
	if err != nil {
		return nil, err
	}
	return counts, zipped.Close()
}

func export(ctx context.Context, from *outcomes.Snapshot, to io.Writer) (Counts, error) {
	buffered := bufio.NewWriterSize(to, 1<<16)
	sum := sha256.New()
	out := io.MultiWriter(buffered, sum)
	line := func(value any) error {
		text, err := json.Marshal(value)
		if err == nil {
			_, err = out.Write(append(text, '\n'))
		}
		return err
	}
	if err := line(header{transferFormat, transferVersion, time.Now().UTC()}); err != nil {
		return nil, err
	}
	counts := Counts{}
	for i := range tables {
		t := &tables[i]
		columns, _, err := from.Columns(ctx, t.name)
		if err != nil {
			return nil, err
		}
		if columns == nil {
			continue // an older store has no such table
		}
		if err := line(tableHeader{t.name, columns}); err != nil {
			return nil, err
		}
		err = from.Rows(ctx, t.name, columns, t.only, t.order, func(row []any) error {
			counts[t.name]++
			for i, value := range row {
				if bytes, ok := value.([]byte); ok {
					row[i] = binary{bytes}
				}
			}
			return line(row)
		})
		if err != nil {
			return nil, fmt.Errorf("reading the table %s: %w", t.name, err)
		}
	}
	text, err := json.Marshal(trailer{counts, hex.EncodeToString(sum.Sum(nil))})
	if err != nil {
		return nil, err
	}
	if _, err := buffered.Write(append(text, '\n')); err != nil {
		return nil, err
	}
	return counts, buffered.Flush()
}

// ErrNotEmpty: a store that is to be copied to has runs.
var ErrNotEmpty = errors.New("the store to copy to is not empty: name an empty one; import adds to one that is not")

// Copy brings all that a store has into another, which must be empty, in one transaction: all of it or nothing. No server
// may use the one that is copied: what it acknowledged meanwhile would be lost.
func Copy(ctx context.Context, source, target outcomes.Source) (Counts, error) {
	snapshot, err := outcomes.OpenSnapshot(ctx, source, true)
	if err != nil {
		return nil, err
	}
	defer snapshot.Close()
	reader, writer := io.Pipe()
	exported := make(chan Counts, 1)
	go func() {
		counts, err := export(ctx, snapshot, writer)
		exported <- counts
		_ = writer.CloseWithError(err)
	}()
	imported, err := importInto(ctx, target, reader, true)
	_ = reader.CloseWithError(errors.New("the other store takes no more"))
	counts := <-exported
	if err != nil {
		return nil, err
	}
	if !maps.Equal(counts, imported.Added) {
		// The transaction has counted, and the trailer was compared: this cannot be.
		return nil, fmt.Errorf("%s were read and %s written", counts, imported.Added)
	}
	return counts, nil
}
