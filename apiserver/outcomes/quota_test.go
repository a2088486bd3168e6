package outcomes

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

// uploadsBytes returns what the uploads of a namespace count.
func uploadsBytes(t testing.TB, store Store, namespace string, uid types.UID) (bytes int64) {
	t.Helper()
	if err := store.View(ctx, func(tx *Tx) (err error) {
		bytes, err = tx.UploadsBytes(namespace, uid)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return bytes
}

func TestAnUploadCountsItsBytesItsChunksAndItsRow(t *testing.T) {
	store := newStore(t)
	var id int64
	write(t, store, func(tx *Tx) (err error) {
		if id, err = tx.InsertUpload("ns", nsUID, 1); err != nil {
			return err
		}
		return tx.PutArriving("ns", "name", id, []byte("state"))
	})
	want := int64(UploadBytes + nameBytes)
	if got := uploadsBytes(t, store, "ns", nsUID); got != want {
		t.Errorf("an empty upload counts %d; want %d", got, want)
	}
	for first := range 3 {
		write(t, store, func(tx *Tx) error {
			_, err := tx.AddChunk(id, Chunk{First: first, Inputs: 1, Data: []byte(strings.Repeat("x", 100))}, 2)
			return err
		})
		want += 100 + ChunkBytes
	}
	write(t, store, func(tx *Tx) error {
		// A chunk that is not added does not count.
		there, err := tx.AddChunk(id, Chunk{First: 1, Inputs: 1, Data: []byte("late")}, 2)
		if there {
			t.Error("a chunk was added twice")
		}
		measured, err1 := tx.MeasureUpload(id)
		stored, err2 := tx.StoredUpload(id)
		if measured != want-nameBytes || stored != measured {
			t.Errorf("its row counts %d, and the sum of its rows is %d; want %d", stored, measured, want-nameBytes)
		}
		for _, err := range []error{err, err1, err2} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	if got := uploadsBytes(t, store, "ns", nsUID); got != want {
		t.Errorf("it counts %d; want %d", got, want)
	}
	if got := uploadsBytes(t, store, "other", nsUID); got != 0 {
		t.Errorf("another namespace has %d", got)
	}
	for done := false; !done; {
		write(t, store, func(tx *Tx) (err error) {
			done, err = tx.DeleteUploadSome(id, 1)
			return err
		})
	}
	if got := uploadsBytes(t, store, "ns", nsUID); got != 0 {
		t.Errorf("a deleted upload counts %d", got)
	}
}

//security:attack tenant | A namespace is created with the name of a deleted one, and references its uploads. | Uploads belong to the namespace's UID: the new one cannot find them, and they do not count against its quota.
func TestUploadsBelongToTheUIDOfTheirNamespace(t *testing.T) {
	store := newStore(t)
	upload(t, store, "ns", "sha256:x")
	write(t, store, func(tx *Tx) error {
		id, err := tx.InsertUpload("ns", nsUID, 1)
		if err != nil {
			return err
		}
		return tx.PutArriving("ns", "name", id, []byte("state"))
	})
	if err := store.View(ctx, func(tx *Tx) error {
		found, err := tx.Upload("ns", "another", "sha256:x")
		if found != nil {
			t.Error("the later namespace with the name finds the upload")
		}
		arriving, err1 := tx.Arriving("ns", "another", "name")
		if arriving != nil {
			t.Error("the later namespace with the name finds the incomplete upload")
		}
		if err == nil {
			err = err1
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	// It may store the same content, and use the same name for an upload.
	var own int64
	write(t, store, func(tx *Tx) (err error) {
		if own, err = tx.InsertUpload("ns", "another", 1); err != nil {
			return err
		}
		if _, err = tx.AddChunk(own, Chunk{Inputs: 3, Data: []byte("abc")}, 1); err != nil {
			return err
		}
		if _, err := tx.CompleteUpload(own, "sha256:x", 3, 1); err != nil {
			return err
		}
		return tx.PutArriving("ns", "name", own, []byte("state"))
	})
	if err := store.View(ctx, func(tx *Tx) error {
		found, err := tx.Upload("ns", "another", "sha256:x")
		if err == nil && (found == nil || found.ID != own) {
			t.Errorf("it finds %+v", found)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestUploadsWithoutANamespaceUIDAreClaimedOnce(t *testing.T) {
	store := newStore(t)
	upload(t, store, "ns", "sha256:old")
	upload(t, store, "ns", "sha256:both")
	write(t, store, func(tx *Tx) error {
		_, err := tx.exec("test", `UPDATE uploads SET namespace_uid = ''`)
		return err
	})
	upload(t, store, "ns", "sha256:both")
	for range 2 {
		write(t, store, func(tx *Tx) error {
			names, err := tx.NamespacesOfUnclaimed()
			if len(names) != 1 || names[0] != "ns" {
				t.Errorf("unclaimed are the uploads of %q", names)
			}
			if err != nil {
				return err
			}
			return tx.ClaimUploads("ns", nsUID)
		})
	}
	for digest, want := range map[string]bool{"sha256:old": true, "sha256:both": true} {
		if found, _ := uploaded(t, store, "ns", digest); (found != nil) != want || found.NamespaceUID != nsUID {
			t.Errorf("%s is %+v", digest, found)
		}
	}
	write(t, store, func(tx *Tx) error { return tx.ClaimUploads("ns", "another") })
	if found, _ := uploaded(t, store, "ns", "sha256:old"); found == nil {
		t.Error("a claimed upload was claimed again")
	}
}

// TestTheMigrationCountsExistingRows runs the sums of the migration on rows whose sums are not set.
func TestTheMigrationCountsExistingRows(t *testing.T) {
	store := newStore(t)
	run := addRun(t, store, "uid")
	worker := &Worker{RunID: run.ID, PodUID: "pod", State: WorkerLive, Executing: 3}
	write(t, store, func(tx *Tx) error {
		if err := tx.PutWorker(worker); err != nil {
			return err
		}
		before := *run
		run.ClosingError = ErrorText{"T", "message\x00ü", "trace"}
		if err := tx.UpdateRun(&before, run); err != nil {
			return err
		}
		return tx.PutLiveOutput(run.ID, &LiveOutput{WorkerID: worker.ID, Index: 3, Stdout: LiveText{0, []byte("out")}, Stderr: LiveText{0, []byte("error")}})
	})
	add(t, store, run, Outcome{Index: 0, Status: Succeeded, Result: []byte(`"ü"`), ResultText: []byte("ü")},
		Outcome{Index: 1, Status: Failed, Error: &ErrorText{"T", "m", "t"}, Stdout: []byte{0, 1}, Stderr: []byte("e")})
	id := upload(t, store, "ns", "sha256:x")
	name := wordsOf(store, "migrations/sqlite/00007_stored_bytes.sql", "migrations/postgres/00005_stored_bytes.sql")
	text, err := fs.ReadFile(migrations, name)
	if err != nil {
		t.Fatal(err)
	}
	updates := 0
	for part := range strings.SplitSeq(string(text), ";") {
		if at := strings.Index(part, "\nUPDATE "); at >= 0 {
			updates++
			write(t, store, func(tx *Tx) error {
				_, err := tx.exec("migrating", part[at:])
				return err
			})
		}
	}
	write(t, store, func(tx *Tx) error {
		row, err := tx.Run("uid")
		if err != nil {
			return err
		}
		want := int64(RunBytes+WorkerBytes+2*OutcomeBytes) + int64(len("Tmessage\x00ütrace")+len("outerror")+len(`"ü"ü`)+len("Tmt")+2+1)
		measured, err := tx.MeasureRun(run.ID)
		if updates != 2 || row.StoredBytes != want || measured != want {
			t.Errorf("%d updates; the run counts %d, and the sum of its rows is %d; want %d", updates, row.StoredBytes, measured, want)
		}
		if err != nil {
			return err
		}
		stored, err := tx.StoredUpload(id)
		if want := int64(UploadBytes + 2*ChunkBytes + 3 + len("sha256:x")); stored != want {
			t.Errorf("the upload counts %d; want %d", stored, want)
		}
		return err
	})
	for name, bytes := range map[string]int64{"RunBytes": RunBytes, "WorkerBytes": WorkerBytes, "OutcomeBytes": OutcomeBytes, "UploadBytes": UploadBytes, "ChunkBytes": ChunkBytes} {
		if !strings.Contains(measuredRun+measuredUpload, fmt.Sprint(bytes)) {
			t.Errorf("%s is not in the sums", name)
		}
	}
}
