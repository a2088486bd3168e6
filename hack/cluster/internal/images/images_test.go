package images

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// read returns an archive's files by name, and their headers.
func read(t *testing.T, archive io.Reader) (map[string][]byte, map[string]*tar.Header) {
	t.Helper()
	files, headers := map[string][]byte{}, map[string]*tar.Header{}
	for tr := tar.NewReader(archive); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files, headers
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
		headers[h.Name] = h
	}
}

func TestPackPrograms(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "manager")
	if err := os.WriteFile(program, []byte("ELF"), 0o755); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(dir, "out.tar")
	pack := func() []byte {
		t.Helper()
		if err := PackPrograms(archive, []string{program}, []string{"docker.io/x/y:dev"}, Config{Entrypoint: []string{"/manager"}}); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(archive)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	data := pack()
	if !bytes.Equal(data, pack()) {
		t.Error("packed twice, it's not the same")
	}

	files, _ := read(t, bytes.NewReader(data))
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	if len(manifest) != 1 || !cmp.Equal(manifest[0].RepoTags, []string{"docker.io/x/y:dev"}) {
		t.Fatalf("manifest: %+v", manifest)
	}
	var config struct {
		Config Config
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal(files[manifest[0].Config], &config); err != nil {
		t.Fatal(err)
	}
	layer := files[manifest[0].Layers[0]]
	sum := sha256.Sum256(layer)
	if diff := cmp.Diff([]string{"sha256:" + hex.EncodeToString(sum[:])}, config.RootFS.DiffIDs); diff != "" {
		t.Errorf("the layer is not what the config says (-want +got):\n%s", diff)
	}
	if config.Config.User != "65532" {
		t.Errorf("it runs as %q", config.Config.User)
	}
	content, headers := read(t, bytes.NewReader(layer))
	if string(content["manager"]) != "ELF" || headers["manager"].Mode != 0o755 || headers["manager"].Uid != 0 {
		t.Errorf("the program: %+v", headers["manager"])
	}
	if headers["tmp/"] == nil || headers["tmp/"].Mode != 0o1777 {
		t.Errorf("/tmp is not for all: %+v", headers["tmp/"])
	}
	for name := range headers {
		if strings.HasPrefix(name, "etc/") {
			t.Errorf("it has %s, which the image that is shipped has not", name)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".layer-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestPackFolderKeepsLinksAndModes(t *testing.T) {
	root, archive := t.TempDir(), filepath.Join(t.TempDir(), "out.tar")
	if err := os.Mkdir(filepath.Join(root, "tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(root, "tmp"), 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("python3", filepath.Join(root, "python")); err != nil {
		t.Fatal(err)
	}
	if err := PackFolder(archive, root, []string{"docker.io/x/y:latest"}, Config{}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	files, _ := read(t, bytes.NewReader(data))
	_, headers := read(t, bytes.NewReader(files["layer.tar"]))
	if h := headers["python"]; h == nil || h.Linkname != "python3" {
		t.Errorf("the link: %+v", h)
	}
	if h := headers["tmp/"]; h == nil || h.Mode&0o7777 != 0o1777 {
		t.Errorf("/tmp: %+v", h)
	}
}

// The images that people bring do not know the user that workers run as.
func TestTheUserHasNoNameInTheImages(t *testing.T) {
	root := t.TempDir()
	if err := addAccounts(root); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"passwd", "group"} {
		text, err := os.ReadFile(filepath.Join(root, "etc", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(text, []byte("root:x:0:")) || bytes.Contains(text, []byte(strconv.Itoa(User))) {
			t.Errorf("/etc/%s is\n%s", name, text)
		}
	}
	for _, image := range All() {
		for _, variable := range image.Env {
			if name, _, _ := strings.Cut(variable, "="); slices.Contains([]string{"HOME", "USER", "LOGNAME", "XDG_CACHE_HOME", "TMPDIR"}, name) {
				t.Errorf("the image %s sets %s", image.Name, variable)
			}
		}
	}
}

func TestTheRecipeNamesTheArchive(t *testing.T) {
	a := python()
	b := python()
	b.Packages = append(b.Packages, "python3-scipy")
	if a.Key() != python().Key() || a.Key() == b.Key() {
		t.Errorf("keys: %s, %s", a.Key(), b.Key())
	}
}

func TestWhatIsLeftOut(t *testing.T) {
	for path, want := range map[string]bool{
		"usr/share/doc/python3/copyright":                          true,
		"usr/lib/python3/dist-packages/numpy/core/tests/test_x.py": true,
		"usr/lib/python3/dist-packages/numpy/testing/__init__.py":  false,
		"usr/lib/python3.11/unittest/case.py":                      false,
		"usr/share/nodejs/undici/index.js":                         false,
		"usr/bin/python3.11":                                       false,
	} {
		if got := dropPython(path); got != want {
			t.Errorf("dropPython(%s) = %t", path, got)
		}
	}
}
