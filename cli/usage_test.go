package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// There is no cluster, so an error of usage occurs before any request.
func TestInvalidUsageIsReportedBeforeAnyRequest(t *testing.T) {
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := []string{"run", "f", "--params", "((1,),)"}
	with := func(more ...string) []string { return append(append([]string{}, good...), more...) }
	tests := map[string]struct {
		args []string
		says string
	}{
		"an unknown command":               {[]string{"rnu"}, `unknown command "rnu": did you mean "run"?`},
		"an unknown flag":                  {with("--nosuch"), "unknown flag: --nosuch"},
		"an invalid number":                {with("--workers", "many"), `invalid argument "many" for "--workers"`},
		"run without a function":           {[]string{"run"}, "requires the name of a function"},
		"run with two functions":           {with("g"), `unexpected argument "g"`},
		"run without inputs":               {[]string{"run", "f"}, "there are no inputs"},
		"run with two sources of inputs":   {with("--file", "x"), "--params and --file exclude each other"},
		"an incomplete literal":            {[]string{"run", "f", "--params", "((1,)"}, "the inputs in --params are not valid Python"},
		"parameters in no format":          {[]string{"run", "f", "--params", "1,2"}, "must be a Python tuple of tuples"},
		"inputs that are not tuples":       {[]string{"run", "f", "--params", "(1, 2)"}, "are not valid Python"},
		"an empty list of inputs":          {[]string{"run", "f", "--params", "[]"}, "a run needs at least one"},
		"a missing file":                   {[]string{"run", "f", "--file", filepath.Join(folder, "none")}, "no such file"},
		"a directory as a file":            {[]string{"run", "f", "--file", folder}, "is a directory"},
		"a file with an error":             {[]string{"run", "f", "--file", file("bad.ndjson", "[1]\n{\n")}, "line 2: it is no JSON"},
		"a CSV with a short row":           {[]string{"run", "f", "--csv-header", "--file", file("bad.csv", "a,b\n1\n")}, "line 2: it has 1 cells"},
		"an unknown format":                {with("--format", "xml"), "it must be json, ndjson, csv or python"},
		"CSV flags for JSON":               {with("--csv-header"), "apply to CSV"},
		"no workers":                       {with("--workers", "0"), "--workers is 0"},
		"negative GPUs":                    {with("--gpus", "-1"), "--gpus is -1"},
		"half a second":                    {with("--timeout-per-input", "500ms"), "whole seconds"},
		"a spec that is not JSON":          {with("--spec", "workers: 3"), "must be a JSON object"},
		"a spec with inputs":               {with("--spec", `{"parameters": [[1]]}`), "--spec must not have the field parameters"},
		"an invalid name":                  {with("--name", "My Run"), "--name is"},
		"an unknown format of objects":     {with("-o", "xml"), "must be name, json or yaml"},
		"a run in the wide format":         {with("-o", "wide"), "must be name, json or yaml"},
		"list in an unknown format":        {[]string{"list", "-o", "csv"}, "must be one of wide, name, json, yaml"},
		"an unknown format of results":     {with("--follow", "-o", "yaml"), "must be one of table, ndjson, json, csv"},
		"a timeout without waiting":        {with("--timeout", "1m"), "requires --wait or --follow"},
		"rerun without --failed":           {[]string{"rerun", "r"}, "--failed is required"},
		"results without a run":            {[]string{"results"}, "requires the name of a run"},
		"invalid indexes":                  {[]string{"results", "r", "--indexes", "3-"}, "must be a list of indexes such as"},
		"indexes with follow":              {[]string{"results", "r", "--indexes", "3", "--follow"}, "exclude each other"},
		"a negative limit":                 {[]string{"results", "r", "--limit", "-1"}, "must not be negative"},
		"results in an unknown format":     {[]string{"results", "r", "-o", "xml"}, "must be one of table"},
		"log without a run":                {[]string{"log"}, "requires the name of a run, and optionally the index"},
		"log of an invalid index":          {[]string{"log", "r", "first"}, "is not an index"},
		"log of failed inputs with follow": {[]string{"log", "r", "--failed", "-f"}, "--failed excludes --follow"},
		"log of an unknown stream":         {[]string{"log", "r", "--stream", "in"}, "must be stdout, stderr or both"},
		"list of an unknown kind":          {[]string{"list", "pods"}, "must be functions, runs or images"},
		"functions by function":            {[]string{"list", "--function", "f"}, "list runs --function f"},
		"get without a name":               {[]string{"get", "run"}, "requires the name of a function, run or image"},
		"describe nothing":                 {[]string{"describe"}, "requires the name of a run or a function"},
		"cancel nothing":                   {[]string{"cancel"}, "requires the name of a run"},
		"rollback to a negative revision":  {[]string{"rollback", "f", "--to-revision", "-1"}, "start at 1"},
		"init with an unknown runtime":     {[]string{"init", filepath.Join(folder, "new"), "--runtime", "cobol85"}, "must be one of"},
		"init with a path as an image":     {[]string{"init", filepath.Join(folder, "new"), "--image", "a/b:c"}, "must be the name of a FunctionImage"},
		"init with an invalid name":        {[]string{"init", filepath.Join(folder, "new"), "--name", "New!"}, "is not a valid name of a function"},
		"test of a missing path":           {[]string{"test", filepath.Join(folder, "none")}, "there is no code to test"},
		"test of a directory without code": {[]string{"test", t.TempDir()}, "neither the manifest of a Function nor handler.py"},
		"test of a file of another kind":   {[]string{"test", file("code.rb", "")}, "neither code"},
		"test of an invalid manifest":      {[]string{"test", file("broken.yaml", "a: b: c")}, "is not a valid manifest"},
		"test without inputs":              {[]string{"test", file("alone.py", "def handler(event): pass")}, "there are no inputs"},
		"a short token":                    {[]string{"token", "--duration", "1m"}, "at least 10 minutes"},
		"a server without https":           {with("--functions-server", "functions.example.org"), "--functions-server is"},
		"an unknown context":               {[]string{"list", "--context", "none"}, "the kubeconfig is not valid"},
		"no kubeconfig":                    {[]string{"list"}, "no kubeconfig names a cluster"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := command(t, t.Context(), nil, tc.args...)
			got.mustExit(t, ExitUsage, "", tc.says)
			if lines := strings.Count(got.stderr, "\n"); lines > 2 {
				t.Errorf("it takes %d lines to notify so:\n%s", lines, got.stderr)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(folder, "new")); err == nil {
		t.Error("init created a directory despite the error")
	}
}

func TestUnreachableClusterIsNamed(t *testing.T) {
	for _, args := range [][]string{{"list"}, {"get", "run", "r"}, {"results", "r"}, {"log", "r"}, {"cancel", "r"}, {"describe", "r"},
		{"run", "f", "--params", "((1,),)"}, {"rerun", "r", "--failed"}, {"revisions", "f"}, {"diff", "f"}, {"rollback", "f"}, {"token"}, {"doctor"}, {"version"}} {
		t.Run(args[0], func(t *testing.T) {
			got := command(t, t.Context(), nil, append(args, "--server", "http://127.0.0.1:1")...)
			got.mustExit(t, ExitCluster, "", "the server http://127.0.0.1:1 cannot be reached")
		})
	}
}

func TestHelpHasExamplesAndTheExitCodes(t *testing.T) {
	command(t, t.Context(), nil, "--help").mustExit(t, ExitOK, "Exit codes:", "")
	for _, name := range []string{"run", "rerun", "results", "log", "list", "get", "describe", "cancel", "suspend", "resume", "revisions",
		"diff", "rollback", "init", "test", "token", "doctor", "version"} {
		command(t, t.Context(), nil, name, "--help").mustExit(t, ExitOK, "Examples:\n  ", "")
	}
	command(t, t.Context(), nil, "completion", "bash").mustExit(t, ExitOK, "__complete", "")
}
