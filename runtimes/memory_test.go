package runtimes_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// withMemory makes a memory cgroup of that size for a worker, if this machine permits it.
func withMemory(t *testing.T, bytes int) option {
	t.Helper()
	own := ""
	for line := range strings.Lines(readFile(t, "/proc/self/cgroup")) {
		if fields := strings.SplitN(strings.TrimSpace(line), ":", 3); fields[1] == "memory" {
			own = fields[2]
		}
	}
	folder := filepath.Join("/sys/fs/cgroup/memory", own, fmt.Sprintf("runtimes-test-%d-%s", os.Getpid(), filepath.Base(t.Name())))
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Skipf("not run: it needs a memory cgroup of version 1 in which this user can make others (%v)", err)
	}
	t.Cleanup(func() {
		if err := os.Remove(folder); err != nil {
			t.Errorf("the cgroup cannot be removed: %v", err)
		}
	})
	writeFile(t, folder+"/memory.limit_in_bytes", fmt.Sprint(bytes))
	return func(w *worker) {
		// The shell enters the cgroup, and with it everything that it starts.
		w.prefix = []string{"sh", "-c", `echo $$ > "$0"/cgroup.procs; exec "$@"`, folder}
	}
}

func TestAnInputThatRunsOutOfMemoryFailsAlone(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		e := newExchange(t, 5)
		e.batch = 5
		run(t, in, e, in.code(`
def handler(event):
    if event[0] == 2:
        kept = []
        while True:
            kept.append(bytearray(1 << 20))
    return event[0]
`, `
function handler(event) {
  for (const kept = []; event[0] === 2;) kept.push(Buffer.alloc(1 << 20, 1));
  return event[0];
}
`), asProcessOne, withMemory(t, 160<<20))
		for _, index := range []int{0, 1, 3, 4} {
			if o := e.outcome(t, index); o.Status != "Succeeded" {
				t.Errorf("the outcome of %d is %s: %+v", index, o.Status, o.Error)
			}
		}
		expected{status: "Failed", crash: true, kind: "OutOfMemory", message: "the container ran out of memory (its limit is 160 MiB)",
			stderr: "out of memory"}.compare(t, e.outcome(t, 2))
	})
}

// unifiedCgroup is a handler that fills the memory of a cgroup of version 2, which is simulated by files in a folder.
func unifiedCgroup(in language, folder string, current int, sleep float64) string {
	return fmt.Sprintf(in.code(`
import os
FOLDER = %q
def handler(event):
    if event[0] == 1:
        with open(os.path.join(FOLDER, 'memory.current'), 'w') as current:
            current.write('%d')
        import time
        time.sleep(%g)
    return event[0]
`, `
const FOLDER = %q;
function handler(event) {
  if (event[0] === 1) {
    require('fs').writeFileSync(FOLDER + '/memory.current', '%d');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, %g * 1000);
  }
  return event[0];
}
`), folder, current, sleep)
}

func TestTheChildIsEndedNearTheLimitOfACgroupOfVersion2(t *testing.T) {
	for name, tc := range map[string]struct {
		current int
		stat    string
		ended   bool
	}{
		"memory that is in use":              {current: 1000 << 20, stat: "anon 1048576000\nactive_file 0\ninactive_file 0\nslab_reclaimable 0\n", ended: true},
		"memory that the kernel can reclaim": {current: 1000 << 20, stat: "anon 104857600\nactive_file 524288000\ninactive_file 419430400\nslab_reclaimable 0\n"},
		"memory that is far from the limit":  {current: 700 << 20, stat: "anon 734003200\nactive_file 0\ninactive_file 0\nslab_reclaimable 0\n"},
	} {
		t.Run(name, func(t *testing.T) {
			eachLanguage(t, func(t *testing.T, in language) {
				folder := t.TempDir()
				for file, text := range map[string]string{
					"cgroup.controllers": "memory\n", "memory.max": fmt.Sprintln(1 << 30), "memory.current": "1048576\n",
					"memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n", "memory.stat": tc.stat,
				} {
					writeFile(t, filepath.Join(folder, file), text)
				}
				e := newExchange(t, 3)
				e.batch = 3
				sleep := 0.7
				if tc.ended {
					sleep = 600
				}
				// When the child is ended, its memory is free.
				wait := in.code("time.sleep(0.002)", "setTimeout(killAll,2)")
				freed := fmt.Sprintf(in.code("; open(%q, 'w').write('1048576')", "; fs.writeFileSync(%q, '1048576')"), folder+"/memory.current")
				run(t, in, e, unifiedCgroup(in, folder, tc.current, sleep), asProcessOne,
					edited("'/sys/fs/cgroup'", fmt.Sprintf("%q", folder)), edited(wait, wait+freed))
				if !tc.ended {
					if got := e.counts()["Succeeded"]; got != 3 {
						t.Errorf("%d inputs succeeded, not 3: %+v", got, e.outcome(t, 1).Error)
					}
					return
				}
				expected{status: "Failed", crash: true, kind: "OutOfMemory", message: "(its limit is 1024 MiB)"}.compare(t, e.outcome(t, 1))
				if got := e.counts()["Succeeded"]; got != 2 {
					t.Errorf("%d of the other inputs succeeded, not 2", got)
				}
			})
		})
	}
}

func TestTheKernelEndsTheChildFirst(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		e := newExchange(t, 1)
		run(t, in, e, in.code("def handler(event):\n    return open('/proc/self/oom_score_adj').read().strip()\n",
			"function handler(event) { return require('fs').readFileSync('/proc/self/oom_score_adj', 'utf8').trim() }"))
		if got := string(e.outcome(t, 0).Result); got != `"1000"` {
			t.Errorf("its oom_score_adj is %s", got)
		}
	})
}

func TestATimeLimitEndsAllProcessesThatTheHandlerStarted(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		folder := t.TempDir()
		e := newExchange(t, 2)
		e.timeout = 5
		run(t, in, e, fmt.Sprintf(in.code(`
import os, time
FOLDER = %q
def note(name):
    with open(os.path.join(FOLDER, name), 'w') as file:
        file.write(str(os.getpid()))
def handler(event):
    if event[0] == 1:
        left = []
        for name in os.listdir(FOLDER):
            pid = open(os.path.join(FOLDER, name)).read()
            try:
                state = open('/proc/%%s/stat' %% pid).read().rpartition(')')[2].split()[0]
            except IOError:
                continue
            left.append([name, state])
        return left
    if not os.fork():
        note('child')
        time.sleep(600)
    if not os.fork():
        os.setsid()
        if not os.fork():
            note('daemon')
            time.sleep(600)
        os._exit(0)
    os.wait()
    note('handler')
    time.sleep(600)
`, `
const fs = require('fs'), { spawn } = require('child_process'), FOLDER = %q;
function handler(event) {
  if (event[0] !== 1) {
    const script = (name) => 'echo $$ > ' + FOLDER + '/' + name + '; exec sleep 600';
    spawn('sh', ['-c', script('child')], { stdio: 'inherit' });
    spawn('setsid', ['sh', '-c', '(' + script('daemon').replace('$$', '$(exec sh -c "echo \\$PPID")') + ') & exit'], { stdio: 'inherit', detached: true });
    while (!fs.existsSync(FOLDER + '/child') || !fs.existsSync(FOLDER + '/daemon')) ;
    fs.writeFileSync(FOLDER + '/handler', String(process.pid));
    for (;;) ;
  }
  const left = [];
  for (const name of fs.readdirSync(FOLDER)) {
    let stat;
    try {
      stat = fs.readFileSync('/proc/' + fs.readFileSync(FOLDER + '/' + name, 'utf8').trim() + '/stat', 'utf8');
    } catch (error) {
      continue;
    }
    const state = stat.slice(stat.lastIndexOf(')') + 2)[0];
    if (state !== 'Z') left.push([name, state]);   // the supervisor cannot wait for zombies
  }
  return left;
}
`), folder), asProcessOne)
		if o := e.outcome(t, 0); o.Status != "TimedOut" {
			t.Errorf("the first is %s: %+v", o.Status, o.Error)
		}
		if got := string(e.outcome(t, 1).Result); got != "[]" {
			t.Errorf("these processes are left: %s", got)
		}
		if names, _ := filepath.Glob(folder + "/*"); len(names) != 3 {
			t.Errorf("only %v were started", names)
		}
	})
}

func TestAStreamThatIsNotReadDelaysNothing(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		e := newExchange(t, 3)
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer read.Close()
		defer write.Close()
		run(t, in, e, in.code("def handler(event):\n    print('x' * 3000000)\n", "function handler(event) { console.log('x'.repeat(3000000)) }"), func(w *worker) { w.cmd.ExtraFiles = []*os.File{write} },
			func(w *worker) { w.prefix = []string{"sh", "-c", `exec "$@" >&3`, "sh"} })
		if got := e.counts()["Succeeded"]; got != 3 {
			t.Errorf("%d inputs succeeded, not 3", got)
		}
		if o := e.outcome(t, 2); o.StdoutDropped != 3000001-256<<10 {
			t.Errorf("%d bytes were dropped", o.StdoutDropped)
		}
	})
}

func TestWithoutItsEnvironmentTheRunnerExplainsHowItIsStarted(t *testing.T) {
	eachLanguage(t, func(t *testing.T, in language) {
		command := exec.Command(in.path, in.code("python/runner.py", "node/runner.js"))
		command.Env = []string{"PATH=" + os.Getenv("PATH")}
		out, err := command.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "started by the operator, with SHAREDCLOUD_EXCHANGE_URL") {
			t.Errorf("it prints %q (%v)", out, err)
		}
	})
}
