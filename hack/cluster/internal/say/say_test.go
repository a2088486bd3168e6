package say

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestALogRepeatsARunningStepNowAndThen(t *testing.T) {
	now := time.Unix(0, 0)
	var out bytes.Buffer
	r := newReporter(&out, false, func() time.Time { return now })

	s := r.Step("Building %s", "it")
	for range 40 {
		now = now.Add(time.Second)
		s.Progress("%d%%", int(now.Unix()))
	}
	now = now.Add(100 * time.Second)
	s.Done("built")

	want := `00:15  Building it: 15% (15 s)
00:30  Building it: 30% (30 s)
02:20  Building it: built (2 min 20 s)
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestATerminalShowsOneLinePerStep(t *testing.T) {
	now := time.Unix(0, 0)
	var out bytes.Buffer
	r := newReporter(&out, true, func() time.Time { return now })

	s := r.Step("Waiting")
	s.Progress("not yet")
	s.Done("there")

	want := "\r\x1b[K00:00  Waiting …" + "\r\x1b[K00:00  Waiting: not yet (0.0 s)" + "\r\x1b[K00:00  Waiting: there (0.0 s)\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("terminal (-want +got):\n%s", diff)
	}
}
