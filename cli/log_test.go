package cli

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestLogFollowContinuesAfterARestartOfTheServer(t *testing.T) {
	f := newFakeCluster(t)
	f.runs["r"] = runningRun("r", 3, 0)
	calls := 0
	f.handle = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/log") {
			return false
		}
		calls++
		switch calls {
		case 1: // a complete response of a server that shuts down
			_, _ = io.WriteString(w, "[0] a\n[1] x\n[0] a\n")
		case 2: // the output from its beginning, in another order, and a connection that fails within a line
			_, _ = io.WriteString(w, "[0] a\n[0] a\n[0] b\n[1] x\n[1 err] o")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case 3:
			f.mu.Lock()
			f.runs["r"] = finishedRun("r", 3, 0)
			f.mu.Unlock()
			_, _ = io.WriteString(w, "[0] a\n[0] a\n[0] b\n[1] x\n[1 err] ops\n[2] end\n")
		}
		return true
	}
	got := f.plugin(t, t.Context(), nil, "log", "r", "--follow")
	got.mustExit(t, ExitOK, "", "")
	if want := "[0] a\n[1] x\n[0] a\n[0] b\n[1 err] ops\n[2] end\n"; got.stdout != want {
		t.Errorf("got\n%s\nwant\n%s", got.stdout, want)
	}
}

func TestLogFollowContinuesAfterTheOutputOfLoads(t *testing.T) {
	f := newFakeCluster(t)
	f.runs["r"] = runningRun("r", 2, 0)
	const first, second = "[load a-run-with-a-long-name-0-x7k2p] weights\n", "[load a-run-with-a-long-name-1-p4c8z] weights\n"
	calls := 0
	f.handle = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/log") {
			return false
		}
		if calls++; calls == 1 {
			_, _ = io.WriteString(w, first+"[0] a\n")
			return true
		}
		f.mu.Lock()
		f.runs["r"] = finishedRun("r", 2, 0)
		f.mu.Unlock()
		_, _ = io.WriteString(w, second+"[1] b\n"+first+"[0] a\n")
		return true
	}
	got := f.plugin(t, t.Context(), nil, "log", "r", "--follow")
	got.mustExit(t, ExitOK, "", "")
	if want := first + "[0] a\n" + second + "[1] b\n"; got.stdout != want {
		t.Errorf("got\n%s\nwant\n%s", got.stdout, want)
	}
}

func TestLogOfOneInputIsUnchanged(t *testing.T) {
	f := newFakeCluster(t)
	f.runs["r"] = finishedRun("r", 3, 0)
	text := "50 %\r100 %\r\n\xffno line end"
	query := ""
	f.handle = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/log") {
			query = r.URL.RawQuery
			_, _ = io.WriteString(w, text)
			return true
		}
		return false
	}
	got := f.plugin(t, t.Context(), nil, "log", "r", "2", "--stream", "stdout", "-f")
	if got.code != ExitOK || !bytes.Equal([]byte(got.stdout), []byte(text)) || query != "follow=true&index=2&stream=stdout" {
		t.Errorf("%+v with %s", got, query)
	}
	text = ""
	f.plugin(t, t.Context(), nil, "log", "r").mustExit(t, ExitOK, "", "There is no output.")
}
