package runtimes_test

import (
	"bytes"
	"testing"
)

// liveText is what the calls told of an index, put together by their offsets.
func liveText(e *exchange, index int) (stdout, stderr []byte) {
	put := func(text, more []byte, from int64) []byte {
		for int64(len(text)) < from {
			text = append(text, '?') // nothing was told of it
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

func TestWhatAHandlerPrintsIsToldWhileItRuns(t *testing.T) {
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
`), nothingElseWakes(in))
		for index, want := range []string{"0", "1"} {
			stdout, stderr := liveText(e, index)
			o := e.outcome(t, index)
			if !bytes.HasPrefix(o.Stdout, stdout) || !bytes.Contains(stdout, []byte("step 3 of "+want+"\n")) || bytes.Contains(stdout, []byte("?")) {
				t.Errorf("told of %d was %q, and it printed %q", index, stdout, o.Stdout)
			}
			if len(stderr) < 4 {
				t.Errorf("told of the stderr of %d was %q", index, stderr)
			}
		}
		told := 0
		for _, c := range e.calls {
			if c.Live != nil {
				told++
				if c.Executing == nil || *c.Executing != c.Live.Index {
					t.Errorf("call %d tells of %d, which it does not say it executes", c.Sequence, c.Live.Index)
				}
			}
		}
		if told < 6 || told > 40 {
			t.Errorf("%d calls told of output", told)
		}
	})
}

// nothingElseWakes keeps the supervisor of Node from looking after its child four times a second.
func nothingElseWakes(in language) option {
	if !in.node() {
		return func(*worker) {}
	}
	return edited("const STOPPED = 0.25;", "const STOPPED = 60;")
}

func TestOutputIsToldNoMoreOftenThanItIsAskedFor(t *testing.T) {
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
		told := 0
		for _, c := range e.calls {
			if c.Live != nil {
				told++
			}
		}
		if most := int(e.outcome(t, 0).DurationMicros/300_000) + 1; told == 0 || told > most {
			t.Errorf("%d calls told of output, not one to %d", told, most)
		}
	})
}

func TestOfMuchOutputTheEndIsTold(t *testing.T) {
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
					t.Errorf("a call told %d bytes", len(c.Live.Stdout))
				}
				last = c.Live
			}
		}
		if last == nil {
			t.Fatal("nothing was told")
		}
		if last.StdoutFrom+int64(len(last.Stdout)) != 1000003 || !bytes.HasSuffix(last.Stdout, []byte("xend")) {
			t.Errorf("the last that was told is %d bytes from %d on", len(last.Stdout), last.StdoutFrom)
		}
	})
}

func TestWithoutBeingAskedAWorkerTellsNothing(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		e := newExchange(t, 1)
		run(t, in, e, in.code("import sys, time\ndef handler(event):\n    sys.stdout.write('x')\n    sys.stdout.flush()\n    time.sleep(0.5)\n",
			"function handler(event) {\n  process.stdout.write('x');\n  return new Promise((resolve) => setTimeout(resolve, 500));\n}\n"))
		for _, c := range e.calls {
			if c.Live != nil {
				t.Errorf("call %d tells %q", c.Sequence, c.Live.Stdout)
			}
		}
	})
}
