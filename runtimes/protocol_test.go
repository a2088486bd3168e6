package runtimes_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// gated is a handler that records what it begins. For the input `held` it keeps its process busy until the test opens the
// gate.
func gated(in language, folder string, held int) string {
	return fmt.Sprintf(in.code(`
import os, time
FOLDER = %q
def note(name, text):
    handle = os.open(os.path.join(FOLDER, name), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, text.encode())
    os.close(handle)
def handler(event):
    note('begun', '%%d\n' %% event[0])
    while event[0] == %d and not os.path.exists(os.path.join(FOLDER, 'gate')):
        time.sleep(0.005)
    return event[0]
`, `
const fs = require('fs'), FOLDER = %q, still = new Int32Array(new SharedArrayBuffer(4));
function handler(event) {
  fs.appendFileSync(FOLDER + '/begun', event[0] + '\n');
  while (event[0] === %d && !fs.existsSync(FOLDER + '/gate')) Atomics.wait(still, 0, 0, 5);
  return event[0];
}
`), folder, held)
}

func open(t testing.TB, folder string) { writeFile(t, folder+"/gate", "") }

// has is a condition for until: there was a call like this.
func (e *exchange) has(condition func(call) bool) func() bool {
	return func() bool {
		for _, c := range e.calls {
			if condition(c) {
				return true
			}
		}
		return false
	}
}

func TestNothingIsLostOrRepeatedWhenCallsFail(t *testing.T) {
	for name, faults := range map[string]func(request int, body []byte) requestFault{
		"answers are lost": every(3, lostAnswer),
		"calls are lost":   every(3, lostCall),
		"the server is unavailable": func(request int, _ []byte) requestFault {
			return map[bool]requestFault{true: unavailable}[request >= 4 && request < 9]
		},
		"calls are throttled":      every(2, throttled),
		"tokens are rejected":      every(4, unauthorized),
		"everything at once":       func(request int, _ []byte) requestFault { return requestFault(request % int(unauthorized+1)) },
		"the first answer is lost": func(request int, _ []byte) requestFault { return map[bool]requestFault{true: lostAnswer}[request == 0] },
	} {
		t.Run(name, func(t *testing.T) {
			eachLanguage(t, func(t *testing.T, in language) {
				const n = 120
				folder := t.TempDir()
				e := newExchange(t, n)
				e.batch = 20
				e.faults = faults
				run(t, in, e, gated(in, folder, -1))
				if got := e.counts()["Succeeded"]; got != n {
					t.Errorf("%d inputs succeeded, not %d", got, n)
				}
				begun := map[string]int{}
				for line := range strings.Lines(readFile(t, folder+"/begun")) {
					begun[line]++
				}
				for i := range n {
					if got := begun[fmt.Sprintf("%d\n", i)]; got != 1 {
						t.Errorf("the handler ran %d times for %d", got, i)
					}
				}
			})
		})
	}
}

func every(n int, fault requestFault) func(int, []byte) requestFault {
	return func(request int, _ []byte) requestFault {
		if request%n == n-1 {
			return fault
		}
		return none
	}
}

func TestTheTokenIsReadAgainAfterA401(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		e := newExchange(t, 20)
		e.batch = 1
		var w *worker
		rotated := make(chan struct{})
		e.tokens["renewed"] = "worker"
		e.faults = func(request int, _ []byte) requestFault {
			switch {
			case request < 5:
				return none
			case request == 5:
				<-rotated
				w.write("identity/token", "renewed\n")
				e.tokens["worker"] = "a worker with an old token"
				return unauthorized
			}
			return none
		}
		w = start(t, in, e, trivial(in))
		close(rotated)
		w.finish()
		e.check(t)
		if len(e.outcomes) != 20 || len(e.workers) != 1 {
			t.Errorf("%d outcomes of the workers %v", len(e.outcomes), e.workers)
		}
	})
}

func TestAnswersThatEndAWorker(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		text   string
		exit   int
		logs   string
	}{
		"400 is logged, exit with 1": {status: http.StatusBadRequest, text: `{"error": "unreadable"}`, exit: 1, logs: "unreadable"},
		"409 is logged, exit with 1": {status: http.StatusConflict, text: `{"error": "another supervisor"}`, exit: 1, logs: "another supervisor"},
		"404, exit with 0":           {status: http.StatusNotFound, text: `{"error": "no such run"}`, exit: 0},
	} {
		t.Run(name, func(t *testing.T) {
			eachLanguage(t, func(t *testing.T, in language) {
				e := newExchange(t, 4)
				e.lease = 1
				e.decide = func(c call, _ *answer) (int, string) {
					if c.Executing != nil {
						return tc.status, tc.text
					}
					return 0, ""
				}
				w := start(t, in, e, gated(in, t.TempDir(), 0), asProcessOne)
				if got := w.wait(); got != tc.exit {
					t.Errorf("the worker exited with %d, not %d", got, tc.exit)
				}
				if !strings.Contains(w.stderr.String(), tc.logs) {
					t.Errorf("the worker logs %q, which does not contain %q", w.stderr.String(), tc.logs)
				}
				e.check(t)
			})
		})
	}
}

func TestACallThatIsTooLargeIsSplit(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		e := newExchange(t, 10)
		e.batch = 10
		e.faults = func(_ int, body []byte) requestFault {
			if len(body) > 150_000 {
				return tooLarge
			}
			return none
		}
		run(t, in, e, in.code("def handler(event):\n    return 'x' * (200000 if event[0] == 7 else 60000)\n",
			"function handler(event) { return 'x'.repeat(event[0] === 7 ? 200000 : 60000) }"))
		for i := range 10 {
			o := e.outcome(t, i)
			if i == 7 {
				if o.Status != "Failed" || o.Error.Type != "ResultTooLarge" {
					t.Errorf("the outcome that is too large by itself is %s: %+v", o.Status, o.Error)
				}
			} else if o.Status != "Succeeded" || len(o.Result) != 60_002 {
				t.Errorf("the outcome of %d is %s with %d bytes", i, o.Status, len(o.Result))
			}
		}
		for i, c := range e.calls[:len(e.calls)-1] {
			if c.WaitSeconds > 0 && len(c.Outcomes) > 0 && len(e.calls[i+1].Outcomes) > 0 {
				t.Errorf("call %d lets the server wait although there is more to report in call %d", c.Sequence, c.Sequence+1)
			}
		}
	})
}

func TestTheNextInputIsRequestedWhileOneRuns(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		const n = 5
		e := newExchange(t, n)
		e.batch = 1
		run(t, in, e, in.code("import time\ndef handler(event):\n    time.sleep(1)\n",
			"async function handler(event) { await new Promise((resolve) => setTimeout(resolve, 1000)) }"))
		for _, c := range e.calls {
			if len(c.Outcomes) > 0 && c.Outcomes[0].Index < n-2 && c.Executing == nil {
				t.Errorf("call %d reports %d while nothing runs", c.Sequence, c.Outcomes[0].Index)
			}
			if len(indexes(c.Held)) > 2 {
				t.Errorf("call %d holds %s, more than one that runs and one that waits", c.Sequence, c.Held)
			}
		}
	})
}

func TestInputsBehindALongOneAreHandedBack(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		folder := t.TempDir()
		e := newExchange(t, 5)
		e.batch = 5
		e.handBack = 200
		w := start(t, in, e, gated(in, folder, 0))
		e.until(t, "hand-back", func() bool { return len(e.back) == 4 })
		e.mu.Lock()
		for _, c := range e.calls[1:] {
			if c.Want && c.Executing != nil {
				t.Errorf("call %d wants more inputs while 0 runs: %+v", c.Sequence, c)
			}
		}
		e.mu.Unlock()
		if begun := readFile(t, folder+"/begun"); begun != "0\n" {
			t.Errorf("the inputs that began are %q", begun)
		}
		open(t, folder)
		w.finish()
		e.check(t)
		if begun := readFile(t, folder+"/begun"); begun != "0\n1\n2\n3\n4\n" {
			t.Errorf("the inputs that began are %q in the end", begun)
		}
	})
}

func TestAWorkerCallsWhileAHandlerRuns(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		folder := t.TempDir()
		e := newExchange(t, 1)
		// With this lease, a worker that does not call within a third of it is late by more than the 2 s that are permitted.
		e.lease = 8
		w := start(t, in, e, gated(in, folder, 0), withEnv("NVIDIA_VISIBLE_DEVICES=GPU-7"))
		calls := func() int {
			count := 0
			for _, c := range e.calls {
				if c.Executing != nil && c.Held == "0" && c.Device == "GPU-7" {
					count++
				}
			}
			return count
		}
		e.until(t, "third call while 0 runs", func() bool { return calls() >= 3 })
		open(t, folder)
		w.finish()
		e.check(t)
	})
}

func TestRevokedInputsAreDropped(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		folder := t.TempDir()
		e := newExchange(t, 6)
		e.batch = 4
		e.lease = 2
		e.decide = func(c call, a *answer) (int, string) {
			begun, _ := os.ReadFile(folder + "/begun")
			if c.Executing != nil && *c.Executing == 0 && len(e.revoked) == 0 && string(begun) == "0\n" {
				e.revoked[0], e.revoked[2] = true, true
				a.Revoked = "0,2"
			}
			return 0, ""
		}
		w := start(t, in, e, gated(in, folder, 0), asProcessOne)
		w.finish()
		e.check(t)
		if begun := readFile(t, folder+"/begun"); begun != "0\n1\n3\n4\n5\n" {
			t.Errorf("the inputs that began are %q", begun)
		}
	})
}

func TestStopEndsTheHandlerAndReportsNothing(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		e := newExchange(t, 2)
		e.lease = 1
		e.decide = func(c call, a *answer) (int, string) {
			if c.Executing != nil {
				a.Action, a.Inputs = "stop", nil
			}
			return 0, ""
		}
		run(t, in, e, gated(in, t.TempDir(), 0), asProcessOne)
		if len(e.outcomes) != 0 {
			t.Errorf("these outcomes were reported: %v", e.outcomes)
		}
	})
}

func TestAnIdleWorkerWaitsInAnOpenCall(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		e := newExchange(t, 3)
		e.pending = nil
		w := start(t, in, e, trivial(in))
		e.until(t, "call that is kept open", func() bool { return e.idle == 1 })
		e.mu.Lock()
		e.pending = []int{0, 1, 2}
		e.notify()
		e.mu.Unlock()
		w.finish()
		e.check(t)
		if len(e.calls) > 6 {
			t.Errorf("it took %d calls", len(e.calls))
		}
	})
}

func TestAWorkerThatGetsSIGTERM(t *testing.T) {
	t.Run("finishes what it executes and hands back the rest", func(t *testing.T) {
		eachLanguage(t, func(t *testing.T, in language) {
			folder := t.TempDir()
			e := newExchange(t, 5)
			e.batch = 5
			w := start(t, in, e, gated(in, folder, 0), asProcessOne)
			waitFor(t, folder+"/begun")
			e.mu.Lock()
			e.ending = true
			e.mu.Unlock()
			signalTo(t, w, syscall.SIGTERM)
			e.until(t, "call that asks whether to leave", e.has(func(c call) bool { return c.Leaving && c.Held == "0" && !c.Want }))
			open(t, folder)
			w.leaves()
			e.check(t)
			if diff := cmp.Diff([]int{1, 2, 3, 4}, e.back); diff != "" {
				t.Errorf("handed back (-want +got):\n%s", diff)
			}
			if o := e.outcome(t, 0); o.Status != "Succeeded" {
				t.Errorf("what it executed is %s", o.Status)
			}
		})
	})
	t.Run("ends an input that does not finish in time, and hands it back", func(t *testing.T) {
		eachLanguage(t, func(t *testing.T, in language) {
			folder := t.TempDir()
			e := newExchange(t, 3)
			e.batch = 3
			w := start(t, in, e, gated(in, folder, 0), asProcessOne, edited("LEAVE_TIMEOUT = 20", "LEAVE_TIMEOUT = 0.5"))
			waitFor(t, folder+"/begun")
			e.mu.Lock()
			e.ending = true
			e.mu.Unlock()
			signalTo(t, w, syscall.SIGTERM)
			w.leaves()
			e.check(t)
			if diff := cmp.Diff([]int{1, 2, 0}, e.back); diff != "" || len(e.outcomes) != 0 {
				t.Errorf("handed back (-want +got), with %d outcomes:\n%s", len(e.outcomes), diff)
			}
		})
	})
	t.Run("continues if its pod is not ending", func(t *testing.T) {
		eachLanguage(t, func(t *testing.T, in language) {
			folder := t.TempDir()
			e := newExchange(t, 5)
			e.batch = 5
			w := start(t, in, e, gated(in, folder, 0), asProcessOne)
			waitFor(t, folder+"/begun")
			signalTo(t, w, syscall.SIGTERM)
			e.until(t, "call that asks whether to leave", e.has(func(c call) bool { return c.Leaving }))
			open(t, folder)
			w.finish()
			e.check(t)
			if got := e.counts()["Succeeded"]; got != 5 {
				t.Errorf("%d inputs succeeded, not 5", got)
			}
			if last := e.calls[len(e.calls)-1]; last.Leaving {
				t.Error("its last call still asks whether to leave")
			}
		})
	})
	t.Run("before its handler is installed learns it from the exchange, and gets no inputs", func(t *testing.T) {
		eachLanguage(t, func(t *testing.T, in language) {
			e := newExchange(t, 5)
			e.ending, e.sigtermMissed = true, true
			w := start(t, in, e, trivial(in), asProcessOne)
			w.leaves()
			e.check(t)
			if len(e.calls) != 2 || e.calls[0].Leaving || !e.calls[1].Leaving {
				t.Errorf("its calls are %+v, not a first one and one that asks whether to leave", e.calls)
			}
		})
	})
	t.Run("ends at once when it holds nothing", func(t *testing.T) {
		eachLanguage(t, func(t *testing.T, in language) {
			e := newExchange(t, 1)
			e.pending = nil
			e.lease = 3
			w := start(t, in, e, trivial(in), asProcessOne)
			e.until(t, "call that is kept open", func() bool { return e.idle == 1 })
			e.mu.Lock()
			e.ending = true
			e.mu.Unlock()
			signalTo(t, w, syscall.SIGTERM)
			w.leaves()
			e.check(t)
		})
	})
}

var unloadable = map[string]struct {
	code string
	want fault
}{
	"a syntax error":                 {"def handler(event):\n    return (\n", fault{Type: "SyntaxError", Traceback: `File "handler.py", line`}},
	"Python 2's print statement":     {"def handler(event):\n    exec 'print 1' in {}, {}, {}, {}\n", fault{Type: "SyntaxError", Traceback: "exec 'print 1'"}},
	"no handler":                     {"def handle(event):\n    pass\n", fault{Type: "HandlerMissing", Message: "needs to have the following signature: def handler(event)"}},
	"a handler that is no function":  {"handler = 5\n", fault{Type: "HandlerNotCallable", Message: "needs to have the following signature: def handler(event)"}},
	"an import that fails":           {"import nothing_of_this_name\n", fault{Message: "nothing_of_this_name", Traceback: "line 1, in <module>\n    import nothing_of_this_name\n"}},
	"a module that exits":            {"import sys\nsys.exit(4)\n", fault{Type: "SystemExit", Message: "4", Traceback: "sys.exit(4)"}},
	"a module that ends its process": {"import os\nos._exit(4)\n", fault{Type: "ProcessExited", Message: "exited with status 4 while it loaded the module"}},
	"a module that dies":             {"import os\nos.kill(os.getpid(), 11)\n", fault{Type: "ProcessKilled", Message: "signal 11 (SIGSEGV) while it loaded the module"}},
	"a module with a null byte":      {"\x00", fault{}},
	"a module that does not end":     {"import time\ntime.sleep(600)\n", fault{Type: "LoadTimedOut", Message: "not loaded within 1 s"}},
}

func TestAModuleThatCannotBeLoadedIsReported(t *testing.T) {
	for name, tc := range unloadable {
		t.Run(name, func(t *testing.T) {
			eachPython(t, func(t *testing.T, in language) { cannotBeLoaded(t, in, tc.code, tc.want) })
		})
	}
}

// cannotBeLoaded checks the error that a worker reports for a module.
func cannotBeLoaded(t *testing.T, in language, code string, want fault) {
	e := newExchange(t, 3)
	var options []option
	if want.Type == "LoadTimedOut" {
		e.timeout = 1
		options = append(options, edited("LOAD_TIMEOUT = 600", "LOAD_TIMEOUT = 1"))
	}
	e.decide = func(c call, a *answer) (int, string) {
		if c.LoadError != nil {
			a.Action = "finished"
		}
		return 0, ""
	}
	w := run(t, in, e, code, options...)
	if len(e.outcomes) != 0 {
		t.Errorf("these outcomes were reported: %v", e.outcomes)
	}
	last := e.calls[len(e.calls)-1]
	if last.LoadError == nil || last.Held != "" || last.Want {
		t.Fatalf("the last call is %+v", last)
	}
	got := *last.LoadError
	if want.Type != "" && got.Type != want.Type || !strings.Contains(got.Message, want.Message) || !strings.Contains(got.Traceback, want.Traceback) {
		t.Errorf("the error is %+v, not like %+v", got, want)
	}
	if !strings.Contains(w.stderr.String(), "the module could not be loaded") {
		t.Errorf("the error is missing in the container's stderr: %q", w.stderr.String())
	}
}

func TestAModuleIsLoadedAgainAfterAnError(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		folder := t.TempDir()
		e := newExchange(t, 3)
		w := run(t, in, e, fmt.Sprintf(in.code(`
import os, sys
sys.stdout.write('loading')
if not os.path.exists(%[1]q):
    os.mkdir(%[1]q)
    raise RuntimeError('not yet')
def handler(event):
    return event[0]
`, `
console.log('loading');
if (!require('fs').existsSync(%[1]q)) {
  require('fs').mkdirSync(%[1]q);
  throw new Error('not yet');
}
function handler(event) { return event[0] }
`), folder+"/tried"))
		errors := 0
		for _, c := range e.calls {
			if c.LoadError != nil {
				errors++
			}
		}
		// The error is not reported if the second attempt succeeds before the next call.
		if got := e.counts()["Succeeded"]; got != 3 || errors > 1 {
			t.Errorf("%d inputs succeeded after %d errors", got, errors)
		}
		if got := strings.Count(w.stderr.String(), "the module could not be loaded"); got != 1 {
			t.Errorf("the error is logged %d times, not once: %q", got, w.stderr.String())
		}
		if o := e.outcome(t, 0); o.Stdout != nil {
			t.Errorf("what the module printed while loading is in an input's stdout: %q", o.Stdout)
		}
	})
}

func TestTheNameAndTheAuthorityOfTheExchangeAreVerified(t *testing.T) {
	for name, tc := range map[string]struct {
		host    string
		other   bool // the worker trusts another authority
		trusted bool
	}{
		"its certificate, by its name":  {host: "localhost", trusted: true},
		"its certificate, another name": {host: "127.0.0.1"},
		"another authority":             {host: "localhost", other: true},
	} {
		t.Run(name, func(t *testing.T) {
			eachLanguage(t, func(t *testing.T, in language) {
				e := newExchange(t, 3)
				authority := newAuthority(t)
				server := httptest.NewUnstartedServer(e)
				server.TLS = &tls.Config{Certificates: []tls.Certificate{authority.certificateFor(t, "localhost")}}
				server.Config.ErrorLog = log.New(io.Discard, "", 0)
				server.StartTLS()
				t.Cleanup(server.Close)
				if tc.other {
					authority = newAuthority(t)
				}
				file := t.TempDir() + "/ca.crt"
				writeFile(t, file, authority.pem())
				e.url = strings.Replace(server.URL, "127.0.0.1", tc.host, 1)
				w := start(t, in, e, trivial(in), withEnv("SHAREDCLOUD_CA_FILE="+file))
				if tc.trusted {
					w.finish()
					e.check(t)
					return
				}
				waitForText(t, w, "the exchange does not accept a call")
				e.mu.Lock()
				defer e.mu.Unlock()
				if e.requests != 0 {
					t.Errorf("the worker made %d requests although the name or the authority is wrong", e.requests)
				}
			})
		})
	}
}
