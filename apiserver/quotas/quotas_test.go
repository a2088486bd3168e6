package quotas

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

type namespaces map[string]map[string]string

func (n namespaces) Lookup(name string) (types.UID, map[string]string, bool) {
	annotations, ok := n[name]
	return types.UID(name + "-uid"), annotations, ok
}

func TestTheQuotaOfANamespace(t *testing.T) {
	for text, want := range map[string]int64{
		"1Mi": 1 << 20, "20Gi": 20 << 30, "999999Ti": 999999 << 40, "unlimited": 0,
		// An invalid value is ignored: the default applies.
		"": 7, "0": 7, "-1Gi": 7, "1e9Gi": 7, "1.5Gi": 7, "20G": 7, "1000000Ti": 7, " 1Gi": 7, "1Gi\n": 7, strings.Repeat("9", 100000) + "Gi": 7,
	} {
		q := New(Limits{Results: 7, Uploads: 5}, namespaces{"ns": {v1alpha1.AnnotationResultsQuota: text}}, testingclock.NewFakeClock(time.Now()))
		if uid, got := q.Of(Results, "ns"); got != want || uid != "ns-uid" {
			t.Errorf("%.20q is %d of %s; want %d", text, got, uid, want)
		}
		if _, got := q.Of(Uploads, "ns"); got != 5 {
			t.Errorf("the quota of uploads is %d", got)
		}
	}
}

func TestSizesAreFormatted(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0 bytes", 1: "1 byte", 1023: "1023 bytes", 1024: "1 KiB", 1536: "1.5 KiB", 4608 << 20: "4.5 GiB", 999999 << 40: "999999 TiB", -5: "-5 bytes"} {
		if got := Size(bytes); got != want {
			t.Errorf("%d is %q; want %q", bytes, got, want)
		}
	}
}

// An estimate is never less than what this server has stored, and a new sum is computed if the estimate is not conclusive.
func TestAnEstimateIsUsedIfItIsConclusive(t *testing.T) {
	clk := testingclock.NewFakeClock(time.Now())
	q := New(Limits{Results: 100}, namespaces{"ns": nil}, clk)
	k := key{Results, "ns", "ns-uid"}
	if _, _, enough := q.estimate(k, 100, 1); enough {
		t.Error("nothing is known, but it is conclusive")
	}
	q.Added(Results, "ns", 30) // committed during the summing
	if used := q.counted(k, 50, 0, clk.Now()); used != 80 {
		t.Errorf("with the bytes that were added meanwhile it is %d", used)
	}
	for name, tc := range map[string]struct {
		want   int64
		after  time.Duration
		enough bool
	}{
		"certainly fits":                 {20, 0, true},
		"may not fit":                    {21, 0, false},
		"certainly fits, a second later": {20, time.Second, false},
		"nothing, after a slow sum":      {1000, 0, false},
	} {
		before := clk.Now()
		clk.Step(tc.after)
		if used, _, enough := q.estimate(k, 100, tc.want); enough != tc.enough || used != 80 {
			t.Errorf("%s: enough %v, used %d", name, enough, used)
		}
		clk.SetTime(before)
	}
	q.counted(k, 100, 30, clk.Now())
	if used, _, enough := q.estimate(k, 100, 1000); !enough || used != 100 {
		t.Errorf("the quota is used up: enough %v, used %d", enough, used)
	}
	// A sum that took a second is valid for twenty.
	begun := clk.Now()
	clk.Step(time.Second)
	q.counted(k, 90, 0, begun)
	clk.Step(10 * time.Second)
	if _, _, enough := q.estimate(k, 100, 1000); !enough {
		t.Error("a slow sum is computed too often")
	}
	q.Freed(Results, "ns")
	if _, _, enough := q.estimate(k, 100, 1); enough {
		t.Error("deleted rows still count")
	}
}

func TestANilQuotaSetsNoLimits(t *testing.T) {
	var q *Quotas
	q.Added(Results, "ns", 1)
	q.Freed(Results, "ns")
	q.Refused(Outcome, "ns", 1, 1)
	room, err := q.Room(nil, Results, "ns", 1)
	if err != nil || room.Left() < 1<<60 {
		t.Errorf("there is room for %d, %v", room.Left(), err)
	}
}
