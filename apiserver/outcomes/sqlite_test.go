package outcomes

import (
	"context"
	"path/filepath"
	"testing"
)

func openStore(t testing.TB, path string) *SQLite {
	t.Helper()
	store := NewSQLite(path)
	if err := store.Open(context.Background()); err != nil {
		t.Fatalf("opening the store: %v", err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	return store
}

func newStore(t testing.TB) *SQLite {
	t.Helper()
	return openStore(t, filepath.Join(t.TempDir(), "a folder? with #odd% names", "outcomes.db"))
}

func TestTheStoreOpensAndKeepsARun(t *testing.T) {
	store := newStore(t)
	ctx := context.Background()
	want := &Run{UID: "u", Namespace: "ns", Name: "r", Total: 3, UnsuccessfulCut: -1}
	if err := store.Update(ctx, "u", func(tx *Tx) error { return tx.InsertRun(want) }); err != nil {
		t.Fatal(err)
	}
}
