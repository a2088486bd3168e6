package runtimes_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// reported is the part of an outcome that represents what was returned.
type reported struct {
	Status string
	JSON   string // "" if absent
	Text   string // "-" if absent
}

func reportedBy(o outcome) reported {
	got := reported{Status: o.Status, JSON: string(o.Result), Text: "-"}
	if o.ResultText != nil {
		got.Text = *o.ResultText
	}
	return got
}

var returnedValues = map[string]struct {
	expression string
	want       reported
	want2      reported // of Python 2.7, if its str is another
}{
	"an integer":                        {expression: `42`, want: reported{JSON: `42`, Text: "-"}},
	"an integer of 5,000 digits":        {expression: `10 ** 4999`, want: reported{JSON: "1" + strings.Repeat("0", 4999), Text: "-"}},
	"a list with a very long integer":   {expression: `[10 ** 4999]`, want: reported{JSON: "[1" + strings.Repeat("0", 4999) + "]", Text: "[1" + strings.Repeat("0", 4999) + "]"}, want2: reported{JSON: "[1" + strings.Repeat("0", 4999) + "]", Text: "[1" + strings.Repeat("0", 4999) + "L]"}},
	"a float":                           {expression: `0.9755`, want: reported{JSON: `0.9755`, Text: "-"}},
	"a float that str shortens":         {expression: `0.1 + 0.2`, want: reported{JSON: `0.30000000000000004`, Text: "-"}, want2: reported{JSON: `0.30000000000000004`, Text: "0.3"}},
	"not a number":                      {expression: `float('nan')`, want: reported{Text: "nan"}},
	"infinity in a list":                {expression: `[float('inf')]`, want: reported{JSON: `["Infinity"]`, Text: "[inf]"}},
	"a text":                            {expression: `'Hello Michael'`, want: reported{JSON: `"Hello Michael"`, Text: "-"}},
	"a text that is not ASCII":          {expression: `u'\xe9\u20ac\U0001f600'`, want: reported{JSON: `"\u00e9\u20ac\ud83d\ude00"`, Text: "-"}},
	"a lone surrogate":                  {expression: `u'\ud800'`, want: reported{JSON: `"\ud800"`, Text: "-"}},
	"a text with line breaks":           {expression: `'a\nb\x00'`, want: reported{JSON: `"a\nb\u0000"`, Text: "-"}},
	"bytes":                             {expression: `b'\xff'`, want: reported{Text: `b'\xff'`}, want2: reported{Text: "\ufffd"}},
	"None":                              {expression: `None`, want: reported{JSON: `null`, Text: "None"}},
	"a boolean":                         {expression: `True`, want: reported{JSON: `true`, Text: "True"}},
	"a list":                            {expression: `[1, 'a', None]`, want: reported{JSON: `[1,"a",null]`, Text: "[1, 'a', None]"}},
	"a tuple":                           {expression: `(1, 2)`, want: reported{JSON: `[1,2]`, Text: "(1, 2)"}},
	"a dictionary":                      {expression: `{'a': [1.5]}`, want: reported{JSON: `{"a":[1.5]}`, Text: "{'a': [1.5]}"}},
	"a dictionary with numbers as keys": {expression: `{1: 2}`, want: reported{JSON: `{"1":2}`, Text: "{1: 2}"}},
	"a dictionary with tuples as keys":  {expression: `{(1, 2): 3}`, want: reported{JSON: `{"(1, 2)":3}`, Text: "{(1, 2): 3}"}},
	"a complex number":                  {expression: `1 + 2j`, want: reported{Text: "(1+2j)"}},
	"an object":                         {expression: `Thing()`, want: reported{Text: "a thing"}},
	"an integer of a subclass":          {expression: `Number(7)`, want: reported{JSON: `7`, Text: "seven"}},
}

func TestResultsAreJSONWhereItLosesNothingAndTextOtherwise(t *testing.T) {
	var code strings.Builder
	code.WriteString(`
class Thing(object):
    def __str__(self):
        return 'a thing'
class Number(int):
    def __str__(self):
        return 'seven'
def handler(event):
    return VALUES[event[0]]()
VALUES = [
`)
	var names []string
	for name, tc := range returnedValues {
		names = append(names, name)
		fmt.Fprintf(&code, "    lambda: %s,\n", tc.expression)
	}
	code.WriteString("]\n")
	eachPython(t, func(t *testing.T, in language) {
		e := newExchange(t, len(names))
		e.batch = 100
		run(t, in, e, code.String())
		for i, name := range names {
			tc := returnedValues[name]
			want := tc.want
			if in.python2() && tc.want2 != (reported{}) {
				want = tc.want2
			}
			want.Status = "Succeeded"
			if diff := cmp.Diff(want, reportedBy(e.outcome(t, i))); diff != "" {
				t.Errorf("%s (-want +got):\n%.2000s", name, diff)
			}
		}
	})
}

func TestTheEventIsAnInput(t *testing.T) {
	t.Run("of JSON values", func(t *testing.T) {
		eachPython(t, func(t *testing.T, in language) {
			e := newExchange(t, 3)
			e.inputs[0].JSON = json.RawMessage(`[1, [2.5, null], {"a": true}]`)
			e.inputs[1].JSON = json.RawMessage(`[]`)
			e.inputs[2].JSON = json.RawMessage("[1" + strings.Repeat("0", 5000) + "]")
			run(t, in, e, `
def handler(event):
    if len(event) == 3:
        return [type(event) is tuple, len(event), event[0], event[1], event[2]]
    return [len(event)] + [value == 10 ** 5000 for value in event]
`)
			var got []string
			for i := range 3 {
				got = append(got, string(e.outcome(t, i).Result))
			}
			want := []string{`[true,3,1,[2.5,null],{"a":true}]`, `[0]`, `[1,true]`}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("results (-want +got):\n%s", diff)
			}
		})
	})
	t.Run("of Python literals", func(t *testing.T) {
		eachPython(t, func(t *testing.T, in language) {
			e := newExchange(t, 0)
			e.batch = 100
			texts := []string{"(1, 2, 3)", "('Michael',)", "((1, 2), b'x', None)", "()", "(1" + strings.Repeat("0", 5000) + ",)",
				"(1, 2)  # comment", "(-1.5, 1e3, 'a' 'b')", "(,", "(open('x'),)", "(\"(1,), (2,)\",)"}
			e.literals(texts...)
			run(t, in, e, `
def handler(event):
    assert type(event) is tuple
    return [len(event), event[0] == 10 ** 5000 if event else None, type(event[0]).__name__ if event else None]
`)
			var got []string
			for i := range texts {
				o := e.outcome(t, i)
				got = append(got, string(o.Result))
				if o.Error != nil {
					got[i] = o.Error.Type
				}
			}
			want := []string{`[3,false,"int"]`, `[1,false,"str"]`, `[3,false,"tuple"]`, `[0,null,null]`, `[1,true,"int"]`,
				`[2,false,"int"]`, `[3,false,"float"]`, "SyntaxError", "ValueError", `[1,false,"str"]`}
			for i := range got {
				got[i] = strings.Replace(got[i], `"long"`, `"int"`, 1)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("results (-want +got):\n%s", diff)
			}
		})
	})
	t.Run("as deep as JSON may be", func(t *testing.T) {
		e := newExchange(t, 3)
		e.inputs[1].JSON = json.RawMessage(strings.Repeat("[", 9_990) + strings.Repeat("]", 9_990))
		run(t, needPython3(t), e, trivial(needPython3(t)))
		if got := e.counts(); got["Succeeded"] != 2 || got["Failed"] != 1 {
			t.Errorf("the outcomes are %v: only the deep input should fail", got)
		}
	})
}

func TestTracebacksShowOnlyTheUsersCode(t *testing.T) {
	eachPython(t, func(t *testing.T, in language) {
		e := newExchange(t, 1)
		w := run(t, in, e, "def inner():\n    raise Exception('This is a test Exception')\n\ndef handler(event):\n    print('before')\n    inner()\n")
		o := e.outcome(t, 0)
		traceback := o.Error.Traceback
		lines := []string{"Traceback (most recent call last):\n", `  File "handler.py", line 6, in handler`, "    inner()\n",
			`  File "handler.py", line 2, in inner`, "    raise Exception('This is a test Exception')\n", "Exception: This is a test Exception\n"}
		position := 0
		for _, line := range lines {
			found := strings.Index(traceback[position:], line)
			if found < 0 {
				t.Fatalf("the traceback lacks %q after the lines before it:\n%s", line, traceback)
			}
			position += found
		}
		if strings.Contains(traceback, "runner.py") {
			t.Errorf("the traceback shows the runner:\n%s", traceback)
		}
		if string(o.Stderr) != traceback {
			t.Errorf("stderr is %q, not the traceback", o.Stderr)
		}
		if string(o.Stdout) != "before\n" {
			t.Errorf("stdout is %q", o.Stdout)
		}
		if !strings.Contains(w.stdout.String(), "before\n") || !strings.Contains(w.stderr.String(), traceback) {
			t.Errorf("it is missing in the container's streams: %q, %q", w.stdout.String(), w.stderr.String())
		}
	})
}

func TestTheEndOfOutputIsKeptAndTheRestIsCounted(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		e := newExchange(t, 3)
		e.limits["outputBytes"] = 1000
		run(t, in, e, in.code(`
import os, sys
def handler(event):
    if event[0] == 1:
        block = b'0123456789abcdef' * 65536
        for _ in range(50):
            os.write(1, block)
        sys.stderr.write('e' * 1001)
    else:
        sys.stdout.write('o' * 1000)
`, `
const fs = require('fs');
function handler(event) {
  if (event[0] === 1) {
    const block = Buffer.from('0123456789abcdef'.repeat(65536));
    for (let i = 0; i < 50; i++) {
      if (i % 2) process.stdout.write(block);
      else for (let at = 0; at < block.length;) at += fs.writeSync(1, block, at);
    }
    process.stderr.write('e'.repeat(1001));
  } else {
    process.stdout.write('o'.repeat(1000));
  }
}
`))
		o := e.outcome(t, 1)
		if want := bytes.Repeat([]byte("0123456789abcdef"), 63)[8:]; !bytes.Equal(o.Stdout, want) {
			t.Errorf("stdout has %d bytes: %.100q", len(o.Stdout), o.Stdout)
		}
		if got, want := o.StdoutDropped, int64(50<<20-1000); got != want {
			t.Errorf("%d bytes of stdout were dropped, not %d", got, want)
		}
		if len(o.Stderr) != 1000 || o.StderrDropped != 1 {
			t.Errorf("%d bytes of stderr are kept and %d dropped", len(o.Stderr), o.StderrDropped)
		}
		for _, index := range []int{0, 2} {
			if o := e.outcome(t, index); len(o.Stdout) != 1000 || o.StdoutDropped != 0 || o.Stderr != nil {
				t.Errorf("the outcome of %d has %d bytes of stdout, %d dropped", index, len(o.Stdout), o.StdoutDropped)
			}
		}
	})
}

func TestTheOutputOfShortInputsIsReportedWithThem(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		const n = 2000
		e := newExchange(t, n)
		e.batch = 250
		run(t, in, e, in.code(`
import os
def handler(event):
    if event[0] % 3 == 0:
        os.write(1, b'out %d ' % event[0] if bytes is not str else 'out %d ' % event[0])
        print('line')
    if event[0] % 5 == 0:
        os.write(2, ('err %d' % event[0]).encode())
`, `
function handler(event) {
  if (event[0] % 3 === 0) {
    require('fs').writeSync(1, 'out ' + event[0] + ' ');
    console.log('line');
  }
  if (event[0] % 5 === 0) process.stderr.write('err ' + event[0]);
}
`))
		for i := range n {
			stdout, stderr := "", ""
			if i%3 == 0 {
				stdout = fmt.Sprintf("out %d line\n", i)
			}
			if i%5 == 0 {
				stderr = fmt.Sprintf("err %d", i)
			}
			if o := e.outcome(t, i); string(o.Stdout) != stdout || string(o.Stderr) != stderr {
				t.Fatalf("input %d printed %q and %q, not %q and %q", i, o.Stdout, o.Stderr, stdout, stderr)
			}
		}
	})
}

func TestAResultOverTheLimitFails(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		e := newExchange(t, 3)
		e.limits["resultBytes"] = 1000
		run(t, in, e, in.code("def handler(event):\n    return 'x' * (998 + event[0])\n",
			"function handler(event) { return 'x'.repeat(998 + event[0]) }"))
		if o := e.outcome(t, 0); o.Status != "Succeeded" || len(o.Result) != 1000 {
			t.Errorf("a result of the limit's size is %s: %+v", o.Status, o.Error)
		}
		o := e.outcome(t, 1)
		if o.Status != "Failed" || o.Error.Type != "ResultTooLarge" || !strings.Contains(o.Error.Message, "1001 bytes, more than the limit of 1000") {
			t.Errorf("a result over the limit is %s: %+v", o.Status, o.Error)
		}
	})
}

func TestLargeResultsAreReportedInSeveralCalls(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		e := newExchange(t, 6)
		e.batch = 6
		run(t, in, e, in.code("def handler(event):\n    return chr(97 + event[0]) * 6000000\n",
			"function handler(event) { return String.fromCharCode(97 + event[0]).repeat(6000000) }"))
		for i := range 6 {
			if o := e.outcome(t, i); len(o.Result) != 6000002 || o.Result[1] != byte('a'+i) {
				t.Errorf("the result of %d has %d bytes", i, len(o.Result))
			}
		}
		for _, c := range e.calls {
			if len(c.Outcomes) > 1 {
				t.Errorf("call %d carries %d outcomes of 6 MB", c.Sequence, len(c.Outcomes))
			}
		}
	})
}

func TestTheModuleIsLoadedOnceAndEachHandlerRunsOnce(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		const n, workers = 2000, 8
		e := newExchange(t, n)
		e.batch = 60
		folder := t.TempDir()
		code := fmt.Sprintf(in.code(`
import os
def note(name, text):
    handle = os.open(os.path.join(%q, name), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, text.encode())
    os.close(handle)
note('loads', 'x')
calls = 0
def handler(event):
    global calls
    calls += 1
    note('calls', '%%d\n' %% event[0])
    return calls
`, `
const note = (name, text) => require('fs').appendFileSync(%q + '/' + name, text);
note('loads', 'x');
let calls = 0;
function handler(event) {
  note('calls', event[0] + '\n');
  return ++calls;
}
`), folder)
		// Nothing is handed out until all workers are ready: otherwise the last one may find no input left.
		pending := e.pending
		e.pending = nil
		var all []*worker
		for i := range workers {
			all = append(all, start(t, in, e, code, named(fmt.Sprint("worker-", i))))
		}
		e.until(t, "worker that is ready", func() bool { return e.idle == workers })
		e.mu.Lock()
		e.pending = pending
		e.notify()
		e.mu.Unlock()
		for _, w := range all {
			w.finish()
		}
		e.check(t)
		if got := e.counts()["Succeeded"]; got != n {
			t.Errorf("%d inputs succeeded, not %d", got, n)
		}
		if loads := readFile(t, folder+"/loads"); len(loads) != workers {
			t.Errorf("the module was loaded %d times by %d workers", len(loads), workers)
		}
		calls := map[string]int{}
		for line := range strings.Lines(readFile(t, folder+"/calls")) {
			calls[line]++
		}
		for i := range n {
			if got := calls[fmt.Sprintf("%d\n", i)]; got != 1 {
				t.Errorf("the handler ran %d times for %d", got, i)
			}
		}
	})
}

func TestTheChildHasTheUsersEnvironment(t *testing.T) {
	eachPython(t, func(t *testing.T, in language) {
		e := newExchange(t, 1)
		modules := t.TempDir()
		run(t, in, e, `
# -*- coding: latin-1 -*-
import os, sys, pickle
import helper
def function():
    pass
def handler(event):
    return [helper.NAME, os.environ['GREETING'], os.environ['PYTHONPATH'] == os.path.dirname(helper.__file__),
            'PYTHONIOENCODING' in os.environ, __name__, os.path.basename(sys.path[0]), os.path.basename(__file__),
            pickle.loads(pickle.dumps(function)) is function, len(u'`+"\xe9"+`'), sys.argv == [__file__],
            [name for name in os.environ if name.startswith('SHAREDCLOUD_ENC')]]
`, withEnv("GREETING=hello", "PYTHONPATH="+modules, "PYTHONDONTWRITEBYTECODE=1"), func(w *worker) {
			w.write("x", "")
			writeFile(t, modules+"/helper.py", "NAME = 'helped'\n")
		})
		want := `["helped","hello",true,false,"handler","code","handler.py",true,1,true,[]]`
		if got := string(e.outcome(t, 0).Result); got != want {
			t.Errorf("the handler sees %s, not %s (%+v)", got, want, e.outcome(t, 0).Error)
		}
	})
}

func TestProcessesOfMultiprocessingFindTheModule(t *testing.T) {
	for _, method := range []string{"fork", "spawn"} {
		t.Run(method, func(t *testing.T) {
			e := newExchange(t, 2)
			run(t, needPython3(t), e, `
import multiprocessing
def square(x):
    return x * x
def handler(event):
    with multiprocessing.get_context('`+method+`').Pool(2) as pool:
        return pool.map(square, [1, 2, 3])
`)
			if got := string(e.outcome(t, 1).Result); got != "[1,4,9]" {
				t.Errorf("the result is %s (%+v)", got, e.outcome(t, 1).Error)
			}
		})
	}
}

func TestTheSourceIsFoundByInspect(t *testing.T) {
	eachPython(t, func(t *testing.T, in language) {
		e := newExchange(t, 1)
		run(t, in, e, "import inspect\n\ndef add(a, b):\n    return a + b\n\nTEXT = inspect.getsource(add)\n\ndef handler(event):\n    return TEXT\n")
		if got := string(e.outcome(t, 0).Result); got != `"def add(a, b):\n    return a + b\n"` {
			t.Errorf("the source is %s", got)
		}
	})
}
