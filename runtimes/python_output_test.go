package runtimes_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWhatTheModulePrintsWhileItIsLoadedIsReportedOnce(t *testing.T) {
	long := "[... 12017 bytes cut ...]\n" + strings.Repeat("\u00e9", 4076)
	for name, tc := range map[string]struct {
		code           string
		stdout, stderr string
		fails          string // the type of the load error
	}{
		"a module that is loaded": {
			code:   "import os, sys\nsys.stdout.write('loading\\n')\nsys.stderr.write('a warning')\nos.system('echo from another process')\n",
			stdout: "loading\nfrom another process\n", stderr: "a warning",
		},
		"a module that prints nothing": {code: ""},
		"a module that prints much": {
			code:   "import sys\nsys.stdout.flush()\ngetattr(sys.stdout, 'buffer', sys.stdout).write(b'start' + b'\\xc3\\xa9' * 10082)\n",
			stdout: long,
		},
		"a module that raises": {
			code: "print('cuda devices: 0')\nraise ValueError('no device')\n", stdout: "cuda devices: 0\n", fails: "ValueError",
		},
		"a module that exits": {
			code: "import sys\nprint('cuda devices: 0')\nsys.stderr.write('a warning')\nsys.exit('set MODEL_DIR')\n", stdout: "cuda devices: 0\n", stderr: "a warning", fails: "SystemExit",
		},
		"a module that ends its process": {
			code: "import os, sys\nprint('cuda devices: 0')\nsys.stdout.flush()\nos._exit(0)\n", stdout: "cuda devices: 0\n", fails: "ProcessExited",
		},
		"a module that is killed": {
			code: "import os, sys\nsys.stderr.write('cuda devices: 0')\nsys.stderr.flush()\nos.kill(os.getpid(), 9)\n", stderr: "cuda devices: 0", fails: "ProcessKilled",
		},
		"a module without a handler": {
			code: "print('cuda devices: 0')\nhandler = None\n", stdout: "cuda devices: 0\n", fails: "HandlerMissing",
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachPython(t, func(t *testing.T, in language) {
				e := newExchange(t, 3)
				e.decide = func(c call, a *answer) (int, string) {
					if c.LoadError != nil {
						a.Action = "finished"
					}
					return 0, ""
				}
				code := "def handler(event):\n    print('an input')\n" + tc.code
				run(t, in, e, code)
				reports := 0
				for _, c := range e.calls {
					if c.LoadOutput.Stdout == "" && c.LoadOutput.Stderr == "" {
						continue
					}
					reports++
					if c.LoadOutput.Stdout != tc.stdout || c.LoadOutput.Stderr != tc.stderr {
						t.Errorf("reported are %q and %q, not %q and %q", c.LoadOutput.Stdout, c.LoadOutput.Stderr, tc.stdout, tc.stderr)
					}
					if (c.LoadError != nil) != (tc.fails != "") || c.LoadError != nil && c.LoadError.Type != tc.fails {
						t.Errorf("the call with the output has the error %+v, not %q", c.LoadError, tc.fails)
					}
					if len(c.LoadOutput.Stdout) > 8<<10 || !utf8.ValidString(c.LoadOutput.Stdout) {
						t.Errorf("%d bytes are reported", len(c.LoadOutput.Stdout))
					}
				}
				if want := map[bool]int{true: 1}[tc.stdout+tc.stderr != ""]; reports != want {
					t.Errorf("the output is reported %d times, not %d", reports, want)
				}
				if tc.fails == "" && string(e.outcome(t, 0).Stdout) != "an input\n" {
					t.Errorf("the first input printed %q", e.outcome(t, 0).Stdout)
				}
			})
		})
	}
}

// bars are what handlers print to stderr, and what is kept of it where 1,000 bytes are the limit.
var bars = map[string]struct {
	code string
	want string
}{
	"a progress bar after a warning": {
		code: "say('IMPORTANT: no GPU\\n')\nfor i in range(10000): say('\\r%3d%%|####| %d/10000' % (i // 100, i))\nsay('\\ndone\\n')",
		want: "IMPORTANT: no GPU\n 99%|####| 9999/10000\ndone\n",
	},
	"one that has not ended its line": {
		code: "say('IMPORTANT\\n')\nfor i in range(3000): say('\\r%d' % i)",
		want: "IMPORTANT\n2999",
	},
	"one that begins with its carriage return at the end": {
		code: "say('IMPORTANT\\n')\nfor i in range(3000): say('%d\\r' % i)\nsay('\\nafter')",
		want: "IMPORTANT\n2999\r\nafter",
	},
	"shorter texts leave the end of longer ones": {
		code: "for i in range(500): say('\\rlong text')\nsay('\\rab\\n')\nfor i in range(500): say(u'\\r\\u2588\\u2588\\u2588')\nsay('\\rx\\n')",
		want: "abng text\nx\u2588\u2588\n",
	},
	"a text that erases the line": {
		code: "for i in range(500): say('\\rlong text')\nsay('\\r\\x1b[Kab\\n')\nfor i in range(500): say('\\rlong text')\nsay('\\x1b[2K\\rab\\n')",
		want: "\x1b[Kab\nab\n",
	},
	"backspaces before a carriage return": {
		code: "for i in range(500): say('\\b' * 9 + '\\r' + 'step %04d' % i)\nsay('\\n')",
		want: "step 0499\n",
	},
	"line ends of Windows": {
		code: "say('first\\r\\n' * 300)",
		want: ("first\r\n" + strings.Repeat("first\r\n", 142))[1:],
	},
	"lines that do not fit after all": {
		code: "say('lost\\n')\nfor i in range(400): say('\\rbar %d' % i)\nfor i in range(200): say('\\nline')",
		want: strings.Repeat("\nline", 200),
	},
	"a single line that does not fit": {
		code: "say('lost\\n')\nfor i in range(400): say('\\rbar %d' % i)\nsay('x' * 5000)",
		want: strings.Repeat("x", 1000),
	},
	"what fits stays as it is": {
		code: "say('IMPORTANT\\n')\nfor i in range(100): say('\\r%d' % i)\nsay('\\n')",
		want: "",
	},
}

func TestCarriageReturnsAreExecutedWhereOutputWouldBeCut(t *testing.T) {
	var code strings.Builder
	code.WriteString("# coding: utf-8\nimport os, time\nprinted = {}\ndef handler(event):\n    total = [b'']\n    def say(text):\n" +
		"        data = text if isinstance(text, bytes) else text.encode('utf-8')\n        total[0] += data\n        os.write(2, data)\n")
	var names []string
	for name, tc := range bars {
		fmt.Fprintf(&code, "    if event[0] == %d:\n        %s\n", len(names), strings.ReplaceAll(tc.code, "\n", "\n        "))
		names = append(names, name)
	}
	code.WriteString("    return [len(total[0]), total[0].decode('utf-8')]\n")
	eachPython(t, func(t *testing.T, in language) {
		e := newExchange(t, len(names))
		e.batch, e.limits["outputBytes"] = 100, 1000
		run(t, in, e, code.String())
		for i, name := range names {
			o := e.outcome(t, i)
			var total int
			var text string
			if err := unmarshalPair(o.Result, &total, &text); err != nil {
				t.Fatalf("%s: %v (%+v)", name, err, o.Error)
			}
			want := bars[name].want
			if want == "" {
				want = text
			}
			if string(o.Stderr) != want {
				t.Errorf("%s: kept is %q, not %q", name, o.Stderr, want)
			}
			if len(o.Stderr)+int(o.StderrDropped) != total {
				t.Errorf("%s: %d bytes are kept and %d dropped of %d", name, len(o.Stderr), o.StderrDropped, total)
			}
		}
	})
}

func TestLiveOutputIsReportedAsItIsPrinted(t *testing.T) {
	eachPython(t, func(t *testing.T, in language) {
		e := newExchange(t, 1)
		e.liveAfter = 20
		e.limits["outputBytes"] = 1000
		run(t, in, e, `
import os, time
def handler(event):
    os.write(2, b'IMPORTANT\n')
    for i in range(2000):
        os.write(2, b'\rstep %04d' % i if bytes is not str else '\rstep %04d' % i)
        time.sleep(0.0005)
    time.sleep(1)
`)
		_, stderr := liveText(e, 0)
		if !bytes.HasSuffix(stderr, []byte("\rstep 1998\rstep 1999")) || !bytes.HasPrefix(stderr, []byte("IMPORTANT\n\rstep 0000\r")) {
			t.Errorf("%d bytes were reported: %.40q … %.40q", len(stderr), stderr, stderr[max(0, len(stderr)-40):])
		}
		if got := string(e.outcome(t, 0).Stderr); got != "IMPORTANT\nstep 1999" {
			t.Errorf("the outcome has %q", got)
		}
	})
}

func unmarshalPair(data []byte, first *int, second *string) error {
	return json.Unmarshal(data, &[]any{first, second})
}
