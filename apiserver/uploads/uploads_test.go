package uploads

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/parameters"
)

var lines = parameters.Stream{Format: v1alpha1.FormatNDJSON}

func newStore(t *testing.T, maxBytes int64) (*Store, *outcomes.SQLite, *testingclock.FakeClock) {
	t.Helper()
	db := outcomes.NewSQLite(filepath.Join(t.TempDir(), "outcomes.db"))
	if err := db.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	clk := testingclock.NewFakeClock(time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC))
	return New(db, nil, maxBytes, 8<<20, clk), db, clk
}

// numbered returns n inputs of about this size, one on each line.
func numbered(n, size int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "[%d,%q]\n", i, strings.Repeat("x", size))
	}
	return text.String()
}

func writeText(t *testing.T, store *Store, namespace, text string) Upload {
	t.Helper()
	upload, err := store.Write(t.Context(), namespace, parameters.NewReader(strings.NewReader(text), lines))
	if err != nil {
		t.Fatal(err)
	}
	return upload
}

// rows counts the rows of uploads and of their chunks.
func rows(t *testing.T, db *outcomes.SQLite) (uploads, chunks int) {
	t.Helper()
	err := db.View(t.Context(), func(tx *outcomes.Tx) error {
		all, err := tx.UploadsUsedBefore(1<<62, 1000)
		uploads, chunks = len(all), 0
		for _, u := range all {
			found, err := tx.Chunks(u.ID)
			if err != nil {
				return err
			}
			chunks += len(found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return uploads, chunks
}

func TestEveryInputIsReadAtItsIndex(t *testing.T) {
	store, db, _ := newStore(t, DefaultMaxBytes)
	const n = 5000
	upload := writeText(t, store, "space", numbered(n, 1000)) // some chunks
	if _, chunks := rows(t, db); upload.Inputs != n || chunks < 4 {
		t.Fatalf("%d inputs in %d chunks", upload.Inputs, chunks)
	}
	for _, span := range [][2]int{{0, 0}, {n - 1, n - 1}, {0, n - 1}, {1000, 1100}, {900, 3100}} {
		got, err := store.Slice(t.Context(), "space", upload.Digest, span[0], span[1])
		if err != nil || len(got) != span[1]-span[0]+1 {
			t.Fatalf("%v: %d inputs, %v", span, len(got), err)
		}
		for i, input := range got {
			if want := fmt.Sprintf("[%d,", span[0]+i); !strings.HasPrefix(string(input.JSON), want) {
				t.Fatalf("input %d of %v is %.20s", i, span, input.JSON)
			}
		}
	}
	for _, span := range [][2]int{{-1, 0}, {0, n}, {2, 1}} {
		if _, err := store.Slice(t.Context(), "space", upload.Digest, span[0], span[1]); err == nil {
			t.Errorf("%v returned no error", span)
		}
	}
}

func TestLiteralsStayLiterals(t *testing.T) {
	store, _, _ := newStore(t, DefaultMaxBytes)
	upload, err := store.Write(t.Context(), "space", parameters.NewReader(strings.NewReader("((1, b'x'),\n ('''a\nb''',))"), parameters.Stream{Format: v1alpha1.FormatPython}))
	if err != nil {
		t.Fatal(err)
	}
	got, err := store.Slice(t.Context(), "space", upload.Digest, 0, 1)
	if diff := cmp.Diff([]parameters.Input{{Literal: "(1, b'x')"}, {Literal: "('''a\nb''',)"}}, got); diff != "" || err != nil {
		t.Errorf("inputs, %v (-want +got):\n%s", err, diff)
	}
}

func TestTheSameContentIsStoredOnceForANamespace(t *testing.T) {
	store, db, _ := newStore(t, DefaultMaxBytes)
	first := writeText(t, store, "space", "[1]\n[2]\n")
	same := writeText(t, store, "space", "  [ 1 ]\n\n[2]") // other white space, the same inputs
	other := writeText(t, store, "space", "[1]\n[3]\n")
	elsewhere := writeText(t, store, "other", "[1]\n[2]\n")
	if first != same || first == other || first != elsewhere {
		t.Errorf("digests: %s %s %s %s", first.Digest, same.Digest, other.Digest, elsewhere.Digest)
	}
	if uploads, chunks := rows(t, db); uploads != 3 || chunks != 3 {
		t.Errorf("%d uploads with %d chunks", uploads, chunks)
	}
	if _, err := store.Slice(t.Context(), "third", first.Digest, 0, 0); !store.Gone(err) {
		t.Errorf("a digest opens another namespace: %v", err)
	}
}

func TestConcurrentUploadsOfTheSameContentAreStoredOnce(t *testing.T) {
	store, db, _ := newStore(t, DefaultMaxBytes)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if _, err := store.Write(t.Context(), "space", parameters.NewReader(strings.NewReader(numbered(2000, 1000)), lines)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if uploads, chunks := rows(t, db); uploads != 1 || chunks > 3 {
		t.Errorf("%d uploads with %d chunks are kept", uploads, chunks)
	}
}

func TestAFailedUploadStoresNothing(t *testing.T) {
	broken := errors.New("the connection broke")
	for name, tc := range map[string]struct {
		read *parameters.Reader
		want func(error) bool
	}{
		"a line that is not JSON after many valid ones": {
			parameters.NewReader(strings.NewReader(numbered(3000, 1000)+"[oops\n"), lines),
			func(err error) bool {
				var format *parameters.FormatError
				return errors.As(err, &format) && strings.HasPrefix(format.Message, "line 3001: ")
			},
		},
		"a broken connection": {
			parameters.NewReader(iotest.TimeoutReader(strings.NewReader(numbered(3000, 1000))), lines),
			func(err error) bool { return errors.Is(err, iotest.ErrTimeout) },
		},
		"nothing": {
			parameters.NewReader(iotest.ErrReader(broken), lines),
			func(err error) bool { return errors.Is(err, broken) },
		},
		"an upload that is too large": {
			parameters.NewReader(strings.NewReader(numbered(20_000, 1000)), lines),
			func(err error) bool { return errors.Is(err, ErrTooLarge) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			store, db, _ := newStore(t, 10<<20)
			if _, err := store.Write(t.Context(), "space", tc.read); !tc.want(err) {
				t.Errorf("the error is %v", err)
			}
			if uploads, chunks := rows(t, db); uploads != 0 || chunks != 0 {
				t.Errorf("%d uploads with %d chunks are left", uploads, chunks)
			}
		})
	}
}

func TestACancelledUploadStoresNothing(t *testing.T) {
	store, db, _ := newStore(t, DefaultMaxBytes)
	ctx, cancel := context.WithCancel(t.Context())
	text := iotest.OneByteReader(strings.NewReader(numbered(1500, 1000)))
	read := 0
	_, err := store.Write(ctx, "space", parameters.NewReader(readerFunc(func(p []byte) (int, error) {
		if read++; read == 1_200_000 {
			cancel()
		}
		return text.Read(p)
	}), lines))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	if uploads, chunks := rows(t, db); uploads != 0 || chunks != 0 {
		t.Errorf("%d uploads with %d chunks are left", uploads, chunks)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestTheSweeperDeletesUploadsThatNoRunHasReferencedForADay(t *testing.T) {
	store, db, clk := newStore(t, DefaultMaxBytes)
	used, unused := writeText(t, store, "space", "[1]\n"), writeText(t, store, "space", "[2]\n")
	var halfway int64
	if err := db.Update(t.Context(), "", func(tx *outcomes.Tx) (err error) {
		halfway, err = tx.InsertUpload("space", "", clk.Now().UnixMicro())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	named := map[[2]string]bool{{"space", used.Digest}: true, {"space", "sha256:gone"}: true, {"other", unused.Digest}: true}
	var refused error
	sweeper := NewSweeper(store, func() (map[[2]string]bool, error) { return named, refused }, time.Hour, clk)
	there := func() (all []string) {
		for _, u := range []Upload{used, unused} {
			store.tables.Forget(tableKey{"", types.NamespacedName{Namespace: "space", Name: u.Digest}})
			if _, err := store.Slice(t.Context(), "space", u.Digest, 0, 0); err == nil {
				all = append(all, u.Digest)
			}
		}
		return all
	}
	step := func(hours int, want ...string) {
		t.Helper()
		for range hours {
			clk.Step(time.Hour)
			if err := sweeper.sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(want, there()); diff != "" {
			t.Errorf("uploads (-want +got):\n%s", diff)
		}
	}
	step(2, used.Digest, unused.Digest)
	if uploads, _ := rows(t, db); uploads != 2 {
		t.Errorf("%d uploads exist: the incomplete one (%d) was not deleted", uploads, halfway)
	}
	step(21, used.Digest, unused.Digest)
	// It is uploaded again, and is kept for another day.
	writeText(t, store, "space", "[2]\n")
	step(20, used.Digest, unused.Digest)
	step(6, used.Digest)
	// While the runs are unknown, nothing is deleted.
	refused = errors.New("the caches are being filled")
	clk.Step(100 * time.Hour)
	if err := sweeper.sweep(t.Context()); !errors.Is(err, refused) {
		t.Errorf("the error is %v", err)
	}
	refused = nil
	step(1, used.Digest)
	delete(named, [2]string{"space", used.Digest})
	step(26)
	if uploads, chunks := rows(t, db); uploads != 0 || chunks != 0 {
		t.Errorf("%d uploads with %d chunks are left", uploads, chunks)
	}
}

func TestDamagedChunksAreRejected(t *testing.T) {
	good := frame(frame(nil, parameters.Input{JSON: []byte("[1]")}), parameters.Input{Literal: "(2,)"})
	if inputs, err := unframe(good, 2); err != nil || len(inputs) != 2 {
		t.Fatalf("%v, %v", inputs, err)
	}
	for name, tc := range map[string]struct {
		data  []byte
		count int
	}{
		"cut":                         {good[:len(good)-1], 2},
		"another number of inputs":    {good, 3},
		"a length beyond the end":     {[]byte{0xfe, 0x01, 'x'}, 1},
		"an endless length":           {[]byte{0xff, 0xff, 0xff}, 1},
		"a length of nearly 2^64":     {[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, 1},
		"a negative number of inputs": {nil, 1 << 40},
	} {
		if inputs, err := unframe(tc.data, tc.count); !errors.Is(err, errFrames) {
			t.Errorf("%s: %v, %v", name, inputs, err)
		}
	}
}

//security:attack tenant | An upload of hundreds of thousands of empty inputs in each megabyte, read by many workers. | A chunk uses a small multiple of its bytes in memory, and an answer only the memory of its inputs.
func TestAChunkOfManyInputsUsesASmallMultipleOfItsBytes(t *testing.T) {
	var data []byte
	count := 0
	for ; len(data) < TargetChunkBytes; count++ {
		data = frame(data, parameters.Input{JSON: []byte("[]")})
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	starts, err := unframe(data, count)
	if err != nil {
		t.Fatal(err)
	}
	inputs := chunk{data, starts}.inputs(count-10, count)
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 3*uint64(len(data)) {
		t.Errorf("%d bytes were allocated for a chunk of %d", used, len(data))
	}
	if len(inputs) != 10 || string(inputs[9].JSON) != "[]" {
		t.Errorf("%d inputs, the last is %s", len(inputs), inputs[9].JSON)
	}
}
