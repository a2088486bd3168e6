package runtimes_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const trivial = "def handler(event):\n    return event[0] * 2\n"

// bareLoop is one process that decodes, calls, captures and encodes each tuple, and does nothing else. It prints seconds.
const bareLoop = `
import contextlib, io, json, sys, time
texts = ['[%d]' % i for i in range(int(sys.argv[1]))]
exec(open(sys.argv[2]).read())
begun = time.time()
for text in texts:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        value = handler(tuple(json.loads(text)))
    json.dumps({'result': value, 'stdout': out.getvalue(), 'stderr': err.getvalue()})
print(time.time() - begun)
`

// BenchmarkTrivialTuples compares 8,000 trivial tuples on 8 warm workers with the same in one bare Python process. The
// server's part is the fake exchange's, which stores nothing. `go test -bench Trivial ./runtimes` prints the ratio.
func BenchmarkTrivialTuples(b *testing.B) {
	const n, workers = 8000, 8
	in := needPython3(b)
	for b.Loop() {
		e := newExchange(b, n)
		e.batch = 250
		var begun, ended time.Time
		e.decide = func(call, *answer) (int, string) {
			if len(e.outcomes) == n && ended.IsZero() {
				ended = time.Now()
			}
			return 0, ""
		}
		e.pending = nil // nothing is handed out until all are warm
		var all []*worker
		for i := range workers {
			all = append(all, start(b, in, e, trivial, named(fmt.Sprint("worker-", i))))
		}
		e.until(b, "worker that is ready", func() bool { return e.idle == workers })
		e.mu.Lock()
		begun = time.Now()
		for i := range n {
			e.pending = append(e.pending, i)
		}
		e.notify()
		e.mu.Unlock()
		for _, w := range all {
			w.finish()
		}
		e.check(b)
		bare := b.TempDir() + "/handler.py"
		if err := os.WriteFile(bare, []byte(trivial), 0o644); err != nil {
			b.Fatal(err)
		}
		out, err := exec.Command(in.path, "-c", bareLoop, fmt.Sprint(n), bare).Output()
		if err != nil {
			b.Fatal(err)
		}
		var alone float64
		if err := json.Unmarshal([]byte(strings.TrimSpace(string(out))), &alone); err != nil {
			b.Fatal(err)
		}
		took := ended.Sub(begun).Seconds()
		b.ReportMetric(took*1e3, "ms/8-workers")
		b.ReportMetric(alone*1e3, "ms/bare")
		b.ReportMetric(took/alone, "ratio")
		b.ReportMetric(float64(e.requests), "calls")
	}
}
