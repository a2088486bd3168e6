package rest

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/rest/wire"
	"sharedcloud.io/function-operator/apiserver/uuids"
	"sharedcloud.io/function-operator/parameters"
)

// Statuses of a job.
const (
	jobCreated    = 1
	jobInProgress = 2
	jobSucceeded  = 3
	jobFailed     = 4
	jobTimeout    = 5
)

// jobsPage is the number of outcomes in memory.
const jobsPage = 64

// jobsOf is the state of a run from which its jobs are derived.
type jobsOf struct {
	run          *v1alpha1.FunctionRun
	runID        string
	functionName string
	created      int64
	gpus         int
	given        *core.RunInputs
	// row is the run in the outcome store; nil before the first call of a worker.
	row     *outcomes.Run
	workers map[int64]*outcomes.Worker
	// holders are the workers with leases.
	holders []*outcomes.Worker
	// executing has the workers by the index of the input that they execute.
	executing map[int]*outcomes.Worker
}

// jobsOf reads the common state of a run's jobs, without its workers.
func (c *call) jobsOf(ctx context.Context, run *v1alpha1.FunctionRun) (*jobsOf, error) {
	j := &jobsOf{run: run, runID: c.api.Cluster.FunctionRuns.UUID(run), created: core.CreatedMicros(run)}
	j.functionName, _ = c.functionNameOf(run)
	if run.Status.Revision != nil {
		j.gpus = int(run.Status.Revision.GPUs)
	}
	var err error
	j.given, err = c.given(ctx, run)
	return j, err
}

// allJobsOf is jobsOf with all past and present workers of the run.
func (c *call) allJobsOf(ctx context.Context, run *v1alpha1.FunctionRun) (*jobsOf, error) {
	j, err := c.jobsOf(ctx, run)
	if err != nil {
		return nil, err
	}
	state, err := c.api.Outcomes.Workers(ctx, run.UID)
	j.take(state)
	return j, err
}

// take adds the row and the workers of the run.
func (j *jobsOf) take(state outcomes.RunState) {
	j.row = state.Run
	j.workers, j.executing = map[int64]*outcomes.Worker{}, map[int]*outcomes.Worker{}
	for i := range state.Workers {
		w := &state.Workers[i]
		j.workers[w.ID] = w
		if index, _ := w.Current(); index >= 0 {
			j.holders = append(j.holders, w)
			j.executing[index] = w
		}
	}
}

// count returns the number of jobs of the run.
func (j *jobsOf) count() int {
	if j.given == nil {
		return 0
	}
	return j.given.Len()
}

// job is one input of a run, with its outcome.
type job struct {
	of       *jobsOf
	index    int
	outcome  *outcomes.Outcome // nil if there is none yet
	worker   *outcomes.Worker  // the worker of the outcome or of the lease; nil for none
	assigned int64
	// input is nil if the inputs no longer exist.
	input *parameters.Input
}

func (j *jobsOf) at(index int, outcome *outcomes.Outcome, input *parameters.Input) job {
	it := job{of: j, index: index, outcome: outcome, input: input}
	if outcome != nil {
		it.worker, it.assigned = j.workers[outcome.WorkerID], outcome.AssignedMicros
		return it
	}
	for _, w := range j.holders {
		if at := w.Assigned(index); at > 0 {
			it.worker, it.assigned = w, at
			break
		}
	}
	return it
}

func (it job) status() int {
	if it.outcome == nil {
		if it.of.executing[it.index] != nil {
			return jobInProgress
		}
		return jobCreated
	}
	switch it.outcome.Status {
	case outcomes.Succeeded:
		return jobSucceeded
	case outcomes.TimedOut:
		return jobTimeout
	}
	return jobFailed
}

func (c *call) appendJob(b []byte, it job) []byte {
	var started, finished int64
	var stdout, stderr, result, node, product string
	cost := 0.0
	duration := "null"
	if done := it.outcome; done != nil {
		started, finished, node, product = done.StartMicros, done.CompletionMicros, done.Node, done.GPUProduct
		stdout, stderr = string(done.Stdout), it.stderr()
		if started > 0 {
			took := time.Duration(max(0, finished-started)) * time.Microsecond
			duration = strconv.Itoa(int(took / time.Second))
			cost = c.api.Prices.Cost(product, it.of.gpus, took)
		}
		if done.Status == outcomes.Succeeded {
			result = resultText(done.Result, done.ResultText)
		}
	} else if w := it.of.executing[it.index]; w != nil {
		_, started = w.Current()
		node = w.Node
	} else if it.worker != nil {
		node = it.worker.Node
	}
	buildLogs := ""
	if it.worker != nil {
		buildLogs = it.worker.StartupLog
	}
	arguments := ""
	if it.input != nil {
		arguments = argumentsText(*it.input)
	}
	o := newObject(b)
	o.text("uuid", uuids.Job(it.of.runID, it.index))
	o.date("current_server_time", c.now.UnixMicro())
	o.text("function_name", it.of.functionName)
	o.raw("duration", duration)
	o.date("started_at", started)
	o.date("assigned_at", it.assigned)
	o.date("created_at", it.of.created)
	o.date("finished_at", finished)
	o.number("incremental_id", it.index)
	o.number("status", it.status())
	o.text("arguments", arguments)
	o.money("cost", cost)
	o.text("build_logs", buildLogs)
	o.text("stdout", stdout)
	o.text("stderr", stderr)
	o.text("result", result)
	o.textOrNull("instance", string(c.api.Cluster.Nodes.UID(node)))
	o.text("run", it.of.runID)
	return o.end()
}

// inputs reads the inputs from first to last, both included; nil if they no longer exist.
func (j *jobsOf) inputs(ctx context.Context, first, last int) ([]parameters.Input, error) {
	if j.given == nil {
		return nil, nil
	}
	inputs, err := j.given.Slice(ctx, first, last)
	if errors.Is(err, core.ErrInputsGone) {
		return nil, nil
	}
	return inputs, err
}

// stderr explains deleted results: an empty result could be mistaken for the handler's.
func (it job) stderr() string {
	if it.of.row != nil {
		if deleted := it.of.row.ResultsDeleted(); deleted != nil {
			return deleted.Error()
		}
	}
	return stderrOf(it.outcome)
}

// stderrOf returns the standard error of the input, followed by its traceback or the message of its error.
func stderrOf(o *outcomes.Outcome) string {
	text := string(o.Stderr)
	if o.Error == nil {
		return text
	}
	why := o.Error.Traceback
	if why == "" {
		why = o.Error.Message
		if why == "" {
			why = o.Error.Type
		}
	}
	if strings.Contains(text, strings.TrimSpace(why)) {
		return text // the runner has written the error already
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text + why
}

// jobFilter selects the jobs of a list.
type jobFilter struct {
	run    string
	status int // 0 for all
}

func (c *call) jobFilter() (jobFilter, error) {
	wrong := problems{}
	var filter jobFilter
	filter.run, _ = c.queryUUID("run", wrong)
	if text, given := c.query("status", wrong); given {
		number, err := strconv.Atoi(text)
		if err != nil || number < jobCreated || number > jobTimeout {
			wrong.add("status", wire.MessageNoChoice(strings.ToValidUTF8(text, "?")))
		}
		filter.status = number
	}
	return filter, wrong.orNil()
}

func listJobs(c *call) error {
	if err := c.require("list", resourceRuns, ""); err != nil {
		return err
	}
	page, err := c.page()
	if err != nil {
		return err
	}
	filter, err := c.jobFilter()
	if err != nil {
		return err
	}
	runs, err := c.requestedRuns()
	if err != nil {
		return err
	}
	if filter.run != "" {
		runs = c.onlyRun(runs, filter.run)
	}
	release, err := c.enterList()
	if err != nil {
		return err
	}
	defer release()
	out := c.newStream(http.StatusOK)
	skip, left := page.offset, page.limit
	var failed error
	err = prefetch(c.ctx(), runs, c.allJobsOf, func(_ *v1alpha1.FunctionRun, j *jobsOf) bool {
		if filter.status == 0 && skip >= j.count() {
			skip -= j.count()
			return true
		}
		more := true
		failed = c.eachJob(j, func(it job) bool {
			if filter.status != 0 && it.status() != filter.status {
				return true
			}
			if skip > 0 {
				skip--
				return true
			}
			more = out.item(func(b []byte) []byte { return c.appendJob(b, it) })
			if page.limit > 0 {
				left--
				more = more && left > 0
			}
			return more
		})
		return failed == nil && more
	})
	if err == nil {
		err = failed
	}
	if err != nil || out.broken != nil {
		return err
	}
	out.end()
	return nil
}

func (c *call) onlyRun(runs []*v1alpha1.FunctionRun, id string) []*v1alpha1.FunctionRun {
	for _, run := range runs {
		if c.api.Cluster.FunctionRuns.UUID(run) == id {
			return []*v1alpha1.FunctionRun{run}
		}
	}
	return nil
}

// eachJob yields the jobs of a run in descending order of their index. It reads outcomes in pages of jobsPage.
func (c *call) eachJob(j *jobsOf, yield func(job) bool) error {
	for before := j.count(); before > 0; {
		first := max(0, before-jobsPage)
		var page []outcomes.Outcome
		if j.row != nil {
			// Each page reads the run's row too: its results may have been deleted since the previous page.
			state, err := c.api.Outcomes.Before(c.ctx(), j.run.UID, before, before-first)
			if err != nil {
				return err
			}
			if state.Run != nil {
				j.row, page = state.Run, state.Outcomes
			}
			if n := len(page); n > 0 {
				first = max(first, page[n-1].Index) // the store returned fewer, large outcomes: read the others with the next page
			}
		}
		inputs, err := j.inputs(c.ctx(), first, before-1)
		if err != nil {
			return err
		}
		for index := before - 1; index >= first; index-- {
			var outcome *outcomes.Outcome
			var input *parameters.Input
			if inputs != nil {
				input = &inputs[index-first]
			}
			if len(page) > 0 && page[0].Index == index {
				outcome, page = &page[0], page[1:]
			}
			if !yield(j.at(index, outcome, input)) {
				return nil
			}
		}
		before = first
	}
	return nil
}

func getJob(c *call) error {
	run, index, ok := c.api.Cluster.RunOfJob(c.namespace, c.id)
	if !ok {
		return c.unknown()
	}
	if err := c.seeRun(run); err != nil {
		return err
	}
	j, err := c.jobsOf(c.ctx(), run)
	if err != nil {
		return err
	}
	if index >= j.count() {
		return notFound()
	}
	state, err := c.api.Outcomes.At(c.ctx(), run.UID, index)
	if err != nil {
		return err
	}
	j.take(state)
	var outcome *outcomes.Outcome
	if len(state.Outcomes) > 0 {
		outcome = &state.Outcomes[0]
	}
	inputs, err := j.inputs(c.ctx(), index, index)
	if err != nil {
		return err
	}
	var input *parameters.Input
	if inputs != nil {
		input = &inputs[0]
	}
	c.answer(http.StatusOK, c.appendJob(nil, j.at(index, outcome, input)))
	return nil
}
