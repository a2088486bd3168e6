package checks

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The Dockerfile copies folders by name, so that a change of a document builds nothing anew. A package that the programs
// begin to import from elsewhere would be missing only there, where it is rarely built.
func TestDockerfileCopiesWhatTheProgramsNeed(t *testing.T) {
	root := topFolder(t)
	dockerfile, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	ignore, err := os.ReadFile(filepath.Join(root, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	var copied []string
	for _, match := range regexp.MustCompile(`(?m)^COPY ([a-z]+)/ ([a-z]+)/$`).FindAllStringSubmatch(string(dockerfile), -1) {
		copied = append(copied, match[1])
		if match[1] != match[2] {
			t.Errorf("the Dockerfile copies %s/ to %s/", match[1], match[2])
		}
		if !strings.Contains(string(ignore), "\n!"+match[1]+"/\n") {
			t.Errorf(".dockerignore keeps %s/ from the Dockerfile, which copies it", match[1])
		}
	}
	cmd := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./cmd/manager", "./cmd/apiserver")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	ours := 0
	for _, path := range strings.Fields(string(out)) {
		name, found := strings.CutPrefix(path, module+"/")
		if !found {
			continue
		}
		ours++
		if folder, _, _ := strings.Cut(name, "/"); !slices.Contains(copied, folder) {
			t.Errorf("a program imports %s, and the Dockerfile does not copy %s/", name, folder)
		}
	}
	if ours < 5 {
		t.Errorf("go list named only %d packages of ours: %s", ours, out)
	}
}
