package subresources

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/utils/clock"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/exchange/indexset"
)

// scene is what a LogReader reads at one time.
type scene struct {
	done []outcomes.Outcome
	live []outcomes.LiveOutput
	// loads has the outputs of loads by worker.
	loads map[int64]outcomes.LoadOutput
}

// play shows one scene after the other, the last one forever.
type play struct {
	mu     sync.Mutex
	scenes []scene
	looks  int
	err    error
}

func (p *play) now() scene {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.scenes[min(p.looks, len(p.scenes)-1)]
}

func (p *play) Read(_ context.Context, _ types.UID, selected outcomes.Selection, _ int, yield func(*outcomes.Outcome) bool) error {
	for _, o := range p.now().done {
		wanted := !selected.Unsuccessful || o.Status != outcomes.Succeeded
		if wanted && o.Index >= selected.First && o.Index <= selected.Last && !yield(&o) {
			break
		}
	}
	return p.err
}

func (p *play) Finished(_ context.Context, _ types.UID, indexes indexset.Set) (indexset.Set, error) {
	var found []int
	for _, o := range p.now().done {
		if indexes.Contains(o.Index) {
			found = append(found, o.Index)
		}
	}
	return indexset.Of(found...), p.err
}

// Live is the last call of each read, so it advances the scene.
func (p *play) Live(context.Context, types.UID) ([]outcomes.LiveOutput, error) {
	live := p.now().live
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looks++
	return live, p.err
}

func (p *play) LoadWorkers(context.Context, types.UID) ([]int64, error) {
	return slices.Sorted(maps.Keys(p.now().loads)), p.err
}

func (p *play) LoadOutput(_ context.Context, _ types.UID, worker int64) (*outcomes.LoadOutput, error) {
	if l, ok := p.now().loads[worker]; ok {
		return &l, p.err
	}
	return nil, p.err
}

func printed(index int, stdout, stderr string) outcomes.Outcome {
	return outcomes.Outcome{Index: index, Status: outcomes.Succeeded, StartMicros: 5e6, CompletionMicros: 9e6, Stdout: []byte(stdout), Stderr: []byte(stderr)}
}

func printing(index int, from int64, stdout string) outcomes.LiveOutput {
	return outcomes.LiveOutput{Index: index, StartMicros: 5_000_100, Stdout: outcomes.LiveText{From: from, Bytes: []byte(stdout)}}
}

func askLog(t *testing.T, log *Log, query string) (answer said) {
	t.Helper()
	ctx := apirequest.WithNamespace(t.Context(), "space")
	handler, err := log.Connect(ctx, "run", nil, responder{&answer})
	if err != nil {
		return said{refused: err}
	}
	recorder := httptest.NewRecorder()
	defer func() {
		if p := recover(); p != nil {
			answer.aborted = true
		}
		answer.status, answer.body = recorder.Code, recorder.Body.String()
		answer.kind = recorder.Header().Get("Content-Type")
	}()
	handler.ServeHTTP(recorder, httptest.NewRequestWithContext(ctx, http.MethodGet, "/?"+query, nil))
	return answer
}

func TestLogReturnsTheOutputOfInputs(t *testing.T) {
	cut := printed(2, "end\n", "")
	cut.StdoutDropped = 100
	failed := printed(3, "", "Traceback\n  boom")
	failed.Status = outcomes.Failed
	there := scene{
		done: []outcomes.Outcome{printed(0, "a\nb\n", "warning\n"), printed(1, "", ""), cut, failed, printed(4, "10%\r20%\r\n\rdone", "")},
		live: []outcomes.LiveOutput{printing(6, 0, "one\ntw"), printing(7, 50, "late\n")},
	}
	for query, want := range map[string]string{
		"": "[0] a\n[0] b\n[0 err] warning\n[2] [… 100 bytes are left out here]\n[2] end\n[3 err] Traceback\n[3 err]   boom\n" +
			"[4] 10%\n[4] 20%\n[4] \n[4] done\n[6] one\n[7] [… 50 bytes are left out here]\n[7] late\n[6] tw\n",
		"index=0":               "a\nb\nwarning\n",
		"index=0&stream=stdout": "a\nb\n",
		"index=0&stream=stderr": "warning\n",
		"index=0&prefix=true":   "[0] a\n[0] b\n[0 err] warning\n",
		"index=1":               "",
		"index=2":               "[… 100 bytes are left out here]\nend\n",
		"index=4":               "10%\r20%\r\n\rdone",
		"index=5":               "",
		"index=6":               "one\ntw",
		"failed=true":           "[3 err] Traceback\n[3 err]   boom\n",
	} {
		t.Run(query, func(t *testing.T) {
			got := askLog(t, NewLog(t.Context(), theRun(8), &play{scenes: []scene{there}}, clock.RealClock{}), query)
			if diff := cmp.Diff(want, got.body); diff != "" || got.status != 200 || got.kind != "text/plain; charset=utf-8" {
				t.Errorf("answer %d %s %v (-want +got):\n%s", got.status, got.kind, got.refused, diff)
			}
		})
	}
}

func by(worker int64, o outcomes.Outcome) outcomes.Outcome {
	o.WorkerID = worker
	return o
}

func TestLogBeginsTheOutputOfAWorkerWithThatOfItsLoad(t *testing.T) {
	loads := map[int64]outcomes.LoadOutput{
		1: {PodName: "pod-1", Stdout: []byte("weights\r\n50%\rdone"), Stderr: []byte("warning\n")},
		3: {PodName: "pod-3", Stdout: []byte("only printed\n")},
		4: {PodName: "pod-4", Stderr: []byte("no such file\n")},
	}
	failed, unknown := by(2, printed(1, "", "boom")), by(0, printed(4, "", ""))
	failed.Status, unknown.Status = outcomes.Failed, outcomes.Failed
	live := printing(3, 0, "now\n")
	live.WorkerID = 3
	there := scene{done: []outcomes.Outcome{by(1, printed(0, "a\n", "")), failed, by(1, printed(2, "b\n", ""))}, live: []outcomes.LiveOutput{live}, loads: loads}
	notLoaded := scene{done: []outcomes.Outcome{unknown}, loads: loads}
	const one, three, four = "[load pod-1] weights\n[load pod-1] 50%\n[load pod-1] done\n[load pod-1 err] warning\n", "[load pod-3] only printed\n", "[load pod-4 err] no such file\n"
	for name, tc := range map[string]struct {
		scene       scene
		query, want string
	}{
		"before its first input, else at the end": {there, "", one + "[0] a\n[1 err] boom\n[2] b\n" + three + four + "[3] now\n"},
		"one stream":                           {there, "stream=stderr", "[load pod-1 err] warning\n[1 err] boom\n" + four},
		"without a prefix":                     {there, "prefix=false&stream=stderr", "warning\nboomno such file\n"},
		"not with the output of one input":     {there, "index=0", "a\n"},
		"only of the workers of failed inputs": {there, "failed=true", "[1 err] boom\n"},
		"all, if an input failed without one":  {notLoaded, "failed=true", one + three + four},
		"an input that no worker executed":     {notLoaded, "", one + three + four},
	} {
		t.Run(name, func(t *testing.T) {
			got := askLog(t, NewLog(t.Context(), theRun(5), &play{scenes: []scene{tc.scene}}, clock.RealClock{}), tc.query)
			if diff := cmp.Diff(tc.want, got.body); diff != "" || got.status != 200 {
				t.Errorf("answer %d %v (-want +got):\n%s", got.status, got.refused, diff)
			}
		})
	}
	t.Run("while it is followed", func(t *testing.T) {
		got := askLog(t, NewLog(t.Context(), theRun(4), &play{scenes: []scene{there, {done: []outcomes.Outcome{
			by(1, printed(0, "a\n", "")), failed, by(1, printed(2, "b\n", "")), by(3, printed(3, "now\nend\n", "")),
		}, loads: loads}}}, clock.RealClock{}), "follow=true")
		if diff := cmp.Diff(one+"[0] a\n[1 err] boom\n[2] b\n"+three+"[3] now\n[3] end\n"+four, got.body); diff != "" {
			t.Errorf("answer (-want +got):\n%s", diff)
		}
	})
}

func TestAFollowedLogHasEachLineOnce(t *testing.T) {
	scenes := []scene{
		{live: []outcomes.LiveOutput{printing(0, 0, "step 1\nst"), printing(1, 0, "x\n")}},
		{live: []outcomes.LiveOutput{printing(0, 0, "step 1\nstep 2\n"), printing(1, 0, "x\n")}},
		// Only the end of the output of 0 is available, and it continues where the client is.
		{live: []outcomes.LiveOutput{printing(0, 7, "step 2\nstep 3\n")}, done: []outcomes.Outcome{printed(1, "x\ny\n", "")}},
		{done: []outcomes.Outcome{printed(0, "step 1\nstep 2\nstep 3\nend", "e\n"), printed(1, "x\ny\n", "")}},
		{done: []outcomes.Outcome{printed(0, "step 1\nstep 2\nstep 3\nend", "e\n"), printed(1, "x\ny\n", ""), printed(2, "z", "")}},
	}
	for query, want := range map[string]string{
		"follow=true":         "[0] step 1\n[1] x\n[0] step 2\n[1] y\n[0] step 3\n[0] end\n[0 err] e\n[2] z\n",
		"follow=true&index=0": "step 1\nstep 2\nstep 3\nende\n",
		"follow=true&index=2": "z",
	} {
		t.Run(query, func(t *testing.T) {
			got := askLog(t, NewLog(t.Context(), theRun(3), &play{scenes: scenes}, clock.RealClock{}), query)
			if diff := cmp.Diff(want, got.body); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAFollowedLogStartsAgainWithANewAttempt(t *testing.T) {
	again := printing(0, 0, "second ")
	again.StartMicros = 50_000_000
	over := printed(0, "second try\n", "")
	over.StartMicros, over.CompletionMicros = 50_000_000, 60_000_000
	got := askLog(t, NewLog(t.Context(), theRun(1), &play{scenes: []scene{
		{live: []outcomes.LiveOutput{printing(0, 0, "first try, broken off")}},
		{live: []outcomes.LiveOutput{again}},
		{done: []outcomes.Outcome{over}},
	}}, clock.RealClock{}), "follow=true")
	if diff := cmp.Diff("[0] first try, broken off\n[0] second try\n", got.body); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

func TestAFollowedLogEndsWhenTheServerStops(t *testing.T) {
	ending, end := context.WithCancel(t.Context())
	end()
	got := askLog(t, NewLog(ending, theRun(3), &play{scenes: []scene{{live: []outcomes.LiveOutput{printing(0, 0, "half")}}}}, clock.RealClock{}), "follow=true")
	if got.refused != nil || got.aborted || got.body != "[0] half\n" && got.body != "" {
		t.Errorf("answer %+v", got)
	}
}

func TestLogErrors(t *testing.T) {
	for query, want := range map[string]string{
		"index=3":             "the run has the inputs 0 to 2 and no input 3",
		"index=-1":            "the parameter index",
		"stream=all":          `the parameter stream is "all": it must be stdout, stderr or both`,
		"failed&follow":       "the parameter failed cannot be combined",
		"failed=true&index=1": "the parameter failed cannot be combined",
		"prefix=maybe":        "the parameter prefix",
	} {
		t.Run(query, func(t *testing.T) {
			got := askLog(t, NewLog(t.Context(), theRun(3), &play{scenes: []scene{{}}}, clock.RealClock{}), query)
			if !apierrors.IsBadRequest(got.refused) || !strings.Contains(got.refused.Error(), want) {
				t.Errorf("error %v, want one that says %q", got.refused, want)
			}
		})
	}
	t.Run("a store that is not open", func(t *testing.T) {
		got := askLog(t, NewLog(t.Context(), theRun(3), &play{scenes: []scene{{}}, err: fmt.Errorf("%w: wait", outcomes.ErrNotReady)}, clock.RealClock{}), "")
		if !apierrors.IsServiceUnavailable(got.refused) {
			t.Errorf("error %v", got.refused)
		}
	})
	t.Run("deleted output", func(t *testing.T) {
		got := askLog(t, NewLog(t.Context(), theRun(3), &play{scenes: []scene{{}}, err: &outcomes.ResultsDeletedError{At: time.Unix(7, 0)}}, clock.RealClock{}), "")
		if !apierrors.IsResourceExpired(got.refused) {
			t.Errorf("error %v", got.refused)
		}
	})
	t.Run("an error after the start of the response aborts the connection", func(t *testing.T) {
		// More than the buffer holds, so that the response has started.
		large := scene{done: []outcomes.Outcome{printed(0, strings.Repeat("x", 2*streamBuffer), "")}}
		got := askLog(t, NewLog(t.Context(), theRun(3), &play{scenes: []scene{large}, err: errors.New("broken")}, clock.RealClock{}), "")
		if !got.aborted {
			t.Errorf("answer %+v", got)
		}
	})
	t.Run("the number of concurrent requests is limited", func(t *testing.T) {
		log := NewLog(t.Context(), theRun(3), &play{scenes: []scene{{}}}, clock.RealClock{})
		taken(t, log.slots.reads)
		if got := askLog(t, log, ""); !apierrors.IsTooManyRequests(got.refused) {
			t.Errorf("error %v", got.refused)
		}
	})
}
