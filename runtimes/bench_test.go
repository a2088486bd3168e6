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

func trivial(in language) string {
	return in.code("def handler(event):\n    return event[0] * 2\n", "function handler(event) { return event[0] * 2 }\n")
}

// bareLoop is one process that decodes each input, calls the handler, captures its output, and encodes the result. It prints
// the seconds that this took.
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

// bareLoopNode is the same for Node.
const bareLoopNode = `
const fs = require('fs'), texts = [];
for (let i = 0; i < Number(process.argv[1]); i++) texts.push('[' + i + ']');
const handler = new Function(fs.readFileSync(process.argv[2], 'utf8') + '; return handler')();
const begun = process.hrtime();
let size = 0;
for (const text of texts) {
  const out = [], err = [], write = process.stdout.write;
  process.stdout.write = (data) => out.push(data);
  const value = handler(JSON.parse(text));
  process.stdout.write = write;
  size += JSON.stringify({ result: value, stdout: out.join(''), stderr: err.join('') }).length;
}
const took = process.hrtime(begun);
console.log(took[0] + took[1] / 1e9);
`

// BenchmarkTrivialInputs compares 8,000 trivial inputs on 8 running workers with the same in one plain process of Python, and
// of Node. The exchange is that of the tests, which stores nothing. `go test -bench Trivial ./runtimes` prints the ratios.
func BenchmarkTrivialInputs(b *testing.B) {
	b.Run("python", func(b *testing.B) { trivialInputs(b, needPython3(b), "-c", bareLoop) })
	b.Run("node", func(b *testing.B) { trivialInputs(b, needNode(b), "-e", bareLoopNode) })
}

func trivialInputs(b *testing.B, in language, flag, loop string) {
	const n, workers = 8000, 8
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
		e.pending = nil // nothing is handed out until all workers are ready
		var all []*worker
		for i := range workers {
			all = append(all, start(b, in, e, trivial(in), named(fmt.Sprint("worker-", i))))
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
		bare := b.TempDir() + "/handler"
		if err := os.WriteFile(bare, []byte(trivial(in)), 0o644); err != nil {
			b.Fatal(err)
		}
		out, err := exec.Command(in.path, flag, loop, fmt.Sprint(n), bare).Output()
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
