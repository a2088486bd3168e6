package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// answer is one outcome as functionruns/results returns it.
type answer struct {
	Index  int    `json:"index"`
	Status string `json:"status"`
	Result struct {
		Accuracy float64 `json:"accuracy"`
		GPU      string  `json:"gpu"`
	} `json:"result"`
	Error *struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	} `json:"error"`
	StartTime      time.Time `json:"startTime"`
	CompletionTime time.Time `json:"completionTime"`
	Worker         string    `json:"worker"`
}

// progress shows the progress of a run: one line that is rewritten on a terminal, a line for each change elsewhere.
type progress struct {
	out      io.Writer
	terminal bool
	started  time.Time
	last     string
}

func newProgress(out *os.File, started time.Time) *progress {
	info, err := out.Stat()
	return &progress{out: out, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0, started: started}
}

func (p *progress) show(run *v1alpha1.FunctionRun) {
	line := progressLine(run)
	if line == p.last {
		return
	}
	p.last = line
	line = fmt.Sprintf("%5.1f s  %s", time.Since(p.started).Seconds(), line)
	if p.terminal {
		fmt.Fprintf(p.out, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(p.out, line)
}

func (p *progress) done() {
	if p.terminal {
		fmt.Fprintln(p.out)
	}
	fmt.Fprintln(p.out)
}

// progressLine is the state of a run in one line.
func progressLine(run *v1alpha1.FunctionRun) string {
	counts := run.Status.Progress
	if counts == nil || counts.Total == 0 {
		if ready := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
			return ready.Message
		}
		return "waiting for the controller"
	}
	done := counts.Succeeded + counts.Failed + counts.TimedOut + counts.Cancelled
	const width = 30
	full := int(int64(done) * width / int64(counts.Total))
	return fmt.Sprintf("▕%s%s▏ %d of %d done, %d running on %d workers, %d failed", strings.Repeat("█", full),
		strings.Repeat("·", width-full), done, counts.Total, counts.Running, counts.Workers, done-counts.Succeeded)
}

// printTable prints the results in order, with the GPU of each worker.
func printTable(out io.Writer, answers []answer) {
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "INDEX\tRATE\tSEED\tACCURACY\tSECONDS\tGPU\tWORKER")
	for _, a := range answers {
		value := fmt.Sprintf("%.1f %%", 100*a.Result.Accuracy)
		if a.Status != v1alpha1.OutcomeSucceeded {
			value = a.Status
			if a.Error != nil {
				value += ": " + a.Error.Type
			}
		}
		fmt.Fprintf(table, "%d\t%g\t%d\t%s\t%.2f\t%s\t%s\n", a.Index, rates[a.Index/seeds], a.Index%seeds, value,
			a.CompletionTime.Sub(a.StartTime).Seconds(), a.Result.GPU, a.Worker)
	}
	_ = table.Flush()
}

// printSummary prints the best learning rate, and what to try next.
func printSummary(out io.Writer, run *v1alpha1.FunctionRun, answers []answer, took time.Duration) {
	best, bestMean := 0, 0.0
	sums := make([]float64, len(rates))
	for _, a := range answers {
		sums[a.Index/seeds] += a.Result.Accuracy / float64(seeds)
	}
	for i, mean := range sums {
		if mean > bestMean {
			best, bestMean = i, mean
		}
	}
	counts := run.Status.Progress
	fmt.Fprintf(out, "\n%d of %d results, in order, in %.1f s. Best learning rate: %g (%.1f %% on average over %d seeds).\n",
		counts.Succeeded, counts.Total, took.Seconds(), rates[best], 100*bestMean, seeds)
	fmt.Fprintf(out, `
Try next:
  eval "$(make -s cluster-env)"    # kubectl and the local cluster, in this shell
  kubectl describe functionrun %[1]s -n %[2]s
  kubectl get --raw '/apis/subresources.sharedcloud.io/v1alpha1/namespaces/%[2]s/functionruns/%[1]s/results?format=ndjson'
`, run.Name, run.Namespace)
}
