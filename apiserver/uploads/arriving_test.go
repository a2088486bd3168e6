package uploads

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sharedcloud.io/function-operator/parameters"
)

const upload = "0b9f1c5e-7d0a-4a43-9d06-0d6a4e3f0c11"

// some returns the lines from first to last, exclusive.
func some(text string, first, last int) string {
	return strings.Join(strings.SplitAfter(text, "\n")[first:last], "")
}

func appended(ctx context.Context, store *Store, name string, offset int, text io.Reader) (int, error) {
	stream := lines
	stream.MayBeEmpty = true
	return store.Append(ctx, "space", name, offset, parameters.NewReader(text, stream))
}

func mustHave(t *testing.T, store *Store, name string, offset int, text string, want int) {
	t.Helper()
	if have, err := appended(t.Context(), store, name, offset, strings.NewReader(text)); have != want || err != nil {
		t.Errorf("the upload has %d inputs, %v; want %d", have, err, want)
	}
}

// offsetOf returns the number of inputs in an OffsetError; -1 for another error.
func offsetOf(err error) int {
	if offset := (&OffsetError{}); errors.As(err, &offset) {
		return offset.Have
	}
	return -1
}

func TestAnUploadInSeveralCallsEqualsOneInOneCall(t *testing.T) {
	const n = 5000
	text := numbered(n, 1000)
	store, db, _ := newStore(t, DefaultMaxBytes)
	whole, err := store.Write(t.Context(), "other", parameters.NewReader(strings.NewReader(text), lines))
	if err != nil {
		t.Fatal(err)
	}
	mustHave(t, store, upload, 0, "", 0)
	if uploads, _ := rows(t, db); uploads != 1 {
		t.Errorf("a call without inputs has created an upload: %d exist", uploads)
	}
	broken := errors.New("the connection broke")
	have, err := appended(t.Context(), store, upload, 0, io.MultiReader(strings.NewReader(some(text, 0, 2500)), readerFunc(func([]byte) (int, error) { return 0, broken })))
	if !errors.Is(err, broken) || have < 2490 || have > 2500 {
		t.Errorf("%d inputs are kept of 2500, %v", have, err)
	}
	mustHave(t, store, upload, have, "", have)
	mustHave(t, store, upload, 0, some(text, 0, 100), have) // a repeated call
	mustHave(t, store, upload, 0, some(text, 0, 3000), 3000)
	mustHave(t, store, upload, 3000, some(text, 3000, 3001), 3001)
	mustHave(t, store, upload, 2990, some(text, 2990, n), n)
	for range 2 {
		got, err := store.Finish(t.Context(), "space", upload, n)
		if diff := cmp.Diff(whole, got); diff != "" || err != nil {
			t.Fatalf("%v; the upload (-want +got):\n%s", err, diff)
		}
	}
	for first := 0; first < n; first += 500 {
		got, err := store.Slice(t.Context(), "space", whole.Digest, first, first+499)
		if err != nil {
			t.Fatal(err)
		}
		for i, input := range got {
			if want := fmt.Sprintf("[%d,", first+i); !strings.HasPrefix(string(input.JSON), want) {
				t.Fatalf("input %d is %.20s", first+i, input.JSON)
			}
		}
	}
	if err := store.Forget(t.Context(), "space", upload); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Finish(t.Context(), "space", upload, n); offsetOf(err) != 0 {
		t.Errorf("a deleted name: %v", err)
	}
	if _, err := store.Slice(t.Context(), "space", whole.Digest, 0, 0); err != nil {
		t.Errorf("the upload was deleted with its name: %v", err)
	}
}

func TestTheSameContentIsStoredOnceForAnyKindOfUpload(t *testing.T) {
	store, db, _ := newStore(t, DefaultMaxBytes)
	text := numbered(3000, 1000)
	whole := writeText(t, store, "space", text)
	mustHave(t, store, upload, 0, text, 3000)
	for range 2 {
		if got, err := store.Finish(t.Context(), "space", upload, 3000); got != whole || err != nil {
			t.Errorf("%+v, %v", got, err)
		}
		if uploads, _ := rows(t, db); uploads != 1 {
			t.Errorf("%d uploads exist", uploads)
		}
	}
}

func TestWrongOffsetsAreRejected(t *testing.T) {
	store, _, _ := newStore(t, DefaultMaxBytes)
	refused := func(name string, have int, err error) {
		t.Helper()
		if got := offsetOf(err); got != have {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := appended(t.Context(), store, upload, 1, strings.NewReader("[1]"))
	refused("an upload that does not exist", 0, err)
	_, err = store.Finish(t.Context(), "space", upload, 0)
	refused("finishing it", 0, err)
	mustHave(t, store, upload, 0, "[1]\n[2]\n", 2)
	have, err := appended(t.Context(), store, upload, 3, strings.NewReader("[4]"))
	refused("beyond the end", 2, err)
	if have != 2 {
		t.Errorf("with the error, %d", have)
	}
	for _, inputs := range []int{0, 1, 3} {
		_, err = store.Finish(t.Context(), "space", upload, inputs)
		refused(fmt.Sprintf("finishing with %d", inputs), 2, err)
	}
	_, err = store.Finish(t.Context(), "another", upload, 2)
	refused("from another namespace", 0, err)
	if _, err := store.Finish(t.Context(), "space", upload, 2); err != nil {
		t.Fatal(err)
	}
	mustHave(t, store, upload, 1, "[2]", 2)
	_, err = appended(t.Context(), store, upload, 1, strings.NewReader("[2]\n[3]\n"))
	refused("adding to a complete upload", 2, err)
}

func TestOneOfTwoCallsThatAddToTheSameUploadIsRejected(t *testing.T) {
	for name, before := range map[string]int{"at its start": 0, "in the middle": 10} {
		t.Run(name, func(t *testing.T) {
			store, _, _ := newStore(t, DefaultMaxBytes)
			text := numbered(30, 1)
			mustHave(t, store, upload, 0, some(text, 0, before), before)
			for _, when := range []int{0, 5} {
				// The second call is made while the first one reads.
				reader, read := parameters.NewReader(strings.NewReader(some(text, before, 30)), lines), 0
				have, err := store.Append(t.Context(), "space", upload, before, inputsFunc(func() (parameters.Input, error) {
					if read++; read == when+1 {
						mustHave(t, store, upload, before, some(text, before, before+1), before+1)
						before++
					}
					return reader.Next()
				}))
				if !errors.Is(err, ErrConflict) {
					t.Errorf("after %d inputs: %d, %v", when, have, err)
				}
			}
			mustHave(t, store, upload, before, some(text, before, 30), 30)
			finished, err := store.Finish(t.Context(), "space", upload, 30)
			if whole := writeText(t, store, "space", text); err != nil || finished != whole {
				t.Errorf("%+v, %v; want %+v", finished, err, whole)
			}
		})
	}
}

type inputsFunc func() (parameters.Input, error)

func (f inputsFunc) Next() (parameters.Input, error) { return f() }

func TestTheLimitOfAnUploadAppliesToAllCalls(t *testing.T) {
	store, _, _ := newStore(t, 10<<20)
	text := numbered(4000, 1000)
	mustHave(t, store, upload, 0, text, 4000)
	mustHave(t, store, upload, 4000, text, 8000)
	have, err := appended(t.Context(), store, upload, 8000, strings.NewReader(text))
	if !errors.Is(err, ErrTooLarge) || have < 8000 {
		t.Errorf("%d, %v", have, err)
	}
}

func TestInputsBeforeAFailureOfACallAreKept(t *testing.T) {
	store, _, _ := newStore(t, DefaultMaxBytes)
	have, err := appended(t.Context(), store, upload, 0, strings.NewReader("[1]\n[2]\n[oops\n"))
	var format *parameters.FormatError
	if !errors.As(err, &format) || have != 2 {
		t.Errorf("%d, %v", have, err)
	}
	mustHave(t, store, upload, 2, "[3]\n", 3)
	ctx, cancel := context.WithCancel(t.Context())
	have, err = appended(ctx, store, upload, 3, io.MultiReader(strings.NewReader("[4]\n[5]\n"), readerFunc(func([]byte) (int, error) {
		cancel()
		return 0, ctx.Err()
	})))
	if !errors.Is(err, context.Canceled) || have != 5 {
		t.Errorf("of a caller that disconnected: %d, %v", have, err)
	}
	mustHave(t, store, upload, 5, "", 5)
}

func TestAnIdleUploadIsSweptWithItsName(t *testing.T) {
	store, db, clk := newStore(t, DefaultMaxBytes)
	sweeper := NewSweeper(store, func() (map[[2]string]bool, error) { return nil, nil }, time.Hour, clk)
	sweep := func(after time.Duration) {
		t.Helper()
		clk.Step(after)
		if err := sweeper.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	mustHave(t, store, upload, 0, "[1]\n", 1)
	sweep(50 * time.Minute)
	mustHave(t, store, upload, 1, "[2]\n", 2)
	sweep(50 * time.Minute)
	mustHave(t, store, upload, 2, "", 2)
	sweep(20 * time.Minute)
	if _, err := appended(t.Context(), store, upload, 2, strings.NewReader("[3]")); offsetOf(err) != 0 {
		t.Errorf("an upload that was swept: %v", err)
	}
	if uploads, chunks := rows(t, db); uploads != 0 || chunks != 0 {
		t.Errorf("%d uploads with %d chunks are left", uploads, chunks)
	}
	mustHave(t, store, upload, 0, "[1]\n", 1)
}
