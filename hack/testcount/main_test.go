package main

import (
	"strings"
	"testing"
)

func TestTotals(t *testing.T) {
	tests := map[string]struct {
		lines string
		want  totals
	}{
		"a test without subtests counts once": {
			lines: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p"}`,
			want: totals{passed: 1},
		},
		"only the rows of a table count": {
			lines: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestA/x"}
{"Action":"pass","Package":"p","Test":"TestA/x"}
{"Action":"run","Package":"p","Test":"TestA/y"}
{"Action":"fail","Package":"p","Test":"TestA/y"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}`,
			want: totals{passed: 1, failed: 1},
		},
		"a table that fails by itself is a failure": {
			lines: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestA/x"}
{"Action":"pass","Package":"p","Test":"TestA/x"}
{"Action":"fail","Package":"p","Test":"TestA"}`,
			want: totals{passed: 1, failed: 1},
		},
		"a package that does not build is a failure": {
			lines: `{"ImportPath":"p","Action":"build-fail"}
{"Action":"start","Package":"p"}
{"Action":"fail","Package":"p","FailedBuild":"p"}`,
			want: totals{failed: 1},
		},
		"a test in which the process died is a failure": {
			lines: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"fatal error\n"}
{"Action":"fail","Package":"p"}`,
			want: totals{failed: 1},
		},
		"a skipped test neither passed nor failed": {
			lines: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"skip","Package":"p","Test":"TestA"}`,
			want: totals{skipped: 1},
		},
		"a Ginkgo suite counts by its specs": {
			lines: `{"Action":"run","Package":"p","Test":"TestSpecs"}
{"Action":"output","Package":"p","Test":"TestSpecs","Output":"\u001b[38;5;9m\u001b[1mFAIL!\u001b[0m -- \u001b[38;5;10m\u001b[1m7 Passed\u001b[0m | \u001b[38;5;9m\u001b[1m2 Failed\u001b[0m | \u001b[38;5;11m\u001b[1m1 Pending\u001b[0m | \u001b[38;5;14m\u001b[1m0 Skipped\u001b[0m\n"}
{"Action":"fail","Package":"p","Test":"TestSpecs"}
{"Action":"fail","Package":"p"}`,
			want: totals{passed: 7, failed: 2, skipped: 1},
		},
		"a Ginkgo suite that fails without a failing spec is a failure": {
			lines: `{"Action":"run","Package":"p","Test":"TestSpecs"}
{"Action":"output","Package":"p","Test":"TestSpecs","Output":"SUCCESS! -- 7 Passed | 0 Failed | 0 Pending | 0 Skipped\n"}
{"Action":"fail","Package":"p","Test":"TestSpecs"}`,
			want: totals{passed: 7, failed: 1},
		},
		"output of the go command between the events is ignored": {
			lines: "go: downloading x\n" + `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestA"}`,
			want: totals{passed: 1},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			counts := newCounter()
			if err := counts.read(strings.NewReader(tc.lines)); err != nil {
				t.Fatal(err)
			}
			if got := counts.totals(); got != tc.want {
				t.Errorf("totals: got %+v, want %+v", got, tc.want)
			}
		})
	}
}
