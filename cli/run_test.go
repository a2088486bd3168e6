package cli

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

func TestInputsAreSentUnchanged(t *testing.T) {
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := map[string]struct {
		args  []string
		stdin string
		want  url.Values
		body  string
	}{
		"a literal":                   {args: []string{"--params", "(('a',), ('b',))"}, want: url.Values{"format": {"python"}}, body: "(('a',), ('b',))"},
		"JSON":                        {args: []string{"--params", "[[1],[2]]"}, want: url.Values{"format": {"json"}}, body: "[[1],[2]]"},
		"a file with an extension":    {args: []string{"--file", file("a.csv", "a,b\n1,2\n"), "--csv-header", "--typed-cells"}, want: url.Values{"format": {"csv"}, "header": {"true"}, "cells": {"json"}}, body: "a,b\n1,2\n"},
		"a literal in a file":         {args: []string{"--file", file("a.py", "((1,),)")}, want: url.Values{"format": {"python"}}, body: "((1,),)"},
		"a file without an extension": {args: []string{"--file", file("plain", "[1]\n[2]\n")}, want: url.Values{"format": {"ndjson"}}, body: "[1]\n[2]\n"},
		"lines from stdin":            {args: []string{"--file", "-"}, stdin: "1\n2\n", want: url.Values{"format": {"ndjson"}}, body: "1\n2\n"},
		"an array from stdin":         {args: []string{"--file", "-"}, stdin: "[[1],\n[2]]\n", want: url.Values{"format": {"json"}}, body: "[[1],\n[2]]\n"},
		"an array in one line":        {args: []string{"--file", "-"}, stdin: "[[1],[2]]\n", want: url.Values{"format": {"json"}}, body: "[[1],[2]]\n"},
		"a literal from stdin":        {args: []string{"--file", "-"}, stdin: " ((1,),)", want: url.Values{"format": {"python"}}, body: " ((1,),)"},
		"an explicit format":          {args: []string{"--file", "-", "--format", "csv"}, stdin: "(1\n", want: url.Values{"format": {"csv"}}, body: "(1\n"},
		"fields of the spec": {
			args: []string{"--params", "[[1]]", "--workers", "3", "--gpus", "0", "--retries", "2", "--timeout-per-input", "90s", "--spec", `{"gpuProducts":["L4"],"workers":9}`},
			want: url.Values{"format": {"json"}, "spec": {`{"gpuProducts":["L4"],"gpus":0,"retries":2,"timeoutSeconds":90,"workers":3}`}}, body: "[[1]]",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFakeCluster(t)
			var asked url.Values
			f.handle = func(_ http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPost {
					asked = r.URL.Query()
				}
				return false
			}
			f.plugin(t, t.Context(), strings.NewReader(tc.stdin), append([]string{"run", "f", "--name", "r"}, tc.args...)...).
				mustExit(t, ExitOK, "functionrun.sharedcloud.io/r started", "")
			tc.want.Set("name", "r")
			if diff := cmp.Diff(tc.want, asked); diff != "" {
				t.Errorf("query (-want +got):\n%s", diff)
			}
			if f.uploaded != tc.body {
				t.Errorf("sent %q, want %q", f.uploaded, tc.body)
			}
		})
	}
}

// endless is a stream of inputs without an end.
type endless struct{ read atomic.Int64 }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = "1\n"[i%2]
	}
	e.read.Add(int64(len(p)))
	return len(p), nil
}

func TestInputsAreStreamed(t *testing.T) {
	f := newFakeCluster(t)
	f.handle = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		_, _ = io.CopyN(io.Discard, r.Body, 1<<20)
		refuse(w, apierrors.NewBadRequest("the inputs cannot be read: line 7: it is not JSON. No input was stored."))
		return true
	}
	source := &endless{}
	f.plugin(t, t.Context(), source, "run", "f", "--file", "-").mustExit(t, ExitUsage, "", "line 7: it is not JSON")
	// The connection may still be reading.
	if read := source.read.Load(); read > 64<<20 {
		t.Errorf("%d bytes were read although the server read 1 MiB", read)
	}
}

func TestRunIsFoundAfterALostResponse(t *testing.T) {
	f := newFakeCluster(t)
	posts := 0
	f.handle = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		posts++
		_, _ = io.Copy(io.Discard, r.Body)
		f.mu.Lock()
		name := r.URL.Query().Get("name")
		f.runs[name] = finishedRun(name, 1, 0)
		f.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	f.plugin(t, t.Context(), nil, "run", "f", "--params", "[[1]]").mustExit(t, ExitOK, "functionrun.sharedcloud.io/f-", "")
	if posts != 1 {
		t.Errorf("%d calls", posts)
	}
}

func TestExitCodesOfWaiting(t *testing.T) {
	tests := map[string]struct {
		run  *v1alpha1.FunctionRun
		args []string
		code int
		says string
	}{
		"all succeeded":        {run: finishedRun("r", 3, 0), args: []string{"--wait"}, code: ExitOK, says: "r: all 3 inputs succeeded."},
		"one failed":           {run: finishedRun("r", 2, 1), args: []string{"--wait"}, code: ExitFailed, says: "kubectl function rerun r --failed -n ns"},
		"followed, one failed": {run: finishedRun("r", 0, 1), args: []string{"--follow", "-q"}, code: ExitFailed, says: "1 of 1 input did not succeed"},
		"the timeout expires":  {run: runningRun("r", 3, 1), args: []string{"--wait", "--timeout", "1ms"}, code: ExitTimeout, says: "--timeout (1ms) expired: the run r continues"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFakeCluster(t)
			f.runs["r"] = tc.run
			f.outcomes["r"] = []string{outcomeLine(0, "Failed")}
			f.handle = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPost {
					reply(w, http.StatusCreated, tc.run)
				}
				return r.Method == http.MethodPost
			}
			f.plugin(t, t.Context(), nil, append([]string{"run", "f", "--params", "[[1]]", "--name", "r"}, tc.args...)...).mustExit(t, tc.code, "", tc.says)
		})
	}
}

func TestInterruptedWaitReportsThatTheRunContinues(t *testing.T) {
	f := newFakeCluster(t)
	f.runs["r"] = runningRun("r", 3, 1)
	ctx, interrupt := context.WithCancel(t.Context())
	looks := 0
	f.handle = func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Method == http.MethodPost:
			reply(w, http.StatusCreated, f.runs["r"])
			return true
		case strings.HasSuffix(r.URL.Path, "/functionruns/r"):
			if looks++; looks == 2 {
				interrupt()
			}
		}
		return false
	}
	f.plugin(t, ctx, nil, "run", "f", "--params", "[[1]]", "--name", "r", "--wait").
		mustExit(t, ExitInterrupted, "", "Interrupted: the run r continues. `kubectl function results r --follow -n ns` waits for it again, `kubectl function cancel r -n ns` cancels it.")
}

func TestWaitForARunThatIsDeleted(t *testing.T) {
	f := newFakeCluster(t)
	f.handle = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			reply(w, http.StatusCreated, runningRun("r", 3, 0))
		}
		return r.Method == http.MethodPost
	}
	f.plugin(t, t.Context(), nil, "run", "f", "--params", "[[1]]", "--name", "r", "--wait").mustExit(t, ExitCluster, "", "the run r was deleted")
}

func TestFunctionsServerWithoutTheAggregatedAPI(t *testing.T) {
	f := newFakeCluster(t)
	f.aggregated = false
	f.runs["r"] = finishedRun("r", 1, 0)
	direct := &fakeCluster{aggregated: true, runs: map[string]*v1alpha1.FunctionRun{}, outcomes: map[string][]string{"r": {outcomeLine(0, "Succeeded")}}}
	shown := ""
	direct.handle = func(_ http.ResponseWriter, r *http.Request) bool { shown = r.Header.Get("Authorization"); return false }
	server := httptest.NewTLSServer(direct)
	defer server.Close()
	authority := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SHAREDCLOUD_URL", "")
	f.plugin(t, t.Context(), nil, "results", "r").mustExit(t, ExitCluster, "", "has no aggregated API subresources.sharedcloud.io, which runs, results and logs require: install the operator, or pass the address of its API server with --functions-server")
	f.plugin(t, t.Context(), nil, "results", "r", "--functions-server", server.URL).mustExit(t, ExitCluster, "", "the server "+server.URL+" presents a certificate signed by an unknown authority: pass its CA with --certificate-authority, or with --functions-server-ca")
	f.plugin(t, t.Context(), nil, "results", "r", "--functions-server", server.URL, "--functions-server-ca", authority+"x").mustExit(t, ExitUsage, "", "check --functions-server-ca")
	f.plugin(t, t.Context(), nil, "results", "r", "--functions-server", server.URL, "--functions-server-ca", authority).mustExit(t, ExitOK, "0       Succeeded", "")
	f.plugin(t, t.Context(), nil, "results", "r", "--functions-server", server.URL, "--functions-server-ca", authority, "--as", "bob").mustExit(t, ExitUsage, "", "--as works only with the cluster's API")
	t.Setenv("SHAREDCLOUD_URL", "http://functions.example.org")
	f.plugin(t, t.Context(), nil, "results", "r").mustExit(t, ExitUsage, "", "it must be an https:// address")
	t.Setenv("SHAREDCLOUD_URL", server.URL)
	t.Setenv("SHAREDCLOUD_CA", authority)
	t.Setenv("SHAREDCLOUD_TOKEN", "of-the-environment")
	f.plugin(t, t.Context(), nil, "results", "r").mustExit(t, ExitOK, "0       Succeeded", "")
	if shown != "Bearer of-the-environment" {
		t.Errorf("the server got the credentials %q", shown)
	}
	secure := httptest.NewTLSServer(f) // client-go sends no credentials over plain HTTP
	defer secure.Close()
	command(t, t.Context(), nil, "results", "r", "-n", "ns", "--server", secure.URL, "--certificate-authority", authority, "--token", "of-the-kubeconfig").
		mustExit(t, ExitOK, "0       Succeeded", "")
	if shown != "Bearer of-the-kubeconfig" {
		t.Errorf("the server got the credentials %q", shown)
	}
	f.aggregated = true
	f.outcomes["r"] = []string{outcomeLine(0, "Failed")}
	f.plugin(t, t.Context(), nil, "results", "r").mustExit(t, ExitOK, "0       Failed", "")
}

func TestResultsInEachFormat(t *testing.T) {
	f := newFakeCluster(t)
	f.runs["r"] = finishedRun("r", 1, 1)
	f.outcomes["r"] = []string{outcomeLine(0, "Succeeded"), outcomeLine(1, "Failed")}
	f.plugin(t, t.Context(), nil, "results", "r").mustExit(t, ExitOK,
		"INDEX   STATUS      DURATION  RESULT\n0       Succeeded       1.5s  0\n1       Failed             -  ValueError: bad 1\n", "")
	f.plugin(t, t.Context(), nil, "results", "r", "-o", "csv").mustExit(t, ExitOK,
		"index,status,result,error_type,error_message,attempts,start_time,completion_time,worker,node\n"+
			"0,Succeeded,0,,,1,2026-11-26T12:00:00.000000Z,2026-11-26T12:00:01.500000Z,w,n\n1,Failed,,ValueError,bad 1,1,,,,\n", "")
	got := f.plugin(t, t.Context(), nil, "results", "r", "-o", "json")
	var all []outcome
	if err := json.Unmarshal([]byte(got.stdout), &all); err != nil || len(all) != 2 {
		t.Errorf("%v: %s", err, got.stdout)
	}
	f.plugin(t, t.Context(), nil, "results", "r", "--failed", "-o", "ndjson").mustExit(t, ExitOK, outcomeLine(1, "Failed")+"\n", "")
	f.outcomes["r"] = nil
	f.plugin(t, t.Context(), nil, "results", "r", "-o", "json").mustExit(t, ExitOK, "[]\n", "")
	f.plugin(t, t.Context(), nil, "results", "r").mustExit(t, ExitOK, "", "There are no matching results.")
}

func TestResultsFileIsCompleteOrUnchanged(t *testing.T) {
	f := newFakeCluster(t)
	f.runs["r"] = finishedRun("r", 2, 0)
	f.outcomes["r"] = []string{outcomeLine(0, "Succeeded"), outcomeLine(1, "Succeeded")}
	folder := t.TempDir()
	to := filepath.Join(folder, "results.csv")
	f.plugin(t, t.Context(), nil, "results", "r", "--to", to).mustExit(t, ExitOK, "", "")
	text, err := os.ReadFile(to)
	if err != nil || !strings.HasPrefix(string(text), "index,status") || strings.Count(string(text), "\n") != 3 {
		t.Fatalf("%v: %s", err, text)
	}
	f.outcomes["r"] = []string{outcomeLine(0, "Succeeded"), "no outcome"}
	f.plugin(t, t.Context(), nil, "results", "r", "--to", to).mustExit(t, ExitCluster, "", "is not an outcome")
	if again, err := os.ReadFile(to); err != nil || string(again) != string(text) {
		t.Errorf("the file has changed: %v\n%s", err, again)
	}
	if entries, _ := os.ReadDir(folder); len(entries) != 1 {
		t.Errorf("unexpected files: %v", entries)
	}
	f.plugin(t, t.Context(), nil, "results", "r", "--to", filepath.Join(folder, "none", "x")).mustExit(t, ExitUsage, "", "cannot write")
}

func TestControlChangesAllRunsOrNone(t *testing.T) {
	f := newFakeCluster(t)
	f.runs["a"], f.runs["over"] = runningRun("a", 2, 0), finishedRun("over", 2, 0)
	patched := ""
	f.handle = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPatch {
			return false
		}
		body, _ := io.ReadAll(r.Body)
		patched += string(body)
		reply(w, http.StatusOK, f.runs["a"])
		return true
	}
	f.plugin(t, t.Context(), nil, "cancel", "a", "none").mustExit(t, ExitCluster, "", `there is no run "none" in this namespace`)
	f.plugin(t, t.Context(), nil, "suspend", "a", "over").mustExit(t, ExitUsage, "", "the run over has finished and cannot be suspended")
	f.plugin(t, t.Context(), nil, "resume", "a").mustExit(t, ExitOK, "a is not suspended", "")
	if patched != "" {
		t.Fatalf("unexpected patch: %s", patched)
	}
	f.plugin(t, t.Context(), nil, "cancel", "a", "over").mustExit(t, ExitOK, "functionrun.sharedcloud.io/a is being cancelled\nfunctionrun.sharedcloud.io/over has already finished\n", "")
	if want := `{"metadata":{"uid":"uid-1"},"spec":{"cancel":true}}`; patched != want {
		t.Errorf("patched %s, want %s", patched, want)
	}
}
