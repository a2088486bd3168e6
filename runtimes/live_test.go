package runtimes_test

import (
	"bytes"
	"testing"
)

// liveText joins the output of an index that the calls reported, by its offsets.
func liveText(e *exchange, index int) (stdout, stderr []byte) {
	put := func(text, more []byte, from int64) []byte {
		for int64(len(text)) < from {
			text = append(text, '?') // it was not reported
		}
		return append(text[:from], more...)
	}
	for _, c := range e.calls {
		if c.Live != nil && c.Live.Index == index {
			if len(c.Live.Stdout) > 0 {
				stdout = put(stdout, c.Live.Stdout, c.Live.StdoutFrom)
			}
			if len(c.Live.Stderr) > 0 {
				stderr = put(stderr, c.Live.Stderr, c.Live.StderrFrom)
			}
		}
	}
	return stdout, stderr
}

func TestOutputIsReportedWhileTheHandlerRuns(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		e := newExchange(t, 2)
		e.liveAfter = 20
		e.batch = 2
		run(t, in, e, in.code(`
import sys, time
def handler(event):
    for step in range(5):
        sys.stdout.write('step %d of %d\n' % (step, event[0]))
        sys.stdout.flush()
        sys.stderr.write('!')
        sys.stderr.flush()
        time.sleep(0.2)
    time.sleep(2)
`, `
async function handler(event) {
  for (let step = 0; step < 5; step++) {
    process.stdout.write('step ' + step + ' of ' + event[0] + '\n');
    process.stderr.write('!');
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  await new Promise((resolve) => setTimeout(resolve, 2000));
}
`), withoutStopChecks(in))
		for index, want := range []string{"0", "1"} {
			stdout, stderr := liveText(e, index)
			o := e.outcome(t, index)
			if !bytes.HasPrefix(o.Stdout, stdout) || !bytes.Contains(stdout, []byte("step 3 of "+want+"\n")) || bytes.Contains(stdout, []byte("?")) {
				t.Errorf("of %d %q was reported, and it printed %q", index, stdout, o.Stdout)
			}
			if len(stderr) < 4 {
				t.Errorf("of the stderr of %d %q was reported", index, stderr)
			}
		}
		reports := 0
		for _, c := range e.calls {
			if c.Live != nil {
				reports++
				if c.Executing == nil || *c.Executing != c.Live.Index {
					t.Errorf("call %d reports output of %d, which is not in its field executing", c.Sequence, c.Live.Index)
				}
			}
		}
		if reports < 6 || reports > 40 {
			t.Errorf("%d calls reported output", reports)
		}
	})
}

// withoutStopChecks keeps Node's supervisor from checking its child four times a second.
func withoutStopChecks(in language) option {
	if !in.node() {
		return func(*worker) {}
	}
	return edited("const STOP_CHECK_INTERVAL = 0.25;", "const STOP_CHECK_INTERVAL = 60;")
}

func TestOutputIsReportedNoMoreOftenThanTheExchangeAsks(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		e := newExchange(t, 1)
		e.liveAfter = 300
		run(t, in, e, in.code(`
import sys, time
def handler(event):
    for step in range(120):
        sys.stdout.write('.')
        sys.stdout.flush()
        time.sleep(0.01)
`, `
async function handler(event) {
  for (let step = 0; step < 120; step++) {
    process.stdout.write('.');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
`))
		reports := 0
		for _, c := range e.calls {
			if c.Live != nil {
				reports++
			}
		}
		if limit := int(e.outcome(t, 0).DurationMicros/300_000) + 1; reports == 0 || reports > limit {
			t.Errorf("%d calls reported output, not one to %d", reports, limit)
		}
	})
}

func TestOfMuchOutputTheEndIsReported(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		e := newExchange(t, 1)
		e.liveAfter = 20
		run(t, in, e, in.code(`
import sys, time
def handler(event):
    sys.stdout.write('x' * 1000000 + 'end')
    sys.stdout.flush()
    time.sleep(2)
`, `
function handler(event) {
  process.stdout.write('x'.repeat(1000000) + 'end');
  return new Promise((resolve) => setTimeout(resolve, 2000));
}
`))
		var last *live
		for _, c := range e.calls {
			if c.Live != nil {
				if len(c.Live.Stdout) > 64<<10 {
					t.Errorf("a call reported %d bytes", len(c.Live.Stdout))
				}
				last = c.Live
			}
		}
		if last == nil {
			t.Fatal("nothing was reported")
		}
		if last.StdoutFrom+int64(len(last.Stdout)) != 1000003 || !bytes.HasSuffix(last.Stdout, []byte("xend")) {
			t.Errorf("the last report has %d bytes from %d on", len(last.Stdout), last.StdoutFrom)
		}
	})
}

func TestWithoutARequestAWorkerReportsNoOutput(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		e := newExchange(t, 1)
		run(t, in, e, in.code("import sys, time\ndef handler(event):\n    sys.stdout.write('x')\n    sys.stdout.flush()\n    time.sleep(0.5)\n",
			"function handler(event) {\n  process.stdout.write('x');\n  return new Promise((resolve) => setTimeout(resolve, 500));\n}\n"))
		for _, c := range e.calls {
			if c.Live != nil {
				t.Errorf("call %d reports %q", c.Sequence, c.Live.Stdout)
			}
		}
	})
}
