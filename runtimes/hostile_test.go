package runtimes_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// neighbours is a module with a handler that prints and returns, after the pauses in its list. For input 3 it executes the
// body of the test.
const neighbours = `
import ctypes, errno, os, signal, subprocess, sys, threading, time
pauses = []

def hostile(event):
%BODY

def handler(event):
    if event[0] == 3:
        return hostile(event)
    for pause in pauses:
        time.sleep(pause)
    sys.stdout.write('out %d\n' % event[0])
    sys.stderr.write('err %d\n' % event[0])
    return event[0] * 10
`

// expected describes an outcome. Empty fields are not compared.
type expected struct {
	status, kind string
	crash        bool
	message      string // part of the error's message
	stderr       string // part of what is in stderr
	stdout       string // all of stdout
	result       string
}

var hostileHandlers = map[string]struct {
	body    string
	timeout int
	want    expected
}{
	"one that ends the process with os._exit": {
		body: `os._exit(1)`,
		want: expected{status: "Failed", crash: true, kind: "ProcessExited", message: "exited with status 1"},
	},
	"one that ends the process with os._exit(0)": {
		body: `os._exit(0)`,
		want: expected{status: "Failed", crash: true, kind: "ProcessExited", message: "exited with status 0"},
	},
	"one that calls sys.exit": {
		body: `sys.stdout.write('before'); sys.exit(3)`,
		want: expected{status: "Failed", kind: "SystemExit", message: "3", stdout: "before", stderr: "in hostile"},
	},
	"one that calls sys.exit with a text": {
		body: `sys.exit('enough')`,
		want: expected{status: "Failed", kind: "SystemExit", message: "enough", stderr: "enough\n"},
	},
	"one that dies of a segmentation fault": {
		body: `ctypes.string_at(0)`,
		want: expected{status: "Failed", crash: true, kind: "ProcessKilled", message: "signal 11 (SIGSEGV)"},
	},
	"one that kills itself": {
		body: `os.kill(os.getpid(), signal.SIGKILL); time.sleep(60)`,
		want: expected{status: "Failed", crash: true, kind: "ProcessKilled", message: "signal 9 (SIGKILL)"},
	},
	"one that signals its process group": {
		body: `os.killpg(0, signal.SIGTERM); time.sleep(60)`,
		want: expected{status: "Failed", crash: true, kind: "ProcessKilled", message: "signal 15 (SIGTERM)"},
	},
	"one that interrupts its process group": {
		body: `os.killpg(0, signal.SIGINT); time.sleep(60)`,
		want: expected{status: "Failed", kind: "KeyboardInterrupt"},
	},
	"one that signals its parent": {
		body: `
    for name in ('SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGPIPE', 'SIGKILL', 'SIGSTOP', 'SIGTSTP'):
        os.kill(os.getppid(), getattr(signal, name))
    time.sleep(0.3)
    return 'alive'`,
		want: expected{status: "Succeeded", result: `"alive"`},
	},
	"one that stops itself": {
		body: `os.kill(os.getpid(), signal.SIGSTOP); return 'continued'`,
		want: expected{status: "Succeeded", result: `"continued"`},
	},
	"one that stops its process group again and again": {
		body:    `[os.killpg(0, signal.SIGSTOP) for _ in range(10)]; return 'continued'`,
		timeout: 20,
		want:    expected{status: "Succeeded", result: `"continued"`},
	},
	"one that is stuck in C past its time limit": {
		body: `
    import re
    re.match('(a+)+$', 'a' * 60 + 'b')`,
		timeout: 3,
		want:    expected{status: "TimedOut", kind: "TimeLimitExceeded", message: "time limit of 3 s", stderr: "time limit of 3 s"},
	},
	"one that ignores every signal and sleeps": {
		body: `
    sys.stdout.write('begun\n')
    for number in range(1, 32):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, RuntimeError, ValueError):
            pass
    time.sleep(600)`,
		timeout: 3,
		want:    expected{status: "TimedOut", kind: "TimeLimitExceeded", stdout: "begun\n"},
	},
	"one that prints without end": {
		body: `
    while True:
        os.write(1, b'x' * 65536)`,
		timeout: 3,
		want:    expected{status: "TimedOut", stdout: strings.Repeat("x", 256<<10)},
	},
	"one that closes stdin, stdout and stderr": {
		body: `os.close(0); os.close(1); os.close(2); return 'closed'`,
		want: expected{status: "Succeeded", result: `"closed"`},
	},
	"one that closes its streams": {
		body: `sys.stdout.write('last'); sys.stdout.close(); sys.stderr.close(); sys.stdin.close(); return 'closed'`,
		want: expected{status: "Succeeded", result: `"closed"`, stdout: "last"},
	},
	"one that opens a file where stdout was": {
		body: `os.close(1); open(os.devnull, 'w'); return os.open(os.devnull, os.O_WRONLY)`,
		want: expected{status: "Succeeded"},
	},
	"one that puts a pipe where stdout was": {
		body: `
    hole = os.pipe()
    os.dup2(hole[1], 1); os.dup2(hole[1], 2)
    time.sleep(0.01)`,
		want: expected{status: "Succeeded", result: "null"},
	},
	"one that closes the first 256 descriptors but the streams": {
		body: `os.closerange(3, 256); return 'closed'`,
		want: expected{status: "Succeeded", result: `"closed"`},
	},
	"one that closes every descriptor": {
		body: `os.closerange(0, 65536); return 'closed'`,
		want: expected{status: "Failed", crash: true, kind: "ProcessExited", message: "closed the descriptors by which it reports"},
	},
	"one that replaces sys.stdout": {
		body: `
    import io
    sys.stdout, sys.stderr = io.StringIO(), None
    return 'replaced'`,
		want: expected{status: "Succeeded", result: `"replaced"`},
	},
	"one that raises": {
		body: `raise Exception('This is a test Exception')`,
		want: expected{status: "Failed", kind: "Exception", message: "This is a test Exception", stderr: "This is a test Exception"},
	},
	"one that recurses too deeply": {
		body: `return hostile(event)`,
		want: expected{status: "Failed", message: "recursion"},
	},
	"one that lowers the recursion limit": {
		body: `
    depth = 0
    frame = sys._getframe()
    while frame:
        depth, frame = depth + 1, frame.f_back
    sys.setrecursionlimit(depth + 5)
    raise Exception('shallow')`,
		want: expected{status: "Failed", message: "shallow"},
	},
	"one that overflows the stack": {
		body: `
    sys.setrecursionlimit(10 ** 8)
    class Deep(object):
        def __getattr__(self, name):
            return getattr(self, name + 'x')
    threading.stack_size(0)
    import ctypes
    nested = []
    for _ in range(10 ** 6):
        nested = [nested]
    ctypes.string_at(1)`,
		want: expected{status: "Failed", crash: true, kind: "ProcessKilled", message: "SIGSEGV"},
	},
	"one that raises what cannot be shown": {
		body: `
    class Odd(Exception):
        def __str__(self):
            raise ValueError('no text')
        __repr__ = __unicode__ = __str__
    raise Odd()`,
		want: expected{status: "Failed", kind: "Odd"},
	},
	"one that returns what has no text": {
		body: `
    class Odd(object):
        def __str__(self):
            raise ValueError('no text')
    return Odd()`,
		want: expected{status: "Failed", kind: "ValueError", message: "no text"},
	},
	"one that forks a child that stays": {
		body: `
    if not os.fork():
        time.sleep(600)
        os._exit(0)
    return 'parent'`,
		want: expected{status: "Succeeded", result: `"parent"`},
	},
	"one that forks a child that returns, too": {
		body: `return 'child' if not os.fork() else 'parent'`,
		want: expected{status: "Succeeded", result: `"parent"`},
	},
	"one that forks a child that raises": {
		body: `
    pid = os.fork()
    if not pid:
        raise Exception('in the copy')
    return os.WEXITSTATUS(os.waitpid(pid, 0)[1])`,
		want: expected{status: "Succeeded", result: `1`, stderr: "in the copy"},
	},
	"one that forks a child that calls sys.exit": {
		body: `
    pid = os.fork()
    if not pid:
        sys.exit(7)
    return os.WEXITSTATUS(os.waitpid(pid, 0)[1])`,
		want: expected{status: "Succeeded", result: `7`},
	},
	"one that forks without end": {
		body: `
    for _ in range(4):
        if not os.fork():
            while True:
                if os.fork():
                    os._exit(0)
                os.setsid()
    time.sleep(600)`,
		timeout: 3,
		want:    expected{status: "TimedOut"},
	},
	"one that leaves a daemon with its descriptors": {
		body: `
    if not os.fork():
        os.setsid()
        if os.fork():
            os._exit(0)
        time.sleep(600)
        os._exit(0)
    os.wait()
    return 'parent'`,
		want: expected{status: "Succeeded", result: `"parent"`},
	},
	"one that leaves a thread running": {
		body: `
    thread = threading.Thread(target=time.sleep, args=(600,))
    thread.start()
    return 'left'`,
		want: expected{status: "Succeeded", result: `"left"`},
	},
	"one that leaves an alarm set": {
		body: `pauses.append(0.3); signal.alarm(1); signal.setitimer(signal.ITIMER_REAL, 0.5); return 'set'`,
		want: expected{status: "Succeeded", result: `"set"`},
	},
	"one that damages its environment": {
		body: `
    os.chdir('/'); os.umask(0o777); os.environ.clear()
    for name in list(sys.modules):
        if name not in ('sys', 'builtins', '__builtin__'):
            del sys.modules[name]
    del sys.path[:]
    return 'broken'`,
		want: expected{status: "Succeeded", result: `"broken"`},
	},
	"one that reads stdin": {
		body: `return os.read(0, 100).decode('ascii')`,
		want: expected{status: "Succeeded", result: `""`},
	},
	"one whose subprocess prints": {
		body: `subprocess.check_call('echo out; echo err >&2', shell=True)`,
		want: expected{status: "Succeeded", stdout: "out\n", stderr: "err\n"},
	},
	"one whose C code prints": {
		body: `ctypes.CDLL(None).printf(b'%s', b'from C'); time.sleep(0.001)`,
		want: expected{status: "Succeeded", stdout: "from C"},
	},
	"one that prints bytes that are no text": {
		body: `os.write(1, b'\xff\x00\xfe'); os.write(2, b'\x80')`,
		want: expected{status: "Succeeded", stdout: "\xff\x00\xfe", stderr: "\x80"},
	},
	"one that runs out of address space": {
		body: `
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, resource.RLIM_INFINITY))
    try:
        return len('x' * (1 << 33))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))`,
		want: expected{status: "Failed", kind: "MemoryError"},
	},
	"one that imports the runner's names": {
		body: `
    try:
        import runner
        return 'the runner'
    except ImportError:
        pass
    import handler, __main__
    return [handler.hostile is hostile, hasattr(__main__, 'Supervisor')]`,
		want: expected{status: "Succeeded", result: `[true,false]`},
	},
}

func TestEachHostileHandlerGetsItsOwnOutcomeAndItsNeighboursSucceed(t *testing.T) {
	for name, tc := range hostileHandlers {
		t.Run(name, func(t *testing.T) {
			eachPython(t, func(t *testing.T, in language) {
				body := tc.body
				if !strings.HasPrefix(body, "\n") {
					body = "    " + body
				}
				amongNeighbours(t, in, strings.Replace(neighbours, "%BODY", body, 1), tc.timeout, tc.want)
			})
		})
	}
}

// amongNeighbours runs a module whose input 3 is hostile, and checks that the other inputs succeed.
func amongNeighbours(t *testing.T, in language, code string, timeout int, want expected, options ...option) {
	e := newExchange(t, 7)
	e.batch = 7
	if timeout > 0 {
		e.timeout = timeout
	}
	run(t, in, e, code, append(options, asProcessOne)...)
	want.compare(t, e.outcome(t, 3))
	for _, index := range []int{0, 1, 2, 4, 5, 6} {
		got := e.outcome(t, index)
		want := expected{status: "Succeeded", result: fmt.Sprint(index * 10), stdout: fmt.Sprintf("out %d\n", index)}
		want.compare(t, got)
		if text := fmt.Sprintf("err %d\n", index); string(got.Stderr) != text {
			t.Errorf("stderr of %d is %q, not %q", index, got.Stderr, text)
		}
	}
}

func (want expected) compare(t *testing.T, got outcome) {
	t.Helper()
	if got.Status != want.status || got.Crash != want.crash {
		t.Errorf("the outcome of %d is %s (crash: %t, error: %+v), not %s (crash: %t)",
			got.Index, got.Status, got.Crash, got.Error, want.status, want.crash)
	}
	failure := fault{}
	if got.Error != nil {
		failure = *got.Error
	}
	if (got.Error != nil) != (got.Status != "Succeeded") {
		t.Errorf("the outcome of %d is %s with the error %+v", got.Index, got.Status, got.Error)
	}
	if want.kind != "" && failure.Type != want.kind {
		t.Errorf("the error of %d has the type %q, not %q", got.Index, failure.Type, want.kind)
	}
	if !strings.Contains(failure.Message, want.message) {
		t.Errorf("the message of the error of %d is %q, which does not contain %q", got.Index, failure.Message, want.message)
	}
	if !bytes.Contains(got.Stderr, []byte(want.stderr)) {
		t.Errorf("stderr of %d is %q, which does not contain %q", got.Index, got.Stderr, want.stderr)
	}
	if want.stdout != "" && string(got.Stdout) != want.stdout {
		t.Errorf("stdout of %d is %.200q (%d bytes), not %.200q (%d bytes)", got.Index, got.Stdout, len(got.Stdout), want.stdout, len(want.stdout))
	}
	if want.result != "" {
		if diff := cmp.Diff(json.RawMessage(want.result), got.Result); diff != "" {
			t.Errorf("result of %d (-want +got):\n%s", got.Index, diff)
		}
	}
}
