package runtimes_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// newBatchExchange is an exchange whose run has 4 inputs in one call of the handler.
func newBatchExchange(t *testing.T, n int) *exchange {
	e := newExchange(t, n)
	e.batchSize, e.batch = 4, 12
	return e
}

// compareSizes compares the results of inputs that return the size of their call.
func compareSizes(t *testing.T, e *exchange, sizes ...int) {
	t.Helper()
	for index, size := range sizes {
		o := e.outcome(t, index)
		if want := fmt.Sprintf("[%d,%d]", 2*index, size); string(o.Result) != want {
			t.Errorf("the result of %d is %s, not %s (%+v)", index, o.Result, want, o.Error)
		}
	}
}

func TestAHandlerGetsSeveralInputsAtOnce(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		e := newBatchExchange(t, 10)
		run(t, in, e, in.code(`
import sys
def handler(events):
    sys.stdout.write('%d at once\n' % len(events))
    assert type(events) is list and all(type(event) is tuple for event in events)
    return [[event[0] * 2, len(events)] for event in events]
`, `
function handler(events) {
  console.log(events.length + ' at once');
  if (!Array.isArray(events) || !events.every(Array.isArray)) throw new Error('not an array of arrays');
  return events.map((event) => [event[0] * 2, events.length]);
}
`))
		sizes := []int{4, 4, 4, 4, 4, 4, 4, 4, 2, 2}
		compareSizes(t, e, sizes...)
		for index := range sizes {
			o, want := e.outcome(t, index), ""
			if index%4 == 0 {
				want = fmt.Sprintf("%d at once\n", sizes[index])
			}
			if string(o.Stdout) != want {
				t.Errorf("the output of %d is %q, not %q", index, o.Stdout, want)
			}
		}
	})
}

func TestAnAsynchronousHandlerGetsSeveralInputsAtOnce(t *testing.T) {
	eachNode(t, func(t *testing.T, in language) {
		e := newBatchExchange(t, 10)
		run(t, in, e, `
const later = (value) => new Promise((resolve) => setTimeout(resolve, 10, value));
async function handler(events) {
  return Promise.all(events.map((event) => later([event[0] * 2, events.length])));
}
`)
		compareSizes(t, e, 4, 4, 4, 4, 4, 4, 4, 4, 2, 2)
	})
}

func TestTheTimeOfACallIsDividedAmongItsInputs(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		e := newBatchExchange(t, 4)
		run(t, in, e, in.code("import time\ndef handler(events):\n    time.sleep(0.4)\n    return events\n",
			"function handler(events) {\n  return new Promise((resolve) => setTimeout(resolve, 400, events));\n}\n"))
		for index := range 4 {
			if took := e.outcome(t, index).DurationMicros; took < 90_000 || took >= 400_000 {
				t.Errorf("input %d of a call of 400 ms took %d µs", index, took)
			}
		}
	})
}

// outcomesOfFour are parts of the errors of a call's four inputs; "" is a success.
type outcomesOfFour map[int]string

func allFour(text string) outcomesOfFour {
	return outcomesOfFour{0: text, 1: text, 2: text, 3: text}
}

func TestTheResultsOfABatch(t *testing.T) {
	for name, tc := range map[string]struct {
		body string
		want outcomesOfFour
	}{
		"a tuple of results":         {`return tuple(range(len(events)))`, nil},
		"an exception in its place":  {`return [ValueError('one') if event[0] == 1 else 7 for event in events]`, outcomesOfFour{1: "ValueError: one"}},
		"one that is raised":         {`raise ValueError('all')`, allFour("ValueError: all")},
		"too few":                    {`return [1]`, allFour("one result for each of its 4 events, and not a list of 1")},
		"none at all":                {`pass`, allFour("TypeError: with batchSize, handler(events) returns a list with one result for each of its 4 events, and not NoneType")},
		"a dictionary":               {`return dict((i, i) for i in range(len(events)))`, allFour("and not dict")},
		"a result that is too large": {`return ['x' * (17 << 20) if event[0] == 2 else 7 for event in events]`, outcomesOfFour{2: "ResultTooLarge"}},
		"a result that is no JSON":   {`return [events, 1, 1, set([1])]`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			eachPython(t, func(t *testing.T, in language) { callOfFour(t, in, "def handler(events):\n    "+tc.body+"\n", tc.want) })
		})
	}
	for name, tc := range map[string]struct {
		body string
		want outcomesOfFour
	}{
		"a typed array":                         {`return Float32Array.from(events, (event) => event[0])`, nil},
		"a promise of results":                  {`return Promise.resolve(events)`, nil},
		"an Error in its place":                 {`return events.map((event) => event[0] === 1 ? new RangeError('one') : 7)`, outcomesOfFour{1: "RangeError: one"}},
		"an Error of another realm":             {`return [7, require('vm').runInNewContext('new RangeError("one")'), 7, 7]`, outcomesOfFour{1: "RangeError: one"}},
		"one that is thrown":                    {`throw new RangeError('all')`, allFour("RangeError: all")},
		"one that is no Error, thrown":          {`throw 'all'`, allFour("string: all")},
		"a rejection":                           {`return Promise.reject(new RangeError('all'))`, allFour("RangeError: all")},
		"too few":                               {`return [1]`, allFour("one result for each of its 4 events, and not an array of 1")},
		"too few in a typed array":              {`return new Float32Array(3)`, allFour("and not Float32Array of 3")},
		"none at all":                           {``, allFour("TypeError: with batchSize, handler(events) returns an array with one result for each of its 4 events, and not undefined")},
		"null":                                  {`return null`, allFour("and not null")},
		"a text of as many characters":          {`return 'four'`, allFour("and not string")},
		"an object with a length":               {`return { length: 4, 0: 0, 1: 1, 2: 2, 3: 3 }`, allFour("and not Object")},
		"a Map":                                 {`return new Map(events.map((event) => [event, 1]))`, allFour("and not Map")},
		"promises":                              {`return [1, 2, Promise.resolve(3), 4]`, outcomesOfFour{2: "TypeError: a promise is in place of a result"}},
		"a result that is too large":            {`return events.map((event) => event[0] === 2 ? 'x'.repeat(17 << 20) : 7)`, outcomesOfFour{2: "ResultTooLarge"}},
		"a result that is no JSON":              {`return [new Map(), undefined, NaN, new Set([1])]`, nil},
		"a result that cannot be shown":         {`return [1, 2, 3, { f() {}, [require('util').inspect.custom]() { throw new TypeError('shown') } }]`, outcomesOfFour{3: "ResultNotSerializable: the result cannot be stored as JSON: $.f is a function (f)"}},
		"a promise that nothing settles":        {`return new Promise(() => {})`, allFour("NeverSettled")},
		"an exception that is not caught":       {`setTimeout(() => { throw new RangeError('uncaught') }, 1); return new Promise((resolve) => setTimeout(resolve, 60000, events))`, allFour("RangeError: uncaught")},
		"a rejection that is not handled":       {`Promise.reject(new RangeError('unhandled')); return events`, allFour("RangeError: unhandled")},
		"a rejection of what is not waited for": {`return events.map((event) => Promise.reject(new RangeError('not waited for')))`, allFour("RangeError: not waited for")},
	} {
		t.Run("in Node "+name, func(t *testing.T) {
			eachNode(t, func(t *testing.T, in language) {
				callOfFour(t, in, "function handler(events) {\n  "+tc.body+"\n}\n", tc.want)
			})
		})
	}
}

func callOfFour(t *testing.T, in language, code string, wants outcomesOfFour) {
	t.Helper()
	e := newBatchExchange(t, 4)
	run(t, in, e, code)
	for index := range 4 {
		o, want := e.outcome(t, index), wants[index]
		got := ""
		if o.Error != nil {
			got = o.Error.Type + ": " + o.Error.Message
		}
		if (o.Status == "Succeeded") != (want == "") || !strings.Contains(got, want) || o.Crash {
			t.Errorf("the outcome of %d is %s %q, not like %q", index, o.Status, got, want)
		}
		if first := e.outcome(t, 0); o.Error != nil && !bytes.Contains(first.Stderr, []byte(o.Error.Message)) {
			t.Errorf("the stderr of the call is %q, without the error of %d", first.Stderr, index)
		}
	}
}

func TestAnInputThatNodeCannotReadFailsAlone(t *testing.T) {
	eachNode(t, func(t *testing.T, in language) {
		e := newBatchExchange(t, 0)
		e.literals(`(0,)`, `('\N{DIGIT ONE}',)`, `(2,)`, `(3,)`, `('\N{DIGIT ONE}',)`)
		run(t, in, e, "function handler(events) { return events.map((event) => event[0] + events.length) }")
		for index, want := range []string{"3", "", "5", "6", ""} {
			if o := e.outcome(t, index); string(o.Result) != want || (want == "") != (o.Error != nil && o.Error.Type == "SyntaxError") {
				t.Errorf("the outcome of %d is %s %s, not %q (%+v)", index, o.Status, o.Result, want, o.Error)
			}
		}
	})
}

func TestAfterAnUncaughtRejectionABatchHasANewProcess(t *testing.T) {
	eachNode(t, func(t *testing.T, in language) {
		e := newBatchExchange(t, 12)
		run(t, in, e, `
function handler(events) {
  console.log(process.pid);
  if (events[0][0] === 4) Promise.reject(new RangeError('not caught'));
  return events.map((event) => [event[0] * 2, events.length]);
}
`)
		pids := map[string]bool{}
		for index := range 12 {
			o := e.outcome(t, index)
			if failed := index >= 4 && index < 8; failed != (o.Error != nil) {
				t.Errorf("the outcome of %d is %s %s (%+v)", index, o.Status, o.Result, o.Error)
			}
			pids[string(o.Stdout)] = true
		}
		if len(pids) != 3 { // and "", of inputs that were not the first of their call
			t.Errorf("the processes were %v, not two", pids)
		}
	})
}

func TestTheInputThatEndsTheProcessOfABatchIsFound(t *testing.T) {
	for name, tc := range map[string]struct {
		python  string
		node    string
		timeout int
		split   bool // the call that reports the suspects is too large at first
		want    expected
	}{
		"a process that dies": {python: `os._exit(3)`, node: `process.reallyExit(3)`, timeout: 60,
			want: expected{status: "Failed", crash: true, kind: "ProcessExited", message: "exited with status 3"}},
		"a call past its limit": {python: `time.sleep(600)`, node: `for (;;);`, timeout: 3,
			want: expected{status: "TimedOut", kind: "TimeLimitExceeded"}},
		"one whose report is too large": {python: `os._exit(3)`, node: `process.reallyExit(3)`, timeout: 60, split: true,
			want: expected{status: "Failed", crash: true, kind: "ProcessExited", message: "exited with status 3"}},
	} {
		t.Run(name, func(t *testing.T) {
			eachLanguage(t, func(t *testing.T, in language) {
				e := newBatchExchange(t, 8)
				e.timeout = tc.timeout
				refused := false
				if tc.split {
					e.faults = func(_ int, body []byte) requestFault {
						if refused || !bytes.Contains(body, []byte(`"suspects"`)) {
							return none
						}
						refused = true
						return tooLarge
					}
				}
				w := run(t, in, e, in.code(`
import os, time
def handler(events):
    for event in events:
        if event[0] == 5:
            `+tc.python+`
    return [[2 * event[0], len(events)] for event in events]
`, `
function handler(events) {
  for (const event of events) {
    if (event[0] === 5) `+tc.node+`
  }
  return events.map((event) => [2 * event[0], events.length]);
}
`))
				tc.want.compare(t, e.outcome(t, 5))
				for index, size := range []int{4, 4, 4, 4, 1, 0, 1, 1} {
					if want := fmt.Sprintf("[%d,%d]", 2*index, size); size > 0 && string(e.outcome(t, index).Result) != want {
						t.Errorf("the result of %d is %s, not %s (%+v)", index, e.outcome(t, index).Result, want, e.outcome(t, index).Error)
					}
				}
				if strings.Count(w.stderr.String(), "the call had 4 inputs, which are now executed one at a time") != 1 {
					t.Errorf("the worker does not log it once: %q", w.stderr.String())
				}
				var reports []string
				for _, c := range e.calls {
					if c.Suspects != "" {
						reports = append(reports, c.Suspects)
					}
				}
				if len(reports) != 1 || reports[0] != "4-7" || refused != tc.split {
					t.Errorf("the reported suspects are %q", reports)
				}
			})
		})
	}
}

// revoking revokes these indexes when the worker reports that it executes the first input.
func (e *exchange) revoking(text string) {
	e.lease = 1
	e.decide = func(c call, a *answer) (int, string) {
		if c.Executing != nil && *c.Executing == 0 && len(e.revoked) == 0 {
			a.Revoked = text
			for _, index := range indexes(text) {
				e.revoked[index] = true
			}
		}
		return 0, ""
	}
}

func TestACallWhoseInputsAreAllRevokedIsEnded(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		e := newBatchExchange(t, 8)
		e.revoking("0-3")
		e.timeout = 600
		run(t, in, e, in.code(`
import time
def handler(events):
    if events[0][0] == 0:
        time.sleep(600)
    return [[2 * event[0], len(events)] for event in events]
`, `
function handler(events) {
  if (events[0][0] === 0) for (;;);
  return events.map((event) => [2 * event[0], events.length]);
}
`))
		for index := 4; index < 8; index++ {
			if got, want := string(e.outcome(t, index).Result), fmt.Sprintf("[%d,4]", 2*index); got != want {
				t.Errorf("the result of %d is %s, not %s", index, got, want)
			}
		}
	})
}

func TestACallOfWhichOneInputIsRevokedContinues(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		e := newBatchExchange(t, 4)
		e.revoking("2")
		run(t, in, e, in.code("import time\ndef handler(events):\n    time.sleep(1)\n    return [[2 * event[0], len(events)] for event in events]\n", "function handler(events) {\n  return new Promise((resolve) => setTimeout(resolve, 1000, events.map((event) => [event[0] * 2, events.length])));\n}\n"))
		for _, index := range []int{0, 1, 3} {
			if got, want := string(e.outcome(t, index).Result), fmt.Sprintf("[%d,4]", 2*index); got != want {
				t.Errorf("the result of %d is %s, not %s", index, got, want)
			}
		}
	})
}
