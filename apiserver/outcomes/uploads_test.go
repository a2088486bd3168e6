package outcomes

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

// nsUID is the UID of the namespace of all uploads here, unless stated otherwise.
const nsUID = "ns-uid"

// upload adds an upload of two chunks and completes it.
func upload(t testing.TB, store Store, namespace, digest string) int64 {
	t.Helper()
	var id int64
	write(t, store, func(tx *Tx) (err error) {
		if id, err = tx.InsertUpload(namespace, nsUID, 1); err != nil {
			return err
		}
		for _, c := range []Chunk{{First: 0, Inputs: 2, Data: []byte("a\x00b")}, {First: 2, Inputs: 1, Data: []byte(digest)}} {
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

// uploaded returns an upload with its chunks, or nil.
func uploaded(t testing.TB, store Store, namespace, digest string) (*Upload, []Chunk) {
	t.Helper()
	var found *Upload
	var chunks []Chunk
	if err := store.View(ctx, func(tx *Tx) (err error) {
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

func TestAnUploadIsReadAsWrittenAndDeletedChunkByChunk(t *testing.T) {
	store := newStore(t)
	other := upload(t, store, "ns", "sha256:other")
	id := upload(t, store, "ns", "sha256:x")
	found, chunks := uploaded(t, store, "ns", "sha256:x")
	if diff := cmp.Diff(&Upload{ID: id, Namespace: "ns", NamespaceUID: nsUID, Digest: "sha256:x", Inputs: 3, Bytes: 11, Complete: true, CreatedMicros: 1, UsedMicros: 3}, found); diff != "" {
		t.Errorf("the upload (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Chunk{{0, 2, []byte("a\x00b")}, {2, 1, []byte("sha256:x")}}, chunks); diff != "" {
		t.Errorf("its chunks (-want +got):\n%s", diff)
	}
	if elsewhere, _ := uploaded(t, store, "another", "sha256:x"); elsewhere != nil {
		t.Error("another namespace finds it")
	}
	write(t, store, func(tx *Tx) error {
		if there, err := tx.AddChunk(id, Chunk{First: 3, Inputs: 1, Data: []byte("late")}, 4); there || err != nil {
			t.Errorf("a chunk was added to a complete upload: %v, %v", there, err)
		}
		if missing, err := tx.Chunk(id, 1); missing != nil || err != nil {
			t.Errorf("a chunk starts in the middle of another: %v, %v", missing, err)
		}
		return tx.UseUpload(other, 100)
	})
	var old []Upload
	if err := store.View(ctx, func(tx *Tx) (err error) {
		old, err = tx.UploadsUsedBefore(100, 10)
		return err
	}); err != nil || len(old) != 1 || old[0].ID != id {
		t.Errorf("unused uploads: %+v, %v", old, err)
	}
	for step, want := range []bool{false, false, true} {
		write(t, store, func(tx *Tx) error {
			done, err := tx.DeleteUploadSome(id, 1)
			if done != want {
				t.Errorf("after step %d: done %v", step, done)
			}
			return err
		})
		if found, _ := uploaded(t, store, "ns", "sha256:x"); found != nil {
			t.Errorf("after step %d it is still found", step)
		}
	}
	if found, chunks := uploaded(t, store, "ns", "sha256:other"); found == nil || len(chunks) != 2 {
		t.Errorf("the other: %v, %v", found, chunks)
	}
}

func TestAnUploadInSeveralCallsIsFoundByItsName(t *testing.T) {
	store := newStore(t)
	find := func(namespace, name string) (found *Arriving) {
		t.Helper()
		if err := store.View(ctx, func(tx *Tx) (err error) {
			found, err = tx.Arriving(namespace, nsUID, name)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return found
	}
	var id int64
	write(t, store, func(tx *Tx) (err error) {
		if id, err = tx.InsertUpload("ns", nsUID, 1); err != nil {
			return err
		}
		return tx.PutArriving("ns", "name", id, []byte("before"))
	})
	add := func(first int, want bool) {
		t.Helper()
		write(t, store, func(tx *Tx) error {
			there, err := tx.AddChunk(id, Chunk{First: first, Inputs: 2, Data: []byte("x")}, int64(first)+2)
			if there != want {
				t.Errorf("a chunk at %d was added: %v", first, there)
			}
			return errors.Join(err, tx.PutArriving("ns", "name", id, []byte("after\x00")))
		})
	}
	add(0, true)
	add(0, false) // another call was first
	add(3, false)
	add(2, true)
	want := &Arriving{Upload{ID: id, Namespace: "ns", NamespaceUID: nsUID, Inputs: 4, Bytes: 2, CreatedMicros: 1, UsedMicros: 4}, []byte("after\x00")}
	if diff := cmp.Diff(want, find("ns", "name")); diff != "" {
		t.Errorf("the upload (-want +got):\n%s", diff)
	}
	if find("ns", "other") != nil || find("other", "name") != nil {
		t.Error("it is found under another name")
	}
	release := func(used int64, want bool) {
		t.Helper()
		write(t, store, func(tx *Tx) error {
			released, err := tx.ReleaseUpload(id, used)
			if released != want {
				t.Errorf("last used at %d it is released: %v", used, released)
			}
			return err
		})
	}
	release(3, false) // it has been used since
	release(4, true)
	if find("ns", "name") != nil {
		t.Error("an upload that is being deleted is found")
	}
	add(4, false)
	write(t, store, func(tx *Tx) error {
		there, err := tx.CompleteUpload(id, "sha256:x", 4, 9)
		if there {
			t.Error("an upload that is being deleted was completed")
		}
		return err
	})
	same := upload(t, store, "ns", "sha256:same")
	write(t, store, func(tx *Tx) error { return tx.PutArriving("ns", "name", same, []byte("same")) })
	for done := false; !done; {
		write(t, store, func(tx *Tx) (err error) {
			done, err = tx.DeleteUploadSome(id, 1)
			return err
		})
	}
	if found := find("ns", "name"); found == nil || found.Digest != "sha256:same" || !found.Complete {
		t.Errorf("the name refers to %+v", found)
	}
	write(t, store, func(tx *Tx) error { return tx.ForgetArriving("ns", "name") })
	if find("ns", "name") != nil {
		t.Error("the name was not deleted")
	}
	if found, _ := uploaded(t, store, "ns", "sha256:same"); found == nil {
		t.Error("the upload was deleted with its name")
	}
}

func TestLiveOutputIsReadWhileItsInputExecutes(t *testing.T) {
	store := newStore(t)
	run := &Run{UID: "uid", Namespace: "ns", Name: "run", Total: 10, UnsuccessfulCut: -1}
	worker := &Worker{PodUID: "pod", State: WorkerLive, Executing: 3}
	write(t, store, func(tx *Tx) error {
		if err := tx.InsertRun(run); err != nil {
			return err
		}
		worker.RunID = run.ID
		return tx.PutWorker(worker)
	})
	all := func() (found []LiveOutput) {
		t.Helper()
		if err := store.View(ctx, func(tx *Tx) (err error) {
			found, err = tx.LiveOutputs(run.ID)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return found
	}
	want := LiveOutput{WorkerID: worker.ID, Index: 3, StartMicros: 7, Stdout: LiveText{5, []byte("a\x00")}, Stderr: LiveText{0, []byte{}}}
	for range 2 {
		write(t, store, func(tx *Tx) error { return tx.PutLiveOutput(run.ID, &want) })
		want.StartMicros++
	}
	want.StartMicros--
	got := all()
	if len(got) != 1 || !bytes.Equal(got[0].Stdout.Bytes, want.Stdout.Bytes) || got[0].StartMicros != want.StartMicros || got[0].Stdout.From != 5 || len(got[0].Stderr.Bytes) != 0 {
		t.Errorf("it is %+v", got)
	}
	write(t, store, func(tx *Tx) error {
		worker.Executing = 4
		return tx.PutWorker(worker)
	})
	if got := all(); len(got) != 0 {
		t.Errorf("the live output of an input that has ended is %+v", got)
	}
	deleteRun(t, store, "uid")
}

func deleteRun(t testing.TB, store Store, uid types.UID) {
	t.Helper()
	for done := false; !done; {
		write(t, store, func(tx *Tx) error {
			run, err := tx.Run(uid)
			if err != nil {
				return err
			}
			done, err = tx.DeleteSome(run, 1)
			return err
		})
	}
}

func TestSelectionsOfOutcomes(t *testing.T) {
	store := newStore(t)
	run := &Run{UID: "uid", Namespace: "ns", Name: "run", Total: 10, UnsuccessfulCut: -1}
	write(t, store, func(tx *Tx) error { return tx.InsertRun(run) })
	for index := range 10 {
		status := Succeeded
		if index%3 == 2 {
			status = Failed
		}
		add(t, store, run, Outcome{Index: index, Status: status, Result: []byte("1"), Stdout: []byte("out"), StderrDropped: 5})
	}
	for name, tc := range map[string]struct {
		selected Selection
		limit    int
		want     []int
	}{
		"all from an index":            {All(7), 0, []int{7, 8, 9}},
		"a range":                      {Selection{First: 2, Last: 4}, 0, []int{2, 3, 4}},
		"only unsuccessful":            {Selection{First: 0, Last: 100, Unsuccessful: true}, 0, []int{2, 5, 8}},
		"only unsuccessful in a range": {Selection{First: 3, Last: 7, Unsuccessful: true}, 0, []int{5}},
		"the first unsuccessful":       {Selection{First: 0, Last: 100, Unsuccessful: true}, 2, []int{2, 5}},
		"an empty range":               {Selection{First: 4, Last: 3}, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int
			if err := Read(ctx, store, "uid", tc.selected, tc.limit, func(o *Outcome) bool {
				got = append(got, o.Index)
				return true
			}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("indexes (-want +got):\n%s", diff)
			}
		})
	}
	var brief, whole []Outcome
	for _, into := range []*[]Outcome{&brief, &whole} {
		selected := All(0)
		selected.Brief = into == &brief
		if err := Read(ctx, store, "uid", selected, 1, func(o *Outcome) bool {
			*into = append(*into, *o)
			return true
		}); err != nil {
			t.Fatal(err)
		}
	}
	if string(whole[0].Stdout) != "out" || whole[0].StderrDropped != 5 || brief[0].Stdout != nil || brief[0].StderrDropped != 0 || string(brief[0].Result) != "1" {
		t.Errorf("brief %+v, full %+v", brief[0], whole[0])
	}
	var failed []int
	if err := store.View(ctx, func(tx *Tx) (err error) {
		failed, err = tx.Unsuccessful(run.ID, 3, 1)
		return err
	}); err != nil || len(failed) != 1 || failed[0] != 5 {
		t.Errorf("the first unsuccessful index from 3 is %v, %v", failed, err)
	}
}
