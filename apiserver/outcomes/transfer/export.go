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

// table is a table that is exported, imported and copied, with all its columns by name. A new table is one entry in tables.
type table struct {
	name string
	// order are the columns of the primary key, by which rows are ordered.
	order string
	// id is the column whose value the engine assigns; "" for none. Each store assigns its own ids.
	id string
	// refers are the columns that hold the id of a row of another table, which precedes this one in tables. 0 and NULL are kept.
	refers map[string]string
	// packed is a column that contains the id of a row of another table and an index, see outcomes.Packed; "" for none.
	// packedOf is that table.
	packed, packedOf string
	// owner is one of refers, or packed: if the row that it refers to is skipped, the row is skipped.
	owner string
	// unique are the columns that identify a row. A row that the store has already is skipped.
	unique []string
	// only is the condition of the rows that are exported; "" for all.
	only string
}

// tables are all tables that are exported. A table precedes those that refer to it.
var tables = []table{
	{name: "runs", order: "id", id: "id", unique: []string{"uid"}},
	{name: "workers", order: "id", id: "id", refers: map[string]string{"run_id": "runs"}, owner: "run_id"},
	{name: "load_output", order: "worker_id", refers: map[string]string{"worker_id": "workers", "run_id": "runs"}, owner: "run_id"},
	{name: "attempts", order: "run_id, idx", refers: map[string]string{"run_id": "runs"}, owner: "run_id"},
	{name: "outcomes", order: "id", packed: "id", packedOf: "runs", refers: map[string]string{"worker_id": "workers"}, owner: "id"},
	// Incomplete uploads cannot be identified in another store, so they are not exported.
	{name: "uploads", order: "id", id: "id", unique: []string{"namespace", "namespace_uid", "digest"}, only: "complete = 1"},
	{name: "upload_chunks", order: "id", packed: "id", packedOf: "uploads", owner: "id", only: "id / 4294967296 IN (SELECT id FROM uploads WHERE complete = 1)"},
}

// notExported are tables whose content workers and uploaders send again.
var notExported = []string{"live_output", "arriving_uploads"}

// Counts are numbers of rows by table.
type Counts map[string]int64

// String lists the counts in the order of tables.
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

// The file is a gzip stream of lines of JSON: a header; for each table a line with its name and columns, and an array for each row;
// a trailer with the numbers of rows and a checksum of all lines before, by which a truncated file is detected.
const (
	transferFormat  = "sharedcloud-outcome-store"
	transferVersion = 1
	// maxLine is more than the largest outcome takes.
	maxLine = 512 << 20
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

// binary is a value of type bytes in a row.
type binary struct {
	Bytes []byte `json:"b"`
}

// Export writes the state of a store at the start of the call into one file. Servers may use the store meanwhile.
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
			continue // the store is older than the table
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

// ErrNotEmpty: the target of a copy contains runs.
var ErrNotEmpty = errors.New("the target store is not empty: use an empty one, or use import, which adds to a store")

// Copy copies a store into an empty one, in one transaction. No server may use the source: outcomes that it acknowledges
// during the copy would be lost.
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
	_ = reader.CloseWithError(errors.New("writing to the target store has failed"))
	counts := <-exported
	if err != nil {
		return nil, err
	}
	if !maps.Equal(counts, imported.Added) {
		// The trailer was compared with the rows, so this cannot happen.
		return nil, fmt.Errorf("read %s and wrote %s", counts, imported.Added)
	}
	return counts, nil
}
