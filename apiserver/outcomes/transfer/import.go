package transfer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"sharedcloud.io/function-operator/apiserver/outcomes"
)

// Imported is the result of an import.
type Imported struct {
	// Added counts the rows that were added, Skipped those that were not because the store already has their run.
	Added, Skipped Counts
}

// Import adds the content of a file to a store in one transaction. Runs that the store already has, by UID, are not changed,
// and their rows in the file are skipped.
func Import(ctx context.Context, target outcomes.Source, from io.Reader) (Imported, error) {
	unzipped, err := gzip.NewReader(from)
	if err != nil {
		return Imported{}, fmt.Errorf("the file is not an export of an outcome store: %w", err)
	}
	return importInto(ctx, target, unzipped, false)
}

// lines reads the file.
type lines struct {
	reader *bufio.Reader
	sum    hash.Hash
}

func (l *lines) next() ([]byte, error) {
	var line []byte
	for {
		part, err := l.reader.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case errors.Is(err, io.EOF):
			return nil, errors.New("the file is truncated; nothing was imported")
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("reading the file (nothing was imported): %w", err)
		case len(line) > maxLine:
			return nil, errors.New("the file has an invalid line; nothing was imported")
		}
	}
}

func importInto(ctx context.Context, target outcomes.Source, from io.Reader, mustBeEmpty bool) (Imported, error) {
	l := &lines{reader: bufio.NewReaderSize(from, 1<<16), sum: sha256.New()}
	first, err := l.next()
	if err != nil {
		return Imported{}, err
	}
	var h header
	if err := json.Unmarshal(first, &h); err != nil || h.Format != transferFormat {
		return Imported{}, errors.New("the file is not an export of an outcome store")
	}
	if h.Version > transferVersion {
		return Imported{}, fmt.Errorf("the file has version %d and this program supports %d: use the version that wrote it, or a later one", h.Version, transferVersion)
	}
	l.sum.Write(first)
	sink, err := outcomes.OpenSink(ctx, target)
	if err != nil {
		return Imported{}, err
	}
	defer sink.Close()
	if mustBeEmpty {
		for _, t := range tables {
			if n, err := sink.Count(ctx, t.name); err != nil {
				return Imported{}, err
			} else if n > 0 {
				return Imported{}, ErrNotEmpty
			}
		}
	}
	im := &importer{sink: sink, ids: map[string]map[int64]int64{}, Imported: Imported{Counts{}, Counts{}}}
	for {
		line, err := l.next()
		if err != nil {
			return Imported{}, err
		}
		if line[0] == '[' {
			if err := im.row(ctx, line); err != nil {
				return Imported{}, err
			}
			l.sum.Write(line)
			continue
		}
		var next struct {
			tableHeader
			trailer
		}
		if err := json.Unmarshal(line, &next); err != nil {
			return Imported{}, fmt.Errorf("the file has an invalid line; nothing was imported: %w", err)
		}
		if err := im.flush(ctx); err != nil {
			return Imported{}, err
		}
		if next.Table != "" {
			if err := im.begin(ctx, next.tableHeader); err != nil {
				return Imported{}, err
			}
			l.sum.Write(line)
			continue
		}
		if next.SHA256 != hex.EncodeToString(l.sum.Sum(nil)) {
			return Imported{}, errors.New("the file is damaged: its checksum does not match; nothing was imported")
		}
		// Reading to the end verifies the checksum of gzip.
		if _, err := l.reader.ReadByte(); !errors.Is(err, io.EOF) {
			return Imported{}, fmt.Errorf("the file has data after its end, or is truncated; nothing was imported (%w)", err)
		}
		for name, n := range next.Rows {
			if got := im.Added[name] + im.Skipped[name]; got != n {
				return Imported{}, fmt.Errorf("the file is damaged: it should have %d rows of %s and has %d; nothing was imported", n, name, got)
			}
		}
		if err := im.measure(ctx); err != nil {
			return Imported{}, err
		}
		if mustBeEmpty {
			if err := im.verify(ctx); err != nil {
				return Imported{}, err
			}
		}
		return im.Imported, sink.Commit()
	}
}

// importer adds the rows of the tables in order.
type importer struct {
	Imported
	sink *outcomes.Sink
	// ids maps the ids of rows in the file to those in this store, by table.
	ids map[string]map[int64]int64

	table   *table
	columns []string
	types   []string
	// position is the index of each column.
	position map[string]int
	pending  [][]any
	bytes    int
}

const (
	// maxPendingRows and maxPendingBytes limit the rows that one statement adds.
	maxPendingRows  = 64
	maxPendingBytes = 8 << 20
)

func (im *importer) begin(ctx context.Context, h tableHeader) error {
	at := slices.IndexFunc(tables, func(t table) bool { return t.name == h.Table })
	if at < 0 {
		return fmt.Errorf("the file has a table %q, which this program does not know: use the version that wrote it, or a later one", h.Table)
	}
	im.table, im.columns = &tables[at], h.Columns
	have, types, err := im.sink.Columns(ctx, h.Table)
	if err != nil {
		return err
	}
	im.types, im.position = nil, map[string]int{}
	for i, name := range h.Columns {
		known := slices.Index(have, name)
		if known < 0 {
			return fmt.Errorf("the file has a column %q of %s, which this program does not know: use the version that wrote it, or a later one", name, h.Table)
		}
		im.types, im.position[name] = append(im.types, types[known]), i
	}
	if im.table.id != "" {
		im.ids[h.Table] = map[int64]int64{}
	}
	return nil
}

// row adds the row in a line.
func (im *importer) row(ctx context.Context, line []byte) error {
	if im.table == nil {
		return errors.New("the file has a row before the first table")
	}
	row, err := decodeRow(line, im.types)
	if err != nil {
		return fmt.Errorf("a row of %s: %w", im.table.name, err)
	}
	if len(row) != len(im.columns) {
		return fmt.Errorf("a row of %s has %d values and the table %d columns", im.table.name, len(row), len(im.columns))
	}
	keep, err := im.rekey(row)
	if err != nil {
		return err
	}
	if !keep {
		im.Skipped[im.table.name]++
		return nil
	}
	if im.table.id != "" {
		return im.numbered(ctx, row)
	}
	im.pending = append(im.pending, row)
	if im.bytes += len(line); len(im.pending) >= maxPendingRows || im.bytes >= maxPendingBytes {
		return im.flush(ctx)
	}
	return nil
}

// rekey replaces ids of the file with those of the store. It returns false if the row belongs to a skipped run.
func (im *importer) rekey(row []any) (bool, error) {
	for column, of := range im.table.refers {
		old, ok := row[im.position[column]].(int64)
		if !ok || old == 0 {
			continue
		}
		now, known := im.ids[of][old]
		switch {
		case known:
			row[im.position[column]] = now
		case column == im.table.owner:
			return false, nil
		default:
			// A worker of a skipped run, or one that was deleted before its outcomes.
			row[im.position[column]] = nil
		}
	}
	if im.table.packed != "" {
		at := im.position[im.table.packed]
		old, ok := row[at].(int64)
		if !ok {
			return false, fmt.Errorf("a row of %s has no id", im.table.name)
		}
		number, index := outcomes.Unpack(old)
		now, known := im.ids[im.table.packedOf][number]
		if !known {
			return false, nil
		}
		row[at] = outcomes.Packed(now, index)
	}
	return true, nil
}

// numbered adds a row that gets a new id.
func (im *importer) numbered(ctx context.Context, row []any) error {
	at := im.position[im.table.id]
	old, ok := row[at].(int64)
	if !ok {
		return fmt.Errorf("a row of %s has no id", im.table.name)
	}
	columns, values := slices.Delete(slices.Clone(im.columns), at, at+1), slices.Delete(slices.Clone(row), at, at+1)
	if len(im.table.unique) > 0 {
		// A file that is older than a column lacks it.
		var by []string
		var same []any
		for _, column := range im.table.unique {
			if at, ok := im.position[column]; ok {
				by, same = append(by, column), append(same, row[at])
			}
		}
		exists, err := im.sink.Exists(ctx, im.table.name, by, same)
		if err != nil {
			return err
		}
		if exists {
			im.Skipped[im.table.name]++
			return nil
		}
	}
	now, err := im.sink.InsertNumbered(ctx, im.table.name, im.table.id, columns, values)
	if err != nil {
		return err
	}
	im.ids[im.table.name][old] = now
	im.Added[im.table.name]++
	return nil
}

// flush writes the pending rows.
func (im *importer) flush(ctx context.Context) error {
	rows := im.pending
	im.pending, im.bytes = im.pending[:0], 0
	if len(rows) == 0 {
		return nil
	}
	if err := im.sink.Insert(ctx, im.table.name, im.columns, rows); err != nil {
		return err
	}
	im.Added[im.table.name] += int64(len(rows))
	return nil
}

// measure recomputes the sums of the added runs and uploads: a file may be older than the sums, and some rows are not
// exported.
func (im *importer) measure(ctx context.Context) error {
	for _, table := range []string{"runs", "uploads"} {
		for _, id := range im.ids[table] {
			if err := im.sink.Measure(ctx, table, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// verify compares the numbers of added rows with those in the store.
func (im *importer) verify(ctx context.Context) error {
	for _, t := range tables {
		n, err := im.sink.Count(ctx, t.name)
		if err != nil {
			return err
		}
		if n != im.Added[t.name] {
			return fmt.Errorf("%d rows of %s were written and the store has %d; nothing was stored", im.Added[t.name], t.name, n)
		}
	}
	return nil
}

// decodeRow decodes a line with the types of the store's columns.
func decodeRow(line []byte, types []string) ([]any, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(line, &raw); err != nil {
		return nil, err
	}
	row := make([]any, len(raw))
	for i, text := range raw {
		if i >= len(types) {
			break
		}
		var err error
		if row[i], err = decodeValue(text, types[i]); err != nil {
			return nil, err
		}
	}
	return row, nil
}

func decodeValue(text json.RawMessage, kind string) (any, error) {
	if bytes.Equal(text, []byte("null")) {
		return nil, nil
	}
	switch kind {
	case "INTEGER", "INT8", "BIGINT":
		var value int64
		err := json.Unmarshal(text, &value)
		return value, err
	case "REAL", "FLOAT8":
		var value float64
		err := json.Unmarshal(text, &value)
		return value, err
	}
	// Engines differ in which columns are text and which are bytes.
	var value []byte
	switch text[0] {
	case '{':
		var b binary
		if err := json.Unmarshal(text, &b); err != nil {
			return nil, err
		}
		value = b.Bytes
	default:
		var s string
		if err := json.Unmarshal(text, &s); err != nil {
			return nil, err
		}
		value = []byte(s)
	}
	if kind == "TEXT" {
		return string(value), nil
	}
	if value == nil {
		value = []byte{}
	}
	return value, nil
}
