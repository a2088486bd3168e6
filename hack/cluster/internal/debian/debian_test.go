package debian

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseURIs(t *testing.T) {
	got, err := parseURIs(`'http://mirror/pool/libc6_2.36-9_amd64.deb' libc6_2.36-9_amd64.deb 2759320 SHA256:ab
'http://mirror/pool/zlib1g.deb' zlib1g_1%3a1.2.13.dfsg-1_amd64.deb 86684 MD5Sum:cd
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []file{{"libc6_2.36-9_amd64.deb", 2759320}, {"zlib1g_1%3a1.2.13.dfsg-1_amd64.deb", 86684}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(file{})); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if spec := got[1].spec(); spec != "zlib1g=1:1.2.13.dfsg-1" {
		t.Errorf("the epoch is lost: %s", spec)
	}
	for name, out := range map[string]string{
		"nothing":        "",
		"a path":         "'http://m/x' ../x_1_a.deb 1 h\n",
		"a wrong size":   "'http://m/x' x_1_a.deb one h\n",
		"no such naming": "'http://m/x' x.deb 1 h\n",
	} {
		if files, err := parseURIs(out); err == nil {
			t.Errorf("%s was taken: %v", name, files)
		}
	}
}

func TestMergedUsr(t *testing.T) {
	for name, want := range map[string]string{
		"./":               "",
		"./bin/busybox":    "usr/bin/busybox",
		"./lib64/ld.so":    "usr/lib64/ld.so",
		"./usr/bin/x":      "usr/bin/x",
		"./etc/passwd":     "etc/passwd",
		"./../../etc/x":    "etc/x",
		"./library/in/top": "library/in/top",
	} {
		if got := merged(name); got != want {
			t.Errorf("merged(%q) = %q, want %q", name, got, want)
		}
	}
}
