package runtimes_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAnExitIsAnExceptionAndTheModuleStaysLoaded(t *testing.T) {
	eachPython(t, func(t *testing.T, in language) {
		e := newExchange(t, 9)
		e.batch = 9
		loads := t.TempDir() + "/loads"
		run(t, in, e, fmt.Sprintf(`
import os, sys, threading
with open(%[1]q, 'a') as file:
    file.write('x')
def nested():
    try:
        sys.exit('inner')
    finally:
        sys.stdout.write('cleaned up')
class Exits(object):
    def __str__(self):
        sys.exit('no text')
    __repr__ = __str__
def handler(event):
    if event[0] == 0: sys.exit('no such image: 1')
    if event[0] == 1: sys.exit(0)
    if event[0] == 2: sys.exit()
    if event[0] == 3: nested()
    if event[0] == 4: raise SystemExit(3)
    if event[0] == 5: exit('by the name of site')
    if event[0] == 6: sys.exit({'a': 1})
    if event[0] == 7:
        thread = threading.Thread(target=sys.exit, args=('of the thread alone',))
        thread.start()
        thread.join()
    return len(open(%[1]q).read())
`, loads))
		for i, message := range []string{"no such image: 1", "0", "sys.exit() was called", "inner", "3", "by the name of site", "{'a': 1}"} {
			o := e.outcome(t, i)
			expected{status: "Failed", kind: "SystemExit", message: message, stderr: `File "handler.py", line`}.compare(t, o)
			if o.Error != nil && (o.Error.Message != message || !strings.Contains(o.Error.Traceback, "in handler\n")) {
				t.Errorf("the error of %d is %+v", i, o.Error)
			}
		}
		for _, index := range []int{7, 8} {
			expected{status: "Succeeded", result: "1"}.compare(t, e.outcome(t, index))
		}
	})
}

func TestAnExitInABatchIsAnException(t *testing.T) {
	eachPython(t, func(t *testing.T, in language) {
		e := newExchange(t, 6)
		e.batch, e.batchSize = 6, 3
		run(t, in, e, `
import os, sys
def handler(events):
    if events[0][0] == 0:
        sys.exit('the whole call')
    return [os.getpid(), SystemExit('one of them'), os.getpid()]
`)
		failed := 0
		for i := range 6 {
			o := e.outcome(t, i)
			if o.Crash {
				t.Errorf("input %d crashed: %+v", i, o.Error)
			}
			if o.Error != nil && o.Error.Type == "SystemExit" && (o.Error.Message == "the whole call" || o.Error.Message == "one of them") {
				failed++
			}
		}
		if first := e.outcome(t, 0).Error; first == nil || first.Message != "the whole call" || failed < 2 {
			t.Errorf("%d inputs failed by an exit, the first with %+v", failed, first)
		}
	})
}

// beforeGroups defines groups for a Python that has none.
const beforeGroups = `

try:
    ExceptionGroup
except NameError:
    class ExceptionGroup(Exception):
        def __init__(self, message, exceptions):
            Exception.__init__(self, message)
            self.exceptions = exceptions
`

func TestTracebacksShowGroupsCausesAndNotes(t *testing.T) {
	for name, tc := range map[string]struct {
		body string
		want []string
		from string // the version of Python that has it
	}{
		"the members of a group": {
			from: "3", want: []string{"ValueError: first of two", "TypeError: second of two", "KeyError: 'deeper'", "line 4, in fail"},
			body: `
        found = []
        for error in (ValueError('first of two'), TypeError('second of two'), ExceptionGroup('inner', [KeyError('deeper')])):
            try:
                fail(error)
            except Exception as caught:
                found.append(caught)
        raise ExceptionGroup('many', found)`,
		},
		"the members of a group of another class": {
			want: []string{"MultiError: 2 errors", "ValueError: first of two", "TypeError: second of two"},
			body: `
        class MultiError(Exception):
            exceptions = ValueError('first of two'), TypeError('second of two')
        raise MultiError('2 errors')`,
		},
		"the cause": {
			from: "3", want: []string{"ZeroDivisionError: ", "direct cause of the following", "RuntimeError: outer", "line 4, in fail"},
			body: `
        try:
            fail(ZeroDivisionError('x'))
        except ZeroDivisionError as error:
            exec("raise RuntimeError('outer') from error")`,
		},
		"the context": {
			from: "3", want: []string{"ZeroDivisionError: x", "another exception occurred", "RuntimeError: outer"},
			body: `
        try:
            fail(ZeroDivisionError('x'))
        except ZeroDivisionError as error:
            raise RuntimeError('outer')`,
		},
		"notes": {
			want: []string{"ValueError: noted", "a note\n", "another one\n"},
			body: `
        error = ValueError('noted')
        error.__notes__ = ['a note', 'another one']
        raise error`,
		},
		"the traceback of another process": {
			from: "3", want: []string{"RemoteTraceback", `File "handler.py", line 4, in fail`, "ValueError: in the pool"},
			body: `
        import multiprocessing
        with multiprocessing.get_context('fork').Pool(1) as pool:
            pool.map(fail, [ValueError('in the pool')])`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachPython(t, func(t *testing.T, in language) {
				if in.python2() && tc.from != "" {
					t.Skipf("Python %s has it first", tc.from)
				}
				e := newExchange(t, 1)
				w := run(t, in, e, "\n\ndef fail(error):\n    raise error\n\ndef handler(event):\n    if 1:"+tc.body+beforeGroups)
				o := e.outcome(t, 0)
				for _, want := range tc.want {
					if o.Error == nil || !strings.Contains(o.Error.Traceback, want) {
						t.Fatalf("%q is missing in the error %+v", want, o.Error)
					}
				}
				for _, not := range []string{"runner.py", w.folder} {
					if strings.Contains(o.Error.Traceback, not) {
						t.Errorf("the traceback contains %q:\n%s", not, o.Error.Traceback)
					}
				}
			})
		})
	}
}

func TestTheCodeHasItsRealPath(t *testing.T) {
	eachPython(t, func(t *testing.T, in language) {
		e := newExchange(t, 1)
		w := run(t, in, e, `
import inspect, linecache, os, pickle, pkgutil, sys
def add(a, b):
    return a + b
class Shape(object):
    side = 1
here = os.path.dirname(__file__)
text = open(__file__).read()
def handler(event):
    path = add.__code__.co_filename
    return [path == __file__ and os.path.exists(path), inspect.getsource(add) == text[text.index('def add'):text.index('class')],
            inspect.getsource(Shape).startswith('class Shape'), linecache.getline(path, 3), inspect.getsourcefile(add) == __file__,
            os.stat(path).st_size == len(text), pickle.loads(pickle.dumps(add)) is add, pickle.loads(pickle.dumps(Shape)) is Shape,
            pkgutil.get_data(__name__, 'data.txt').decode(), hasattr(sys.modules['__main__'], '__file__'), inspect.getmodule(add).__name__]
`, func(w *worker) { w.write("code/data.txt", "beside it") })
		want := `[true,true,true,"def add(a, b):\n",true,true,true,true,"beside it",false,"handler"]`
		if got := string(e.outcome(t, 0).Result); got != want {
			t.Errorf("the handler sees %s, not %s (%+v; %s)", got, want, e.outcome(t, 0).Error, w.stderr.String())
		}
	})
}

func TestTextThatArrivedAsUnicodeIsReadAsUnicode(t *testing.T) {
	const handler = "def handler(event):\n    return [len(u'caf\u00e9'), u'caf\u00e9']\n"
	for name, code := range map[string]string{
		"with the cookie of another encoding":     "# -*- coding: latin-1 -*-\n" + handler,
		"with a cookie of ASCII in line 2":        "#!/usr/bin/env python\n# vim: set fileencoding=us-ascii :\n" + handler,
		"with the cookie of an unknown encoding":  "# coding=none-of-this-name\n" + handler,
		"with a byte order mark":                  "\ufeff" + handler,
		"with a byte order mark and a cookie":     "\ufeff# coding: latin-1\n" + handler,
		"with a cookie and line ends of Windows":  strings.ReplaceAll("# coding: cp1252\n"+handler, "\n", "\r\n"),
		"with the cookie of its own encoding":     "# coding: utf-8\n" + handler,
		"with a line that only looks like cookie": "coding = 'x'\n# coding: utf8\n" + handler,
	} {
		t.Run(name, func(t *testing.T) {
			eachPython(t, func(t *testing.T, in language) {
				e := newExchange(t, 2)
				run(t, in, e, code+"import inspect\nthe_source = inspect.getsource(handler)\ndef fails(event):\n    raise ValueError(the_source)\n")
				if got := string(e.outcome(t, 0).Result); got != `[4,"caf\u00e9"]` {
					t.Errorf("the handler returns %s (%+v)", got, e.outcome(t, 0).Error)
				}
			})
		})
	}
}

func TestTheTracebackOfTextWithACookieShowsItsLines(t *testing.T) {
	eachPython(t, func(t *testing.T, in language) {
		e := newExchange(t, 1)
		run(t, in, e, "# coding: latin-1\ndef handler(event):\n    raise ValueError(event[0])  # caf\u00e9\n")
		if got := e.outcome(t, 0).Error; got == nil || !strings.Contains(got.Traceback, "    raise ValueError(event[0])  # caf\u00e9\n") {
			t.Errorf("the error is %+v", got)
		}
	})
}

func TestOtherProcessesOfMultiprocessingDoNotLoadTheModuleUnlessTheyUseIt(t *testing.T) {
	for _, method := range []string{"spawn", "forkserver"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			e := newExchange(t, 2)
			loads := t.TempDir() + "/loads"
			run(t, needPython3(t), e, fmt.Sprintf(`
import math, multiprocessing
with open(%[1]q, 'a') as file:
    file.write('x')
def square(x):
    return x * x
def handler(event):
    with multiprocessing.get_context(%[2]q).Pool(2) as pool:
        if event[0] == 0:
            return [pool.map(math.floor, [1.5, 2.5]), len(open(%[1]q).read())]
        return pool.map(square, [1, 2, 3])
`, loads, method))
			if diff := cmp.Diff([]string{"[[1,2],1]", "[1,4,9]"}, results(t, e)); diff != "" {
				t.Errorf("results (-want +got):\n%s", diff)
			}
			if loaded := len(readFile(t, loads)); loaded < 2 || loaded > 3 {
				t.Errorf("the module was loaded %d times, not once and by one or two processes that call its function", loaded)
			}
		})
	}
}

func TestACacheOfCompiledFunctionsFindsTheFileAndAHome(t *testing.T) {
	// What the cache of Numba does: it takes only functions whose file it finds.
	e := newExchange(t, 1)
	home := t.TempDir()
	run(t, needPython3(t), e, `
import hashlib, inspect, os
def compiled(function):
    path = inspect.getfile(function)
    stamp = os.stat(path).st_mtime, os.stat(path).st_size
    folder = os.path.join(os.path.expanduser('~'), '.cache', 'numba', hashlib.sha256(os.path.dirname(path).encode()).hexdigest())
    os.makedirs(folder)
    open(os.path.join(folder, 'index'), 'w').write(repr(stamp))
    return function
@compiled
def f(x):
    return x * x
def handler(event):
    return f(3)
`, withEnv("SHAREDCLOUD_HOME="+home, "HOME=/", "XDG_CACHE_HOME="))
	if got := string(e.outcome(t, 0).Result); got != "9" {
		t.Errorf("the result is %s (%+v)", got, e.outcome(t, 0).Error)
	}
	if entries, err := os.ReadDir(home + "/.cache/numba"); err != nil || len(entries) != 1 {
		t.Errorf("the cache contains %v (%v)", entries, err)
	}
}
