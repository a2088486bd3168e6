package controllers

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/test/builders"
)

// countingReader counts the reads of another reader.
type countingReader struct {
	client.Reader
	reads int
}

func (r *countingReader) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	r.reads++
	return r.Reader.Get(ctx, key, object, options...)
}

// The pin's confirmation spares the Job one request, and nothing else: not after a second, and not where the cache has another object.
func TestAConfirmedRevisionIsNotReadAgain(t *testing.T) {
	ctx := context.Background()
	for name, tc := range map[string]struct {
		confirm   bool
		age       time.Duration
		replace   bool
		wantReads int
	}{
		"confirmed":                          {confirm: true},
		"confirmed a second ago":             {confirm: true, age: time.Second},
		"confirmed too long ago":             {confirm: true, age: time.Second + time.Millisecond, wantReads: 1},
		"not confirmed":                      {wantReads: 1},
		"confirmed, then replaced, not read": {confirm: true, replace: true, wantReads: 2},
	} {
		t.Run(name, func(t *testing.T) {
			revision := testRevision(t)
			ref := revisionRef{"team", revision.Name, v1alpha1.ContentDigest("uid-of-f", revision), "uid-of-f"}
			cached, live := newCluster(revision.DeepCopy()).client, &countingReader{Reader: newCluster(revision.DeepCopy()).client}
			clk := clocktesting.NewFakePassiveClock(builders.Now)
			r := newRevisionReader(cached, live, testOptions, clk)
			if _, err := r.read(ctx, ref); err != nil {
				t.Fatal(err)
			}
			if tc.confirm {
				r.confirm(ctx, ref)
			}
			if tc.replace {
				other := revision.DeepCopy()
				other.UID, other.Data = "another", map[string]string{"handler.py": "other"}
				for _, c := range []client.Client{cached, live.Reader.(client.Client)} {
					if err := c.Delete(ctx, &corev1.ConfigMap{ObjectMeta: revision.ObjectMeta}); err != nil {
						t.Fatal(err)
					}
					if err := c.Create(ctx, other.DeepCopy()); err != nil {
						t.Fatal(err)
					}
				}
			}
			clk.SetTime(builders.Now.Add(tc.age))
			live.reads = 0
			_, err := r.readNow(ctx, ref)
			if live.reads != tc.wantReads || isNotTheRevision(err) != tc.replace || !tc.replace && err != nil {
				t.Errorf("%d reads of the API server, want %d: %v", live.reads, tc.wantReads, err)
			}
		})
	}
}
