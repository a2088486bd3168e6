package work

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/quotas"
	"sharedcloud.io/function-operator/exchange"
)

// limitedTo returns a cluster whose namespaces have a quota of results and output.
func limitedTo(t testing.TB, bytes int64, change func(*Run)) *cluster {
	t.Helper()
	c := newCluster(t, change)
	c.limits = quotas.Limits{Results: bytes}
	c.restart()
	return c
}

// inNamespace returns another run, in the same store and with the same server's sums.
func (c *cluster) inNamespace(namespace, name string) *cluster {
	c.t.Helper()
	other := &cluster{t: c.t, url: c.url, path: c.path, clock: c.clock, store: c.store, podExits: map[types.UID]PodExit{}, limits: c.limits, run: c.run}
	other.run.Namespace, other.run.Name, other.run.UID, other.run.JobUID = namespace, name, types.UID(namespace+"-"+name), types.UID("job-"+name)
	other.exchange = other.newExchange(c.store)
	other.exchange.options.Quotas = c.exchange.options.Quotas
	return other
}

func (c *cluster) workerOf() *pod {
	p := c.pod(0)
	p.worker.Namespace, p.worker.Run = c.run.Namespace, c.run.Name
	p.worker.PodUID += "-" + c.run.UID
	return p
}

// bytesStored returns the bytes of the namespace's runs, from their rows.
func (c *cluster) bytesStored() (bytes int64) {
	c.t.Helper()
	c.view(func(tx *outcomes.Tx) (err error) {
		bytes, err = tx.RunsBytes(c.run.Namespace, types.UID(c.run.Namespace+"-uid"))
		return err
	})
	return bytes
}

// large reports an index with this many bytes in the named field.
func large(index, bytes int, where string) request {
	return func(r *exchange.Request) {
		text := strings.Repeat("x", bytes)
		o := succeeded(index)
		switch where {
		case "result":
			o.Result = json.RawMessage(`"` + text + `"`)
		case "result text":
			o.ResultText = &text
		case "stdout":
			o.Stdout = []byte(text)
		case "stderr":
			o.Stderr = []byte(text)
		case "traceback":
			o.Status, o.Result, o.Error = v1alpha1.OutcomeFailed, nil, &exchange.ErrorText{Type: "ValueError", Message: "no", Traceback: text}
		case "output of a timeout":
			o.Status, o.Result, o.Stdout = v1alpha1.OutcomeTimedOut, nil, []byte(text)
		}
		r.Outcomes = append(r.Outcomes, o)
	}
}

const quarter = 240 << 10

// A quota of 1 MiB has room for a run, its worker, and four of these outcomes.
func TestOutcomeOverTheQuotaFailsWithoutItsPayload(t *testing.T) {
	for where, status := range map[string]outcomes.Status{
		//security:attack tenant | A run fills the store with results. | Over the quota an outcome is Failed with StorageQuotaExceeded, without its result.
		"result": outcomes.Succeeded,
		//security:attack tenant | A run fills the store with the text of results. | The text counts as the result does.
		"result text": outcomes.Succeeded,
		//security:attack tenant | A run fills the store with what it prints. | Output counts as results do.
		"stdout": outcomes.Succeeded,
		//security:attack tenant | A run fills the store with what it prints to stderr. | Output counts as results do.
		"stderr": outcomes.Succeeded,
		//security:attack tenant | A run fills the store with tracebacks. | A long error counts and is not kept over the quota.
		"traceback": outcomes.Failed,
		//security:attack tenant | A run fills the store with the output of inputs that time out. | Their output counts, and over the quota they are Failed.
		"output of a timeout": outcomes.TimedOut,
	} {
		t.Run(where, func(t *testing.T) {
			c := limitedTo(t, 1<<20, func(r *Run) { r.Total, r.Retries, r.NonRetryable = 8, 3, []string{"ValueError"} })
			c.batchesOf(8)
			p := c.pod(0)
			expect(t, p.call(want), exchange.ActionWork, "0-7")
			for index := range 7 {
				p.call(large(index, quarter, where))
			}
			p.call(large(7, quarter, where))
			p.call() // another call changes nothing
			all := c.outcomes()
			if len(all) != 8 || !c.row().Closed {
				t.Fatalf("there are %d outcomes of 8; closed: %v", len(all), c.row().Closed)
			}
			for index, o := range all {
				switch {
				case index < 4:
					if o.Status != status || o.PayloadBytes() < quarter {
						t.Errorf("index %d is %v with %d bytes; it fits", index, o.Status, o.PayloadBytes())
					}
				case o.Status != outcomes.Failed || o.Error.Type != ErrorStorageQuotaExceeded || len(o.Result)+len(o.ResultText)+len(o.Stdout)+len(o.Stderr) > 0 || o.Attempts != 1:
					t.Errorf("index %d is %v with %d bytes: %.300v", index, o.Status, o.PayloadBytes(), o.Error)
				case !strings.Contains(o.Error.Message, "the namespace ns stores") || !strings.Contains(o.Error.Message, "its quota is 1 MiB") || !strings.Contains(o.Error.Message, "Delete finished runs"):
					t.Errorf("the message of index %d is %q", index, o.Error.Message)
				}
			}
			if used := c.bytesStored(); used > 1<<20+4*(outcomes.OutcomeBytes+1024) {
				t.Errorf("%d bytes are stored", used)
			}
		})
	}
}

//security:attack tenant | A namespace over its quota continues to report failures, with retries and a limit of failures. | They count as failed at once, are not retried, and end the run as its limit says.
func TestInputsOverTheQuotaFailWithoutRetries(t *testing.T) {
	c := limitedTo(t, 64<<10, func(r *Run) { r.Total, r.Retries = 8, 5; maxFailures := 1; r.MaxFailures = &maxFailures })
	c.batchesOf(4)
	p := c.pod(0)
	expect(t, p.call(want), exchange.ActionWork, "0-3")
	p.call(large(0, quarter, "result"))
	if row := c.row(); row.Failed != 1 || row.Closing != "" || !row.Returned.Empty() {
		t.Fatalf("the run is %+v", row)
	}
	expect(t, p.call(large(1, quarter, "result")), exchange.ActionStop, "")
	if row := c.row(); row.Failed != 2 || row.Closing != v1alpha1.ReasonMaxFailuresExceeded {
		t.Errorf("the run is %+v", row)
	}
}

//security:attack tenant | A run fills the store with output of inputs that never end. | Live output counts; over the quota no more of it is stored, and workers continue.
func TestLiveOutputOverTheQuotaIsNotStored(t *testing.T) {
	c := limitedTo(t, 100<<10, func(r *Run) { r.Total, r.Workers = 8, 8 })
	for completion := range 8 {
		p := c.pod(completion)
		answer := p.call(want)
		index := handedOut(answer).Min()
		if got := p.call(printed(index, 5, 0, strings.Repeat("x", maxLiveBytes))); got.Action != exchange.ActionWork {
			t.Fatalf("a worker whose output does not fit gets the action %s", got.Action)
		}
	}
	kept := 0
	for _, l := range c.liveOutputs() {
		kept += int(l.Bytes())
	}
	if kept > 100<<10 || kept == 0 && c.bytesStored() < 100<<10-maxLiveBytes {
		t.Errorf("%d bytes of live output are stored", kept)
	}
	if used := c.bytesStored(); used > 100<<10+8*outcomes.WorkerBytes {
		t.Errorf("%d bytes are stored", used)
	}
}

//security:attack tenant | One namespace fills its quota. | Outcomes of another are stored completely and acknowledged.
func TestQuotaOfOneNamespaceDoesNotAffectAnother(t *testing.T) {
	c := limitedTo(t, 512<<10, func(r *Run) { r.Total = 4 })
	other := c.inNamespace("other", "good")
	c.batchesOf(4)
	p, good := c.workerOf(), other.workerOf()
	p.call(want)
	for index := range 4 {
		p.call(large(index, quarter, "result"))
	}
	expect(t, good.call(want), exchange.ActionWork, "0")
	good.call(large(0, quarter, "result"))
	if o := other.outcomes()[0]; o.Status != outcomes.Succeeded || len(o.Result) < quarter {
		t.Errorf("the other namespace's outcome is %v with %d bytes", o.Status, len(o.Result))
	}
	if row := c.row(); row.Failed != 2 || row.Succeeded != 2 {
		t.Errorf("the run over its quota has %d succeeded and %d failed", row.Succeeded, row.Failed)
	}
	if err := other.check(); err != nil {
		t.Error(err)
	}
}

func TestDeletionFreesTheQuota(t *testing.T) {
	for name, free := range map[string]func(*cluster) error{
		"results":  func(c *cluster) error { return c.exchange.DeleteResults(context.Background(), c.run.UID) },
		"the runs": func(c *cluster) error { return c.exchange.Forget(context.Background(), c.run.UID) },
	} {
		t.Run(name, func(t *testing.T) {
			c := limitedTo(t, 300<<10, func(r *Run) { r.Total = 2 })
			c.batchesOf(2)
			p := c.workerOf()
			p.call(want)
			p.call(printed(0, 5, 0, strings.Repeat("x", 1000)))
			p.call(large(0, quarter, "stdout"), large(1, quarter, "result"))
			if row := c.row(); row.Succeeded != 1 || row.Failed != 1 {
				t.Fatalf("%d succeeded, %d failed", row.Succeeded, row.Failed)
			}
			if err := free(c); err != nil {
				t.Fatal(err)
			}
			next := c.inNamespace("ns", "next")
			q := next.workerOf()
			q.call(want)
			q.call(large(0, quarter, "result"))
			if o := next.outcomes()[0]; o.Status != outcomes.Succeeded {
				t.Errorf("after the deletion an outcome is %v: %+v", o.Status, o.Error)
			}
			if err := next.check(); err != nil {
				t.Error(err)
			}
		})
	}
}

//security:attack tenant | Many runs of a namespace report concurrently. | Together they store no more than the quota and what is being committed at that moment.
func TestConcurrentRunsStoreNoMoreThanTheQuota(t *testing.T) {
	const limit = 2 << 20
	c := limitedTo(t, limit, func(r *Run) { r.Total = 4 })
	var group sync.WaitGroup
	var all []*cluster
	for n := range 16 {
		one := c.inNamespace("ns", fmt.Sprintf("run-%d", n))
		all = append(all, one)
		one.batchesOf(4) // the rows of all runs exist before the first report
	}
	for _, one := range all {
		p := one.workerOf()
		group.Go(func() {
			if _, err := p.send(p.prepare(want)); err != nil {
				t.Error(err)
				return
			}
			for index := range 4 {
				if _, err := p.send(p.prepare(large(index, 64<<10, "result"))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	var succeeded, failed int
	for _, one := range all {
		if err := one.check(); err != nil {
			t.Error(err)
		}
		succeeded, failed = succeeded+one.row().Succeeded, failed+one.row().Failed
	}
	// Only on SQLite do concurrent transactions see each other.
	maxBytes := int64(limit + 64*(outcomes.OutcomeBytes+1024) + 16*outcomes.WorkerBytes)
	if c.url != "" {
		maxBytes += 16 * (64 << 10)
	}
	if used := c.bytesStored(); used > maxBytes || used < limit-(128<<10) || succeeded+failed != 64 || failed == 0 {
		t.Errorf("%d bytes of %d are stored; %d succeeded, %d failed", used, limit, succeeded, failed)
	}
}

func TestQuotaAppliesAcrossRestartsAndServers(t *testing.T) {
	c := limitedTo(t, 512<<10, func(r *Run) { r.Total = 6 })
	c.batchesOf(6)
	c.join()
	p := c.pod(0)
	expect(t, p.call(want), exchange.ActionWork, "0-5")
	p.call(large(0, quarter, "result"))
	c.restart()
	other := c.others[0]
	p.at(other, func() { p.call(large(1, quarter, "result")) })
	c.clock.Step(2 * time.Second) // sums of other servers are read after a second
	p.call(large(2, quarter, "result"))
	p.at(other, func() { p.call(large(3, quarter, "result")) })
	if row := c.row(); row.Succeeded != 2 || row.Failed != 2 {
		t.Errorf("%d succeeded, %d failed", row.Succeeded, row.Failed)
	}
}

//security:attack tenant | Inputs print the maximum of live output and end: with their outcome, with the death of their worker, or with the run. | Their live output no longer counts against the quota, and is deleted.
func TestLiveOutputOfFinishedInputsIsNotCounted(t *testing.T) {
	text := strings.Repeat("x", maxLiveBytes)
	for name, end := range map[string]func(c *cluster, p *pod, index int){
		"its outcome":                    func(_ *cluster, p *pod, index int) { p.call(done(index)) },
		"its outcome, and another input": func(_ *cluster, p *pod, index int) { p.call(done(index), want) },
		"no input is executed":           func(_ *cluster, p *pod, _ int) { p.call() },
		"the worker died":                func(_ *cluster, p *pod, _ int) { p.end(PodExit{State: PodExitEnded, ExitCode: 1}) },
		"the worker was disrupted":       func(_ *cluster, p *pod, _ int) { p.end(PodExit{State: PodExitDisrupted}) },
		"the run was closed": func(c *cluster, _ *pod, _ int) {
			if err := c.exchange.Close(context.Background(), c.run, v1alpha1.ReasonCancelled, "cancelled"); err != nil {
				c.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := limitedTo(t, 1<<20, func(r *Run) { r.Total, r.Workers = 4, 2 })
			p := c.pod(0)
			index := handedOut(p.call(want)).Min()
			p.call(printed(index, 5, 0, text))
			if used := c.bytesStored(); used < maxLiveBytes {
				t.Fatalf("%d bytes count while the input prints", used)
			}
			end(c, p, index)
			if used := c.bytesStored(); used >= maxLiveBytes {
				t.Errorf("%d bytes count after the input ended", used)
			}
			if err := c.checkBytes(&outcomes.Run{}); err != nil {
				t.Error(err)
			}
			var rows int
			c.view(func(tx *outcomes.Tx) error {
				row, err := tx.Run(c.run.UID)
				if err != nil {
					return err
				}
				workers, err := tx.Workers(row.ID)
				for _, w := range workers {
					if live, err := tx.LiveOutput(w.ID); err != nil || live != nil {
						rows++
					}
				}
				return err
			})
			if rows != 0 {
				t.Errorf("%d rows of live output are left", rows)
			}
		})
	}
}

//security:attack tenant | Many inputs of a namespace at its quota print and end, one after the other. | The output of an input can use the room of its live output.
func TestOutcomeReusesTheRoomOfItsLiveOutput(t *testing.T) {
	c := limitedTo(t, outcomes.RunBytes+outcomes.WorkerBytes+maxLiveBytes+maxLiveBytes/2, func(r *Run) { r.Total, r.Workers = 4, 1 })
	p := c.pod(0)
	index := handedOut(p.call(want)).Min()
	p.call(printed(index, 5, 0, strings.Repeat("x", maxLiveBytes)))
	p.call(large(index, maxLiveBytes, "stdout"))
	if o := c.outcomes()[index]; o.Status != outcomes.Succeeded || len(o.Stdout) != maxLiveBytes {
		t.Errorf("the outcome is %s with %d bytes of output", o.Status, len(o.Stdout))
	}
}
