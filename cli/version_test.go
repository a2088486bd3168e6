package cli

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

func TestVersionPrintsClientAndServer(t *testing.T) {
	own := version()
	tests := map[string]struct {
		args   []string
		status int
		body   any
		exit   int
		stdout []string
		stderr string
	}{
		"both": {
			status: http.StatusOK, body: map[string]any{"info": map[string]string{"version": "v1.2.3"}},
			stdout: []string{"Client: " + own + " (", "Server: v1.2.3\n"},
		},
		"the client alone": {
			args: []string{"--client"}, status: http.StatusInternalServerError, stdout: []string{"Client: " + own + " ("},
		},
		"as JSON": {
			args: []string{"-o", "json"}, status: http.StatusOK, body: map[string]any{"info": map[string]string{"version": "v1.2.3"}},
			stdout: []string{`"serverVersion": "v1.2.3"`, `"gitVersion": "` + own + `"`},
		},
		"a server that does not say": {
			status: http.StatusForbidden, body: map[string]string{}, exit: ExitCluster,
			stdout: []string{"Client: "}, stderr: "the API server does not report its version: " + openAPIPath + " answers 403",
		},
		"a document without a version": {
			status: http.StatusOK, body: map[string]string{}, exit: ExitCluster, stderr: "has no info.version",
		},
		"an unknown format": {args: []string{"-o", "xml"}, exit: ExitUsage, stderr: `-o is "xml"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFakeCluster(t)
			f.handle = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != openAPIPath {
					return false
				}
				reply(w, tc.status, tc.body)
				return true
			}
			got := f.plugin(t, t.Context(), nil, append([]string{"version"}, tc.args...)...)
			for _, want := range append(tc.stdout, "") {
				got.mustExit(t, tc.exit, want, tc.stderr)
			}
			if tc.status == http.StatusInternalServerError && strings.Contains(got.stdout, "Server") {
				t.Errorf("--client asked for the server: %s", got.stdout)
			}
			if len(tc.args) == 2 && tc.exit == ExitOK && !json.Valid([]byte(got.stdout)) {
				t.Errorf("-o json printed %s", got.stdout)
			}
		})
	}
}

func TestTheVersionIsNeverATemplate(t *testing.T) {
	if got := version(); got == "" || strings.Contains(got, "$") {
		t.Errorf("the version is %q", got)
	}
}
