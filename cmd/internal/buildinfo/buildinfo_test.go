package buildinfo

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/component-base/version"
)

func TestTheMetricDescribesTheBuild(t *testing.T) {
	info := version.Get()
	want := fmt.Sprintf(`# HELP sharedcloud_build_info The build of this component, as labels. The value is always 1.
# TYPE sharedcloud_build_info gauge
sharedcloud_build_info{build_date=%q,component="manager",git_commit=%q,git_tree_state=%q,git_version=%q,go_version=%q,platform=%q} 1
`, info.BuildDate, info.GitCommit, info.GitTreeState, info.GitVersion, info.GoVersion, info.Platform)
	if err := testutil.CollectAndCompare(Metric("manager"), strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

// ldflags runs hack/ldflags.sh in a repository and returns the values that it sets, by the variable's name.
func ldflags(t *testing.T, folder string, environment ...string) map[string]string {
	t.Helper()
	script, err := filepath.Abs("../../../hack/ldflags.sh")
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command("bash", script)
	command.Dir = folder
	command.Env = append(command.Environ(), append([]string{"VERSION_ROOT=" + folder}, environment...)...)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	values := map[string]string{}
	for _, word := range strings.Fields(string(out)) {
		if pair, ok := strings.CutPrefix(word, "k8s.io/component-base/version."); ok {
			name, value, _ := strings.Cut(pair, "=")
			values[name] = value
		}
	}
	return values
}

func TestLinkerFlagsFollowTheCommit(t *testing.T) {
	folder := t.TempDir()
	git := func(arguments ...string) string {
		t.Helper()
		command := exec.Command("git", append([]string{"-c", "user.name=x", "-c", "user.email=x@example.com"}, arguments...)...)
		command.Dir = folder
		command.Env = append(command.Environ(), "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z", "GIT_AUTHOR_DATE=2026-01-02T03:04:05Z")
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", arguments, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if got := ldflags(t, folder); len(got) != 0 {
		t.Errorf("without git, %v is set; want nothing", got)
	}
	git("init", "-q")
	git("commit", "-q", "--allow-empty", "-m", "one")
	commit := git("rev-parse", "HEAD")
	want := map[string]string{
		"gitVersion": "v0.0.0-1-g" + commit[:12], "gitMajor": "0", "gitMinor": "0",
		"gitCommit": commit, "gitTreeState": "clean", "buildDate": "2026-01-02T03:04:05Z",
	}
	if diff := cmp.Diff(want, ldflags(t, folder)); diff != "" {
		t.Errorf("before the first tag (-want +got):\n%s", diff)
	}
	git("tag", "v1.4.0")
	want["gitVersion"], want["gitMajor"], want["gitMinor"] = "v1.4.0", "1", "4"
	if diff := cmp.Diff(want, ldflags(t, folder)); diff != "" {
		t.Errorf("at a tag (-want +got):\n%s", diff)
	}
	git("commit", "-q", "--allow-empty", "-m", "two")
	commit = git("rev-parse", "HEAD")
	want["gitVersion"], want["gitCommit"] = "v1.4.0-1-g"+commit[:12], commit
	want["buildDate"] = "1970-01-01T00:00:10Z"
	if diff := cmp.Diff(want, ldflags(t, folder, "SOURCE_DATE_EPOCH=10")); diff != "" {
		t.Errorf("after a tag, with SOURCE_DATE_EPOCH (-want +got):\n%s", diff)
	}
}
