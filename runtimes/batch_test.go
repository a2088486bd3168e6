package runtimes_test

import (
	"fmt"
	"strings"
	"testing"
)

// many is an exchange whose run wants 4 tuples in one call.
func many(t *testing.T, n int) *exchange {
	e := newExchange(t, n)
	e.together, e.batch = 4, 12
	return e
}

func TestAHandlerGetsManyTuplesAtOnce(t *testing.T) {
	eachPython(t, func(t *testing.T, in language) {
		e := many(t, 10)
		run(t, in, e, `
import sys
def handler(events):
    sys.stdout.write('%d at once\n' % len(events))
    assert type(events) is list and all(type(event) is tuple for event in events)
    return [[event[0] * 2, len(events)] for event in events]
`)
		for index, size := range []int{4, 4, 4, 4, 4, 4, 4, 4, 2, 2} {
			o := e.outcome(t, index)
			if want := fmt.Sprintf("[%d,%d]", 2*index, size); string(o.Result) != want {
				t.Errorf("the result of %d is %s, not %s (%+v)", index, o.Result, want, o.Error)
			}
			want := ""
			if index%4 == 0 {
				want = fmt.Sprintf("%d at once\n", size)
			}
			if string(o.Stdout) != want {
				t.Errorf("the output of %d is %q, not %q", index, o.Stdout, want)
			}
		}
	})
}

func TestWhatManyResultsMayBe(t *testing.T) {
	for name, tc := range map[string]struct {
		body string
		want map[int]string // "" is a success
	}{
		"a tuple of results":           {`return tuple(range(len(events)))`, map[int]string{}},
		"an exception in its place":    {`return [ValueError('one') if event[0] == 1 else 7 for event in events]`, map[int]string{1: "ValueError: one"}},
		"one that is raised":           {`raise ValueError('all')`, map[int]string{0: "ValueError: all", 1: "ValueError: all", 2: "ValueError: all", 3: "ValueError: all"}},
		"too few":                      {`return [1]`, map[int]string{0: "one result for each of its 4 events, and not a list of 1", 1: "TypeError", 2: "TypeError", 3: "TypeError"}},
		"none at all":                  {`pass`, map[int]string{0: "and not NoneType", 1: "TypeError", 2: "TypeError", 3: "TypeError"}},
		"a dictionary":                 {`return dict((i, i) for i in range(len(events)))`, map[int]string{0: "and not dict", 1: "TypeError", 2: "TypeError", 3: "TypeError"}},
		"a result that is too large":   {`return ['x' * (17 << 20) if event[0] == 2 else 7 for event in events]`, map[int]string{2: "ResultTooLarge"}},
		"a result that cannot be said": {`return [events, 1, 1, set([1])]`, map[int]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			eachPython(t, func(t *testing.T, in language) {
				e := many(t, 4)
				run(t, in, e, "def handler(events):\n    "+tc.body+"\n")
				for index := range 4 {
					o, want := e.outcome(t, index), tc.want[index]
					got := ""
					if o.Error != nil {
						got = o.Error.Type + ": " + o.Error.Message
					}
					if (o.Status == "Succeeded") != (want == "") || !strings.Contains(got, want) || o.Crash {
						t.Errorf("the outcome of %d is %s %q, not like %q", index, o.Status, got, want)
					}
				}
			})
		})
	}
}

func TestOfManyAtOnceThePoisonIsFound(t *testing.T) {
	for name, tc := range map[string]struct {
		poison  string
		timeout int
		want    expected
	}{
		"a process that dies":   {`os._exit(3)`, 60, expected{status: "Failed", crash: true, kind: "ProcessExited", message: "exited with status 3"}},
		"a call past its limit": {`time.sleep(600)`, 1, expected{status: "TimedOut", kind: "TimeLimitExceeded"}},
	} {
		t.Run(name, func(t *testing.T) {
			eachPython(t, func(t *testing.T, in language) {
				e := many(t, 8)
				e.timeout = tc.timeout
				w := run(t, in, e, `
import os, time
def handler(events):
    for event in events:
        if event[0] == 5:
            `+tc.poison+`
    return [len(events)] * len(events)
`)
				for index, want := range []string{"4", "4", "4", "4", "1", "", "1", "1"} {
					o := e.outcome(t, index)
					if want == "" {
						tc.want.compare(t, o)
					} else if string(o.Result) != want {
						t.Errorf("the result of %d is %s, not %s (%+v)", index, o.Result, want, o.Error)
					}
				}
				if !strings.Contains(w.stderr.String(), "it had 4 inputs at once, which are now tried one by one") {
					t.Errorf("the worker does not say it: %q", w.stderr.String())
				}
			})
		})
	}
}
