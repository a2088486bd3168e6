package checks

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Hosts are written in two halves, so that this file does not name what it looks for.
var registryHosts = []string{
	"registry." + "npmjs.org", "registry." + "yarnpkg.com", "pypi" + ".org", "files." + "pythonhosted.org",
	"proxy." + "golang.org", "deb." + "debian.org", "security." + "debian.org", "crates" + ".io", "rubygems" + ".org",
}

var (
	lockedAddress = regexp.MustCompile(`"resolved": *"https?:|GOPROXY *[:=]+ *"?https?:|^deb +https?:`)
	besideProject = regexp.MustCompile(`(^|[^.])\.\./` + `shared/`)
)

func TestNoTrackedFileNamesAMachineOrARegistry(t *testing.T) {
	root := topFolder(t)
	folders := machineFolders(root)
	for _, name := range trackedFiles(t, root) {
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			continue // deleted in the working tree, or a link to nowhere
		}
		if bytes.IndexByte(content, 0) >= 0 {
			continue
		}
		if !suspicious(folders, content) {
			continue
		}
		lines := bufio.NewScanner(bytes.NewReader(content))
		lines.Buffer(nil, 64<<20)
		for number := 1; lines.Scan(); number++ {
			if found := unclean(folders, lines.Text()); found != "" {
				t.Errorf("%s:%d: %s", name, number, found)
			}
		}
		if err := lines.Err(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// machineFolders are folders of the machine that this runs on: who writes one of them into a file sees it here.
func machineFolders(root string) []*regexp.Regexp {
	var folders []*regexp.Regexp
	home, _ := os.UserHomeDir()
	for _, folder := range []string{root, home, os.Getenv("GOMODCACHE"), os.Getenv("GOCACHE")} {
		if len(folder) > 1 {
			folders = append(folders, regexp.MustCompile(`(^|[^\w./-])`+regexp.QuoteMeta(folder)+`/[\w.-]`))
		}
	}
	return folders
}

// suspicious reports whether unclean can have something to say about a line of the text. It is much faster than to look at each line.
func suspicious(folders []*regexp.Regexp, content []byte) bool {
	for _, host := range registryHosts {
		if bytes.Contains(content, []byte(host)) {
			return true
		}
	}
	for _, part := range []string{"resolved", "GOPROXY", "deb ", "/shared/"} {
		if bytes.Contains(content, []byte(part)) {
			return true
		}
	}
	return slices.ContainsFunc(folders, func(f *regexp.Regexp) bool { return f.Match(content) })
}

// unclean says what is wrong with a line, or nothing.
func unclean(folders []*regexp.Regexp, line string) string {
	for _, host := range registryHosts {
		if strings.Contains(line, host) {
			return "names the package registry " + host + ": leave it to the machine's own settings"
		}
	}
	if lockedAddress.MatchString(line) {
		return "names a download's address: leave it to the machine's own settings"
	}
	if besideProject.MatchString(line) {
		return "names a folder beside the project, which a clone does not have"
	}
	for _, folder := range folders {
		if found := folder.FindString(line); found != "" {
			return "names a path of this machine (" + found + "…): use one relative to the repository"
		}
	}
	return ""
}

func TestUnclean(t *testing.T) {
	tests := map[string]struct {
		line string
		want bool
	}{
		"a registry's host":                 {"see https://" + registryHosts[0] + "/x", true},
		"an address in a lock file":         {`"resolved": "` + `https://x.example/y.tgz"`, true},
		"a package source":                  {"deb " + "http://x.example/ bookworm main", true},
		"this checkout":                     {"cd /src/here/hack", true},
		"a file of this checkout":           {"cp /src/here/x .", true},
		"the folder beside the project":     {"see .." + "/shared/x", true},
		"a path in a container":             {"/sharedcloud/code/handler.py", false},
		"a path of the exchange":            {"POST /work/v1/namespaces", false},
		"a system folder":                   {"/var/lib/kubelet/device-plugins", false},
		"an import of a package":            {`import "k8s.io/api/core/v1"`, false},
		"a folder of ours of the same name": {"test/src/here/x.go", false},
		"a longer name":                     {"/src/heresay/x", false},
	}
	folders := machineFolders("/src/here")
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := unclean(folders, tc.line); (got != "") != tc.want {
				t.Errorf("unclean(%q) says %q", tc.line, got)
			}
			if tc.want && !suspicious(folders, []byte("a line\n"+tc.line+"\nanother\n")) {
				t.Errorf("%q is not suspicious", tc.line)
			}
		})
	}
}

func topFolder(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatalf("%s is not the repository's top: %v", root, err)
	}
	return root
}

// trackedFiles asks git; where there is none (a source archive), every file of the checkout counts but what is built.
func trackedFiles(t *testing.T, root string) []string {
	t.Helper()
	cmd := exec.Command("git", "-c", "safe.directory=*", "ls-files", "-z")
	cmd.Dir = root
	out, err := cmd.Output()
	if err == nil {
		return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	}
	var names []string
	err = filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		switch {
		case entry.IsDir() && (name == "bin" || name == ".git" || name == ".cluster" || entry.Name() == "node_modules"):
			return filepath.SkipDir
		case entry.Type().IsRegular():
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
