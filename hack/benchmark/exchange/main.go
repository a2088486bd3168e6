// Command exchange measures the work exchange with nothing of Kubernetes around it: the real store on this machine's disk,
// the real handler over TLS on loopback, and real workers (the Python runner) as processes of this machine. It prints
// ratios; main.go has the comparisons, bench.go what they run on.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"

	"sharedcloud.io/function-operator/apiserver/work"
	"sharedcloud.io/function-operator/hack/benchmark/figures"
)

const workers = 8

func main() {
	rounds := flag.Int("rounds", 3, "how often each is measured; medians are printed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	for _, measure := range []func(context.Context, int) (figures.Figure, error){trivial, sleeping, uneven} {
		figure, err := measure(ctx, *rounds)
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		figure.Print(os.Stdout)
	}
}

// bareLoop is the least that anyone would do: decode, call, capture, encode.
const bareLoop = `
import contextlib, io, json, sys, time
def handler(event): return event[0] * 2
lines = sys.stdin.read().splitlines()
start = time.perf_counter()
answers = []
for index, line in enumerate(lines):
    event = tuple(json.loads(line))
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        began = time.time()
        result = handler(event)
        ended = time.time()
    answers.append(json.dumps({"index": index, "status": "Succeeded", "result": result, "startTime": began,
                               "completionTime": ended, "stdout": out.getvalue(), "stderr": err.getvalue()}))
print(time.perf_counter() - start)
`

func trivial(ctx context.Context, rounds int) (figures.Figure, error) {
	figure := figures.Figure{Name: "8,000 trivial inputs on 8 warm workers, first claim to last outcome stored / one bare Python loop", AtMost: 2.5}
	inputs := make([]work.Input, 8000)
	for i := range inputs {
		inputs[i].JSON = json.RawMessage(fmt.Sprintf("[%d]", i))
	}
	var ours, bare []time.Duration
	for range rounds {
		took, err := measure(ctx, "def handler(event): return event[0] * 2\n", []job{{inputs, workers}})
		if err != nil {
			return figure, err
		}
		ours = append(ours, took)
		if took, err = runBare(ctx, inputs); err != nil {
			return figure, err
		}
		bare = append(bare, took)
	}
	figure.Ours, figure.Theirs = median(ours), median(bare)
	return figure, nil
}

func runBare(ctx context.Context, inputs []work.Input) (time.Duration, error) {
	var lines bytes.Buffer
	for _, input := range inputs {
		lines.Write(input.JSON)
		lines.WriteByte('\n')
	}
	cmd := exec.CommandContext(ctx, "python3", "-c", bareLoop)
	cmd.Stdin, cmd.Stderr = &lines, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("the bare loop: %w", err)
	}
	seconds, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	return time.Duration(seconds * float64(time.Second)), err
}

// sleepCode sleeps for as long as its input says and costs nothing else.
const sleepCode = "import time\ndef handler(event): time.sleep(event[0])\n"

func sleeping(ctx context.Context, rounds int) (figures.Figure, error) {
	const each = 50 * time.Millisecond
	figure := figures.Figure{Name: "800 inputs that sleep 50 ms on 8 warm workers / n·d/w", AtMost: 1.03, Theirs: 800 * each / workers}
	var ours []time.Duration
	for range rounds {
		took, err := measure(ctx, sleepCode, []job{{sleeps(800, func(int) time.Duration { return each }), workers}})
		if err != nil {
			return figure, err
		}
		ours = append(ours, took)
	}
	figure.Ours = median(ours)
	return figure, nil
}

// uneven: every 8th input takes 10 times longer. Static striping gives all of these to one worker: it is the same runner
// and the same exchange, with a run of its own for each worker's stripe.
func uneven(ctx context.Context, rounds int) (figures.Figure, error) {
	figure := figures.Figure{Name: "800 inputs, every 8th 10 times longer / the same by static striping", AtMost: 0.23}
	inputs := sleeps(800, func(i int) time.Duration {
		if i%8 == 0 {
			return 100 * time.Millisecond
		}
		return 10 * time.Millisecond
	})
	stripes := make([]job, workers)
	for i, input := range inputs {
		stripes[i%workers].inputs = append(stripes[i%workers].inputs, input)
		stripes[i%workers].workers = 1
	}
	var ours, striped []time.Duration
	for range rounds {
		took, err := measure(ctx, sleepCode, []job{{inputs, workers}})
		if err != nil {
			return figure, err
		}
		ours = append(ours, took)
		if took, err = measure(ctx, sleepCode, stripes); err != nil {
			return figure, err
		}
		striped = append(striped, took)
	}
	figure.Ours, figure.Theirs = median(ours), median(striped)
	return figure, nil
}

func sleeps(n int, length func(i int) time.Duration) []work.Input {
	inputs := make([]work.Input, n)
	for i := range inputs {
		inputs[i].JSON = json.RawMessage(fmt.Sprintf("[%g]", length(i).Seconds()))
	}
	return inputs
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}
