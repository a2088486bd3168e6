package driver

import (
	"bytes"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExportsSurviveTheShell(t *testing.T) {
	var out bytes.Buffer
	printExports(&out, []export{{"KUBECONFIG", "/a folder/it's $HOME/kubeconfig"}, {"SHAREDCLOUD_URL", "https://127.0.0.1:1"}}, []string{"/a folder/bin", "/x"})
	out.WriteString(`printf '%s\n' "$KUBECONFIG" "$SHAREDCLOUD_URL" "$PATH"`)
	cmd := exec.Command("sh", "-c", out.String())
	cmd.Env = []string{"PATH=/usr/bin"}
	got, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := "/a folder/it's $HOME/kubeconfig\nhttps://127.0.0.1:1\n/a folder/bin:/x:/usr/bin\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("seen by the shell (-want +got):\n%s", diff)
	}
}
