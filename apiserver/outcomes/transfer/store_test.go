package transfer

import (
	"context"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/outcomes/postgrestest"
	"sharedcloud.io/function-operator/exchange/indexset"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

var ctx = context.Background()

const nsUID = types.UID("ns-uid")

func write(t testing.TB, store outcomes.Store, fn func(*outcomes.Tx) error) {
	t.Helper()
	if err := store.Update(ctx, "", fn); err != nil {
		t.Fatalf("writing: %v", err)
	}
}

func addRun(t testing.TB, store outcomes.Store, uid types.UID) *outcomes.Run {
	t.Helper()
	run := &outcomes.Run{UID: uid, Namespace: "ns", Name: "run-" + string(uid), Total: 1 << 20, UnsuccessfulCut: -1}
	write(t, store, func(tx *outcomes.Tx) error { return tx.InsertRun(run) })
	return run
}

func add(t testing.TB, store outcomes.Store, run *outcomes.Run, all ...outcomes.Outcome) {
	t.Helper()
	write(t, store, func(tx *outcomes.Tx) error { return tx.InsertOutcomes(run.ID, all) })
}

func set(text string) indexset.Set {
	s, err := indexset.Parse(text)
	if err != nil {
		panic(err)
	}
	return s
}

func outcomesOf(t testing.TB, store outcomes.Store, uid types.UID, from, limit int) (all []outcomes.Outcome) {
	t.Helper()
	err := outcomes.Read(ctx, store, uid, outcomes.All(from), limit, func(o *outcomes.Outcome) bool {
		all = append(all, *o)
		return true
	})
	if err != nil {
		t.Fatalf("reading outcomes: %v", err)
	}
	return all
}

func upload(t testing.TB, store outcomes.Store, namespace, digest string) int64 {
	t.Helper()
	var id int64
	write(t, store, func(tx *outcomes.Tx) (err error) {
		if id, err = tx.InsertUpload(namespace, nsUID, 1); err != nil {
			return err
		}
		for _, c := range []outcomes.Chunk{{First: 0, Inputs: 2, Data: []byte("a\x00b")}, {First: 2, Inputs: 1, Data: []byte(digest)}} {
			if there, err := tx.AddChunk(id, c, 2); err != nil || !there {
				t.Errorf("adding %+v: %v, %v", c, there, err)
			}
		}
		if there, err := tx.CompleteUpload(id, digest, 2, 3); there || err != nil {
			t.Errorf("it was completed with another number of inputs: %v, %v", there, err)
		}
		there, err := tx.CompleteUpload(id, digest, 3, 3)
		if !there {
			t.Error("it does not exist")
		}
		return err
	})
	return id
}

func uploaded(t testing.TB, store outcomes.Store, namespace, digest string) (*outcomes.Upload, []outcomes.Chunk) {
	t.Helper()
	var found *outcomes.Upload
	var chunks []outcomes.Chunk
	if err := store.View(ctx, func(tx *outcomes.Tx) (err error) {
		found, chunks = nil, nil
		if found, err = tx.Upload(namespace, nsUID, digest); err != nil || found == nil {
			return err
		}
		heads, err := tx.Chunks(found.ID)
		for _, head := range heads {
			c, err := tx.Chunk(found.ID, head.First)
			if err != nil {
				return err
			}
			chunks = append(chunks, *c)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return found, chunks
}
