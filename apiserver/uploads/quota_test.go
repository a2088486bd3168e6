package uploads

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/quotas"
	"sharedcloud.io/function-operator/parameters"
)

// spaces are namespaces with their UIDs and annotations.
type spaces map[string]space

type space struct {
	uid         types.UID
	annotations map[string]string
}

func (s spaces) Lookup(name string) (types.UID, map[string]string, bool) {
	one, ok := s[name]
	return one.uid, one.annotations, ok
}

// limited returns a store with a quota for each namespace.
func limited(t *testing.T, bytes int64, known spaces) (*Store, *outcomes.SQLite) {
	t.Helper()
	store, db, clk := newStore(t, DefaultMaxBytes)
	store.quota = quotas.New(quotas.Limits{Uploads: bytes}, known, clk)
	return store, db
}

func ndjson(text string) Inputs { return parameters.NewReader(strings.NewReader(text), lines) }

// refusedForSpace checks that an error is that of a quota and states the quota.
func refusedForSpace(t *testing.T, err error, limit string) bool {
	t.Helper()
	var exceeded *quotas.ExceededError
	if !errors.As(err, &exceeded) {
		return false
	}
	if !strings.Contains(err.Error(), "the namespace space stores") || !strings.Contains(err.Error(), "its quota is "+limit) || !strings.Contains(err.Error(), v1alpha1.AnnotationUploadsQuota) {
		t.Errorf("the refusal says %q", err)
	}
	return true
}

func TestANamespaceStoresNoMoreUploadsThanItsQuota(t *testing.T) {
	const limit = 4 << 20
	for name, attack := range map[string]func(t *testing.T, store *Store, n int) error{
		//security:attack tenant | A namespace fills the store with large uploads. | An upload above the quota is rejected with 507, and none of it is stored.
		"large": func(t *testing.T, store *Store, n int) error {
			_, err := store.Write(t.Context(), "space", ndjson(numbered(1500, 1000)+fmt.Sprintf("[%d]", n)))
			return err
		},
		//security:attack tenant | A namespace fills the store with thousands of tiny uploads. | Each counts the size of its rows, not only its bytes.
		"tiny": func(t *testing.T, store *Store, n int) error {
			_, err := store.Write(t.Context(), "space", ndjson(fmt.Sprintf("[%d]", n)))
			return err
		},
		//security:attack tenant | A namespace fills the store with uploads that are never finished. | An upload counts from its first byte.
		"unfinished": func(t *testing.T, store *Store, n int) error {
			_, err := store.Append(t.Context(), "space", fmt.Sprintf("name-%d", n), 0, ndjson(numbered(400, 1000)))
			return err
		},
		//security:attack tenant | One upload in very many calls of one input each. | Each chunk counts the size of its row.
		"in tiny chunks": func(t *testing.T, store *Store, n int) error {
			_, err := store.Append(t.Context(), "space", "name", n, ndjson(fmt.Sprintf("[%d]", n)))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			store, db := limited(t, limit, spaces{"space": {uid: "uid"}, "other": {uid: "other-uid"}})
			refused := false
			for n := 0; !refused; n++ {
				err := attack(t, store, n)
				if refused = refusedForSpace(t, err, "4 MiB"); !refused && err != nil || n > limit/1024 {
					t.Fatalf("after %d: %v", n, err)
				}
			}
			var used int64
			if err := db.View(t.Context(), func(tx *outcomes.Tx) (err error) {
				used, err = tx.UploadsBytes("space", "uid")
				return err
			}); err != nil || used > limit+1024 || used < limit/4 {
				t.Errorf("%d bytes of %d are stored, %v", used, limit, err)
			}
			if _, err := store.Write(t.Context(), "other", ndjson(numbered(1500, 1000))); err != nil {
				t.Errorf("another namespace: %v", err)
			}
		})
	}
}

//security:attack tenant | Many concurrent uploads of a namespace. | Their total does not exceed the quota.
func TestConcurrentUploadsStoreNoMoreThanTheQuota(t *testing.T) {
	const limit = 4 << 20
	store, db := limited(t, limit, spaces{"space": {uid: "uid"}})
	var group sync.WaitGroup
	for n := range 12 {
		group.Go(func() {
			_, err := store.Append(t.Context(), "space", fmt.Sprintf("name-%d", n), 0, ndjson(numbered(1000, 1000)))
			if err != nil && !refusedForSpace(t, err, "4 MiB") {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if err := db.View(t.Context(), func(tx *outcomes.Tx) error {
		used, err := tx.UploadsBytes("space", "uid")
		if used > limit+12*1024 || used < limit/2 {
			t.Errorf("%d bytes of %d are stored", used, limit)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestADeletedUploadFreesTheQuota(t *testing.T) {
	store, db := limited(t, 1<<20, spaces{"space": {uid: "uid"}})
	big := numbered(700, 1000)
	writeText(t, store, "space", big)
	other := strings.ReplaceAll(big, "x", "y")
	if _, err := store.Write(t.Context(), "space", ndjson(other)); !refusedForSpace(t, err, "1 MiB") {
		t.Fatalf("the second got %v", err)
	}
	var all []outcomes.Upload
	if err := db.View(t.Context(), func(tx *outcomes.Tx) (err error) {
		all, err = tx.UploadsUsedBefore(1<<62, 10)
		return err
	}); err != nil || len(all) != 1 {
		t.Fatalf("there are %+v, %v", all, err)
	}
	if err := store.remove(t.Context(), "space", all[0].ID); err != nil {
		t.Fatal(err)
	}
	writeText(t, store, "space", other)
}

func TestAnAnnotationOfTheNamespaceIsItsQuota(t *testing.T) {
	for value, want := range map[string]bool{"2Mi": true, "unlimited": true, "1Mi": false, "1e9Gi": false, "-5Gi": false, "": false, "99999999999999999999Ti": false} {
		t.Run(value, func(t *testing.T) {
			store, _ := limited(t, 1<<20, spaces{"space": {uid: "uid", annotations: map[string]string{v1alpha1.AnnotationUploadsQuota: value}}})
			_, err := store.Write(t.Context(), "space", ndjson(numbered(1500, 1000)))
			if fits := !refusedForSpace(t, err, "1 MiB"); fits != want || fits && err != nil {
				t.Errorf("1.5 MiB are stored: %v, %v; want %v", fits, err, want)
			}
		})
	}
}

//security:attack tenant | A namespace is deleted, and another tenant creates one with its name. | The new namespace cannot see or use the old uploads, they do not count against its quota, and they are swept.
func TestARecreatedNamespaceHasNoUploadsOfTheEarlierOne(t *testing.T) {
	known := spaces{"space": {uid: "old"}}
	store, db, clk := newStore(t, DefaultMaxBytes)
	store.quota = quotas.New(quotas.Limits{Uploads: 2 << 20}, known, clk)
	text := numbered(1500, 1000)
	upload := writeText(t, store, "space", text)
	if _, err := store.Append(t.Context(), "space", "name", 0, ndjson("[1]\n[2]")); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Inputs(t.Context(), "space", upload.Digest); err != nil {
		t.Fatal(err)
	}
	known["space"] = space{uid: "new"}
	if _, err := store.Inputs(t.Context(), "space", upload.Digest); !store.Gone(err) {
		t.Errorf("the new namespace finds the upload: %v", err)
	}
	if _, err := store.Slice(t.Context(), "space", upload.Digest, 0, 0); !store.Gone(err) {
		t.Errorf("the new namespace reads the upload: %v", err)
	}
	if have, err := store.Append(t.Context(), "space", "name", 0, parameters.NewReader(strings.NewReader(""), parameters.Stream{Format: v1alpha1.FormatNDJSON, MayBeEmpty: true})); have != 0 || err != nil {
		t.Errorf("the new namespace continues an upload of the old one: %d, %v", have, err)
	}
	writeText(t, store, "space", text) // there is room for it, and it is stored
	sweeper := NewSweeper(store, func() (map[[2]string]bool, error) { return map[[2]string]bool{{"space", upload.Digest}: true}, nil }, time.Hour, clk)
	clk.Step(2 * time.Hour)
	if err := sweeper.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, _ := rows(t, db); left != 1 {
		t.Errorf("%d uploads are left", left)
	}
	if _, err := store.Slice(t.Context(), "space", upload.Digest, 0, 0); err != nil {
		t.Errorf("the new namespace's own: %v", err)
	}
	delete(known, "space")
	if _, err := store.Write(t.Context(), "space", ndjson("[1]")); !errors.Is(err, ErrNamespaceUnknown) {
		t.Errorf("a namespace that is not known: %v", err)
	}
}
