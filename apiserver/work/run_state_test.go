package work

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/exchange"
	"sharedcloud.io/function-operator/exchange/indexset"
)

func TestGuarantee7BatchesAreSizedByTheServer(t *testing.T) {
	us := func(d time.Duration) float64 { return micros(d) }
	for name, tc := range map[string]struct {
		mean      float64
		measured  int64
		remaining int
		workers   int
		leased    int
		want      int
	}{
		"one before anything is measured":              {remaining: 1000, workers: 2, want: 1},
		"no prefetch before anything is measured":      {remaining: 1000, workers: 2, leased: 1, want: 0},
		"fifty inputs of a millisecond, 50 ms of work": {mean: us(time.Millisecond), measured: 9, remaining: 100000, workers: 2, want: 50},
		"at most a thousand inputs":                    {mean: 1, measured: 9, remaining: 100000, workers: 2, want: 1000},
		"one if inputs are long":                       {mean: us(time.Second), measured: 9, remaining: 100000, workers: 2, want: 1},
		"no prefetch if inputs are long":               {mean: us(time.Second), measured: 9, remaining: 100000, workers: 2, leased: 1, want: 0},
		"a prefetch of one if a round trip matters":    {mean: us(50 * time.Millisecond), measured: 9, remaining: 1000, workers: 8, leased: 1, want: 1},
		"no second prefetch":                           {mean: us(50 * time.Millisecond), measured: 9, remaining: 1000, workers: 8, leased: 2, want: 0},
		"remaining/(4w) if that is less":               {mean: us(time.Millisecond), measured: 9, remaining: 160, workers: 8, want: 5},
		"at least two milliseconds of work":            {mean: us(10 * time.Microsecond), measured: 9, remaining: 400, workers: 8, want: 200},
		"at most what remains":                         {mean: us(10 * time.Microsecond), measured: 9, remaining: 7, workers: 8, want: 7},
		"two of the last three":                        {mean: us(time.Millisecond), measured: 9, remaining: 3, workers: 8, want: 2},
		"no prefetch of the last inputs":               {mean: us(time.Millisecond), measured: 9, remaining: 8, workers: 8, leased: 1, want: 0},
		"none if nothing remains":                      {mean: us(time.Millisecond), measured: 9, remaining: 0, workers: 8, want: 0},
		"at most two batches are leased":               {mean: us(time.Millisecond), measured: 9, remaining: 100000, workers: 2, leased: 80, want: 20},
		"zero workers do not divide by zero":           {mean: us(time.Millisecond), measured: 9, remaining: 100, workers: 0, want: 25},
	} {
		t.Run(name, func(t *testing.T) {
			if got := batchSize(tc.mean, tc.measured, tc.remaining, tc.workers, tc.leased); got != tc.want {
				t.Errorf("got %d; want %d", got, tc.want)
			}
		})
	}
}

func TestHandBackIsFourTimesTheMeanWithAMinimum(t *testing.T) {
	for mean, want := range map[time.Duration]time.Duration{0: 200 * time.Millisecond, 10 * time.Millisecond: 200 * time.Millisecond, time.Second: 4 * time.Second} {
		if got := handBack(micros(mean)); got != want {
			t.Errorf("for a mean of %v it is %v; want %v", mean, got, want)
		}
	}
}

func TestMeanIgnoresOneOutlier(t *testing.T) {
	s := &runState{}
	for range 100 {
		s.measure(50_000)
	}
	s.measure(20_000_000)
	if got := s.row.MeanMicros; got < 50_000 || got > 100_000 {
		t.Errorf("after one duration of 20 s among a hundred of 50 ms the mean is %.0f µs", got)
	}
	for range 100 {
		s.measure(1_000_000)
	}
	if got := s.row.MeanMicros; got < 900_000 || got > 1_000_000 {
		t.Errorf("after a hundred durations of 1 s the mean is %.0f µs", got)
	}
	for _, hostile := range []int64{0, -5, 1 << 62} {
		s.measure(hostile)
	}
	if got := s.row.MeanMicros; got < 1 {
		t.Errorf("invalid durations made the mean %f", got)
	}
}

func TestAttempts(t *testing.T) {
	for name, tc := range map[string]struct {
		retries      int
		reports      []request
		wantStatus   outcomes.Status
		wantAttempts int
	}{
		"an exception without retries is the outcome":         {reports: []request{raised(0)}, wantStatus: outcomes.Failed, wantAttempts: 1},
		"an exception with a retry left gets another attempt": {retries: 1, reports: []request{raised(0), done(0)}, wantStatus: outcomes.Succeeded, wantAttempts: 2},
		"the exception after the last retry is the outcome":   {retries: 2, reports: []request{raised(0), raised(0), raised(0)}, wantStatus: outcomes.Failed, wantAttempts: 3},
		"one crash gets another attempt even without retries": {reports: []request{crashed(0), done(0)}, wantStatus: outcomes.Succeeded, wantAttempts: 2},
		"the second crash is the outcome":                     {retries: 5, reports: []request{crashed(0), crashed(0)}, wantStatus: outcomes.Failed, wantAttempts: 2},
		"crashes and exceptions have separate limits":         {retries: 1, reports: []request{crashed(0), raised(0), raised(0)}, wantStatus: outcomes.Failed, wantAttempts: 3},
		"a timeout is the outcome even with retries left":     {retries: 5, reports: []request{timedOut(0)}, wantStatus: outcomes.TimedOut, wantAttempts: 1},
		"all attempts count, also those before a timeout":     {retries: 5, reports: []request{raised(0), crashed(0), timedOut(0)}, wantStatus: outcomes.TimedOut, wantAttempts: 3},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, func(r *Run) { r.Total, r.Retries = 1, tc.retries })
			a := c.pod(0)
			answer := a.call(want)
			for _, report := range tc.reports {
				expect(t, answer, exchange.ActionWork, "0")
				if _, ok := c.outcomes()[0]; ok {
					t.Fatal("there is an outcome although another attempt is left")
				}
				answer = a.call(report, want)
			}
			expect(t, answer, exchange.ActionFinished, "")
			if got := c.outcomes()[0]; got.Status != tc.wantStatus || got.Attempts != tc.wantAttempts {
				t.Errorf("the outcome is %s after %d attempts; want %s after %d", got.Status, got.Attempts, tc.wantStatus, tc.wantAttempts)
			}
		})
	}
}

func timedOut(index int) request {
	return func(r *exchange.Request) {
		o := succeeded(index)
		o.Status, o.Result, o.Error = v1alpha1.OutcomeTimedOut, nil, &exchange.ErrorText{Type: "TimedOut", Message: "60 s"}
		r.Outcomes = append(r.Outcomes, o)
	}
}

func TestOutcomeKeepsItsReportAndWorker(t *testing.T) {
	c := newCluster(t, nil)
	a := c.pod(0)
	a.call(want, func(r *exchange.Request) { r.Device = "GPU-7" })
	c.clock.Step(time.Second)
	text := "text"
	a.call(func(r *exchange.Request) {
		r.Device = "GPU-7"
		r.Outcomes = []exchange.Outcome{{
			Index: 0, Status: "Succeeded", Result: []byte(`{"b":1, "a":  [1e400]}`), ResultText: &text, StartTime: 1000, DurationMicros: 50,
			Stdout: []byte("out"), Stderr: []byte("err"), StdoutDropped: 3, StderrDropped: 4,
		}}
	})
	want := outcomes.Outcome{
		Index: 0, Status: outcomes.Succeeded, Result: []byte(`{"b":1, "a":  [1e400]}`), ResultText: []byte("text"), Stdout: []byte("out"),
		Stderr: []byte("err"), StdoutDropped: 3, StderrDropped: 4, Attempts: 1, AssignedMicros: testStart.UnixMicro(), StartMicros: 1000,
		CompletionMicros: 1050, WorkerID: 1, PodName: a.worker.PodName, Node: "node", Device: "GPU-7",
	}
	if diff := cmp.Diff(want, c.outcomes()[0]); diff != "" {
		t.Errorf("the outcome (-want +got):\n%s", diff)
	}
}

func TestOutcomeBeyondTheLimitsIsCut(t *testing.T) {
	limits := exchange.Limits{ResultBytes: 10, OutputBytes: 4}
	long := strings.Repeat("x", 400<<10)
	text := "longer than ten bytes"
	for name, tc := range map[string]struct {
		reported exchange.Outcome
		want     outcomes.Outcome
	}{
		"a result that is too large is a failure": {
			reported: exchange.Outcome{Status: "Succeeded", Result: []byte(`"0123456789"`)},
			want: outcomes.Outcome{Status: outcomes.Failed, Error: &outcomes.ErrorText{Type: "ResultTooLarge",
				Message: "the result has 12 bytes; at most 10 are kept: store it elsewhere and return where it is"}},
		},
		"escapes count as the characters that they stand for": {
			reported: exchange.Outcome{Status: "Succeeded", Result: []byte(`"\u4e2d\u003c\u00fc"`)},
			want:     outcomes.Outcome{Status: outcomes.Succeeded, Result: []byte(`"\u4e2d\u003c\u00fc"`)},
		},
		"escapes of a result that is too large": {
			reported: exchange.Outcome{Status: "Succeeded", Result: []byte(`"\u4e2d\u6587\u4e2d"`)},
			want: outcomes.Outcome{Status: outcomes.Failed, Error: &outcomes.ErrorText{Type: "ResultTooLarge",
				Message: "the result has 11 bytes; at most 10 are kept: store it elsewhere and return where it is"}},
		},
		"a result text that is too large is a failure": {
			reported: exchange.Outcome{Status: "Succeeded", ResultText: &text},
			want: outcomes.Outcome{Status: outcomes.Failed, Error: &outcomes.ErrorText{Type: "ResultTooLarge",
				Message: "the result has 21 bytes; at most 10 are kept: store it elsewhere and return where it is"}},
		},
		"the end of output is kept and the rest is counted": {
			reported: exchange.Outcome{Status: "Succeeded", Stdout: []byte("123456"), StdoutDropped: 10, Stderr: []byte("1234")},
			want:     outcomes.Outcome{Status: outcomes.Succeeded, Stdout: []byte("3456"), StdoutDropped: 12, Stderr: []byte("1234")},
		},
		"an error is cut": {
			reported: exchange.Outcome{Status: "Failed", Error: &exchange.ErrorText{Type: long, Message: long, Traceback: long}, Result: []byte("1")},
			want: outcomes.Outcome{Status: outcomes.Failed, Error: &outcomes.ErrorText{Type: long[:maxErrorType-3] + "…",
				Message: long[:maxErrorMessage-3] + "…", Traceback: long[:maxErrorTraceback-3] + "…"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, storedOutcome(&tc.reported, limits)); diff != "" {
				t.Errorf("what is stored (-want +got):\n%s", diff)
			}
		})
	}
}

//security:attack worker | An error whose message is megabytes, of characters or of bytes that are not UTF-8. | It is cut between two characters; at most the kept bytes are read.
func TestLongErrorsAreCutBetweenCharacters(t *testing.T) {
	const size = 8 << 20
	for name, tc := range map[string]struct{ message, want string }{
		"characters of one byte":        {strings.Repeat("x", size), strings.Repeat("x", maxErrorMessage-3) + "…"},
		"characters of two bytes":       {strings.Repeat("ä", size), strings.Repeat("ä", (maxErrorMessage-3)/2) + "…"},
		"bytes that are not UTF-8":      {strings.Repeat("\x80", size), "…"},
		"a message of the maximum size": {strings.Repeat("x", maxErrorMessage), strings.Repeat("x", maxErrorMessage)},
	} {
		t.Run(name, func(t *testing.T) {
			got := storedError(&exchange.ErrorText{Message: tc.message}).Message
			if got != tc.want {
				t.Errorf("%d bytes are kept, ending with %q; want %d bytes", len(got), got[max(0, len(got)-8):], len(tc.want))
			}
		})
	}
}

func TestDeathsWithoutAnOutcomeEndTheRun(t *testing.T) {
	load := func(c *cluster) { c.pod(0).call(cannotLoad) }
	silent := func(c *cluster) { c.pod(0).end(exitedOne) }
	disruptedPod := func(c *cluster) { c.pod(0).end(disrupted) }
	leased := func(c *cluster) {
		p := c.pod(0)
		p.call(want)
		p.end(exitedOne)
	}
	outcome := func(c *cluster) {
		p := c.pod(0)
		answer := p.call(want)
		p.call(done(answer.Inputs[0].Index))
		p.end(completed)
	}
	times := func(n int, what func(*cluster)) func(*cluster) {
		return func(c *cluster) {
			for range n {
				what(c)
			}
		}
	}
	for name, tc := range map[string]struct {
		happens    []func(*cluster)
		wantReason string
		wantError  outcomes.ErrorText
	}{
		"w+1 load errors do not end the run":           {happens: []func(*cluster){times(3, load)}},
		"w+2 load errors end the run":                  {happens: []func(*cluster){times(4, load)}, wantReason: "ModuleNotLoaded", wantError: outcomes.ErrorText{Type: "SyntaxError", Message: "invalid syntax (handler.py, line 3)", Traceback: "Traceback"}},
		"w+2 deaths before the first call end the run": {happens: []func(*cluster){times(4, silent)}, wantReason: "WorkersDied", wantError: outcomes.ErrorText{Type: "WorkerDied", Message: "the worker's container ended by itself (exit code 1)"}},
		"an outcome resets the count":                  {happens: []func(*cluster){times(3, silent), outcome, times(3, silent)}},
		"disruptions do not end the run":               {happens: []func(*cluster){times(40, disruptedPod)}},
		"a container that every input kills ends the run before each had two attempts": {
			happens: []func(*cluster){times(12, leased)}, wantReason: "WorkersDied",
			wantError: outcomes.ErrorText{Type: "WorkerDied", Message: "the worker's container ended by itself (exit code 1)"},
		},
		"three poison inputs with an outcome in between do not end the run": {happens: []func(*cluster){times(6, leased), outcome, times(6, leased)}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, func(r *Run) { r.Total = 100 })
			for _, happens := range tc.happens {
				happens(c)
			}
			if err := c.exchange.finishClosings(context.Background()); err != nil {
				t.Fatal(err)
			}
			progress := c.progress()
			if progress.Reason != tc.wantReason || progress.Closed != (tc.wantReason != "") {
				t.Fatalf("the reason is %q, closed %v; want the reason %q", progress.Reason, progress.Closed, tc.wantReason)
			}
			if tc.wantReason == "" {
				return
			}
			expect(t, c.pod(0).call(want), exchange.ActionStop, "")
			last := c.outcomes()[99]
			if diff := cmp.Diff(&tc.wantError, last.Error); diff != "" || last.Status != outcomes.Failed {
				t.Errorf("an index that was never tried is %s (-want +got):\n%s", last.Status, diff)
			}
			if want := troubleText(tc.wantError, tc.wantReason == "ModuleNotLoaded"); progress.Message != want {
				t.Errorf("the message of the progress is %q; want %q", progress.Message, want)
			}
		})
	}
}

func TestDeathIsCountedOnce(t *testing.T) {
	c := newCluster(t, nil)
	p, never := c.pod(0), c.pod(1)
	p.call(want)
	for range 10 {
		p.end(killed)
		never.end(killed)
		c.restart()
	}
	if got := c.row().Deaths; got != 2 {
		t.Errorf("%d deaths are counted; want 2", got)
	}
	if got := c.progress(); got.Closed || got.Message != "the worker's container was killed (SIGKILL, exit code 137)" {
		t.Errorf("the progress is %+v", got)
	}
}

func TestDeathOfAReleasedWorkerIsNotCounted(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total = 1 })
	a, idle := c.pod(0), c.pod(1)
	a.call(want)
	expect(t, idle.call(want), exchange.ActionFinished, "")
	idle.end(exitedOne)
	if got := c.row().Deaths; got != 0 {
		t.Errorf("%d deaths are counted", got)
	}
}

func TestExitMessage(t *testing.T) {
	for want, podExit := range map[string]PodExit{
		"the worker's container was killed by the kernel for memory (OOMKilled, exit code 137)": oomKilled,
		"the worker's container was killed (SIGKILL, exit code 137)":                            killed,
		"the worker's container was killed by signal 11 (exit code 139)":                        {State: PodExitEnded, ExitCode: 139},
		"the worker's container ended by itself (exit code 1)":                                  exitedOne,
		"the worker's container ended by itself (exit code 3): python3: not found":              {State: PodExitEnded, ExitCode: 3, Message: "python3: not found\n"},
	} {
		if got := exitMessage(podExit); got != want {
			t.Errorf("it is %q; want %q", got, want)
		}
	}
}

func TestWorkerOfAnEndedPodMayReportButGetsNoInputs(t *testing.T) {
	c := newCluster(t, nil)
	a := c.pod(0)
	a.call(want)
	a.end(disrupted)
	if _, err := a.send(a.prepare(done(0), want)); err == nil || !strings.Contains(err.Error(), "this pod has ended") {
		t.Errorf("the call got the error %v", err)
	}
	if _, ok := c.outcomes()[0]; !ok {
		t.Error("its report is lost")
	}
	if got := c.row().Live; got != 0 {
		t.Errorf("%d workers are live", got)
	}
}

func TestLateFirstCallOfADeadPodDoesNotEndItsSuccessor(t *testing.T) {
	c := newCluster(t, nil)
	dead, successor := c.pod(0), c.pod(0)
	expect(t, successor.call(want), exchange.ActionWork, "0")
	dead.call()
	if got := successor.call().Revoked; !got.Empty() {
		t.Errorf("%q was revoked from the successor", got)
	}
}

func TestSuspensionReturnsInputsWithoutACharge(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total = 3 })
	c.batchesOf(3)
	a := c.pod(0)
	expect(t, a.call(want), exchange.ActionWork, "0-2")
	c.change(func(r *Run) { r.Suspended = true })
	expect(t, a.call(done(0), executing(1), want), exchange.ActionStop, "")
	c.change(func(r *Run) { r.Suspended, r.JobUID = false, "job-2" })
	b := c.pod(0)
	expect(t, b.call(want), exchange.ActionWork, "1-2")
	b.call(done(1, 2))
	for index, o := range c.outcomes() {
		if o.Attempts != 1 {
			t.Errorf("index %d has %d attempts", index, o.Attempts)
		}
	}
}

func TestProgressListsTheFirstFailedIndexes(t *testing.T) {
	s := &runState{row: outcomes.Run{Total: 4000, UnsuccessfulCut: -1}}
	for index := 3998; index >= 0; index -= 2 {
		s.unsuccessful(indexset.Of(index))
	}
	got := progressOf(&s.row).FailedIndexes
	if len(got) > 4200 || !strings.HasPrefix(got, "0,2,4,6,") || !strings.HasSuffix(got, ",…") {
		t.Errorf("of 2,000 failed indexes it lists %d bytes: %.40q…%q", len(got), got, got[len(got)-10:])
	}
	// Indexes below the cut are listed even if they are added later.
	s.unsuccessful(indexset.Span(0, 9))
	if got := progressOf(&s.row).FailedIndexes; !strings.HasPrefix(got, "0-10,12,") {
		t.Errorf("it starts with %.20q", got)
	}
	// Indexes above the cut are not listed even if there is room, because those in between are not known any more.
	cut := s.row.UnsuccessfulCut
	s.unsuccessful(indexset.Span(0, 500))
	s.unsuccessful(indexset.Of(3999))
	if got := s.row.Unsuccessful.Max(); got >= cut {
		t.Errorf("index %d is listed beyond the cut at %d", got, cut)
	}
}

func TestProgressCountsWorkersAndGPUSeconds(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.GPUs = 2 })
	c.batchesOf(2)
	a, b := c.pod(0), c.pod(1)
	a.call(want)
	b.call()
	c.clock.Step(10 * time.Second)
	c.clock.stepWall(time.Hour)
	a.call(done(0))
	b.call()
	want := v1alpha1.RunProgress{Total: 10, Pending: 8, Running: 1, Succeeded: 1, Workers: 2, GPUSeconds: 40}
	if diff := cmp.Diff(want, c.progress()); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
}

func TestProgressOfARunWithoutCalls(t *testing.T) {
	for total, want := range map[int]v1alpha1.RunProgress{
		5: {Total: 5, Pending: 5},
		0: {Closed: true},
	} {
		c := newCluster(t, func(r *Run) { r.Total = total })
		if diff := cmp.Diff(want, c.progress()); diff != "" {
			t.Errorf("progress of %d inputs (-want +got):\n%s", total, diff)
		}
	}
}

func TestChangedIsCalledForChangesOnly(t *testing.T) {
	c := newCluster(t, nil)
	a := c.pod(0)
	calls := func(do func()) int {
		before := c.changed
		do()
		return c.changed - before
	}
	for _, step := range []struct {
		name string
		do   func()
		want int
	}{
		{"a worker takes an input", func() { a.call(want) }, 1},
		{"a worker calls without a change", func() { c.clock.Step(10 * time.Second); a.call(executing(0)) }, 0},
		{"a worker reports", func() { a.call(done(0)) }, 1},
		{"a call is repeated", func() { _, _ = a.send(a.last) }, 0},
		{"a worker ends", func() { a.end(completed) }, 1},
		{"the run is closed", func() { _ = c.exchange.Close(context.Background(), c.run, "Cancelled", "") }, 1},
	} {
		if got := calls(step.do); got != step.want {
			t.Errorf("%s: called %d times; want %d", step.name, got, step.want)
		}
	}
}

func TestWorkerJoinsOnceWithItsFirstCall(t *testing.T) {
	c := newCluster(t, nil)
	a, b, dead := c.pod(0), c.pod(1), c.pod(1)
	joined := func() []string {
		c.mu.Lock()
		defer c.mu.Unlock()
		return slices.Clone(c.joined)
	}
	_ = c.store.Close()
	if _, err := a.send(a.prepare(want)); err == nil {
		t.Fatal("a call was answered without a store")
	}
	if got := joined(); got != nil {
		t.Errorf("Joined was called for %q, which are not stored", got)
	}
	c.start()
	a.lost(want)
	_, _ = a.send(a.last)
	a.call(done(0))
	dead.end(oomKilled) // it never called
	b.call()
	c.restart()
	a.call()
	if diff := cmp.Diff([]string{"run-uid " + a.worker.PodName, "run-uid " + b.worker.PodName}, joined()); diff != "" {
		t.Errorf("joined (-want +got):\n%s", diff)
	}
}

func TestExecutionStartsAtTheFirstCallThatReportsIt(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total = 3 })
	c.batchesOf(3)
	a := c.pod(0)
	seconds := func(n int64) int64 { return testStart.UnixMicro() + n*1_000_000 }
	for _, step := range []struct {
		name      string
		do        func()
		executing int
		since     int64
	}{
		{"it leases three inputs", func() { a.call(want) }, -1, 0},
		{"it executes the first", func() { a.call(executing(0)) }, 0, seconds(2)},
		{"it continues with the first", func() { a.call(executing(0)) }, 0, seconds(2)},
		{"the answer is lost and the call is repeated", func() { _, _ = a.send(a.last) }, 0, seconds(2)},
		{"it continues after the server was restarted", func() { c.restart(); a.call(executing(0)) }, 0, seconds(2)},
		{"it reports the first and executes the second", func() { a.call(done(0), executing(1)) }, 1, seconds(6)},
		{"it executes nothing", func() { a.call() }, -1, 0},
		{"it executes the second again", func() { a.call(executing(1)) }, 1, seconds(8)},
		{"it reports the second and is idle", func() { a.call(done(1)) }, -1, 0},
		{"it executes the third", func() { a.call(executing(2)) }, 2, seconds(10)},
		{"the run is closed", func() { _ = c.exchange.Close(context.Background(), c.run, "Cancelled", "") }, -1, 0},
	} {
		c.clock.Step(time.Second)
		step.do()
		var row *outcomes.Worker
		c.view(func(tx *outcomes.Tx) (err error) {
			row, err = tx.Worker(c.row().ID, a.worker.PodUID)
			return err
		})
		if row.Executing != step.executing || row.ExecutingMicros != step.since {
			t.Errorf("%s: it executes %d since %d; want %d since %d", step.name, row.Executing, row.ExecutingMicros, step.executing, step.since)
		}
	}
}

func TestForgetDeletesARunAndItsLeases(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total = 3 * deleteChunk })
	a := c.pod(0)
	a.call(want)
	a.call(crashed(0))
	ctx := context.Background()
	if err := c.exchange.Close(ctx, c.run, "Cancelled", ""); err != nil {
		t.Fatal(err)
	}
	if err := c.exchange.Forget(ctx, c.run.UID); err != nil {
		t.Fatal(err)
	}
	if uids, err := c.exchange.RunUIDs(ctx); err != nil || len(uids) != 0 {
		t.Errorf("the store still has %v, %v", uids, err)
	}
	c.gone = true
	if _, err := a.send(a.prepare(want)); err == nil {
		t.Error("a worker of a deleted run got an answer")
	}
	c.advance(time.Minute)
}

func TestOnlyResultsOfClosedRunsAreDeleted(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total = 2*deleteChunk + 5 })
	c.batchesOf(2)
	a := c.pod(0)
	a.call(want)
	a.call(done(0), want)
	ctx := context.Background()
	if err := c.exchange.DeleteResults(ctx, c.run.UID); err == nil {
		t.Fatal("the results of a run that is not closed were deleted")
	}
	if got := c.outcomes()[0]; len(got.Result) == 0 {
		t.Fatalf("the outcome is now %+v", got)
	}
	if err := c.exchange.Close(ctx, c.run, "Cancelled", "because"); err != nil {
		t.Fatal(err)
	}
	before := c.progress()
	for range 2 {
		if err := c.exchange.DeleteResults(ctx, c.run.UID); err != nil {
			t.Fatal(err)
		}
	}
	left := c.outcomes()
	for index, o := range left {
		if len(o.Result) > 0 || o.Status != outcomes.Succeeded && !o.ByClosing {
			t.Errorf("index %d is left as %+v", index, o)
		}
	}
	if diff := cmp.Diff(before, c.progress()); diff != "" || len(left) != c.run.Total {
		t.Errorf("%d outcomes are left; the progress (-before +after):\n%s", len(left), diff)
	}
	if err := c.exchange.DeleteResults(ctx, "unknown"); err != nil {
		t.Errorf("deleting the results of an unknown run: %v", err)
	}
}

func TestInputsBeyondTheAnswerSizeAreReturned(t *testing.T) {
	c := newCluster(t, func(r *Run) { r.Total = 4 })
	c.batchesOf(4)
	c.exchange.inputs = largeInputs{}
	a := c.pod(0)
	expect(t, a.call(want), exchange.ActionWork, "0-1")
	expect(t, a.call(done(0, 1), want), exchange.ActionWork, "2-3")
}

type largeInputs struct{}

func (largeInputs) Inputs(_ context.Context, _ Run, first, last int) (inputs []Input, _ error) {
	for range last - first + 1 {
		inputs = append(inputs, Input{Literal: fmt.Sprintf("(%q,)", strings.Repeat("x", maxAnswerBytes/3))})
	}
	return inputs, nil
}

func TestHandOutIsRepeatedAfterAReadError(t *testing.T) {
	c := newCluster(t, nil)
	a := c.pod(0)
	c.inputsFail = fmt.Errorf("the API is unavailable")
	if _, err := a.send(a.prepare(want)); err == nil {
		t.Fatal("the call was answered without its inputs")
	}
	c.inputsFail = nil
	answer, err := a.send(a.last)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, answer, exchange.ActionWork, "0")
}
