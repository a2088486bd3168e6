package driver

import (
	"errors"
	"strings"
	"testing"
)

func fine() machine {
	return machine{
		os: "linux", uid: 0, root: "/home/me/src",
		freeBytes: func() (int64, error) { return 50 << 30, nil },
		lookPath:  func(string) error { return nil },
	}
}

func without(name string) func(string) error {
	return func(asked string) error {
		if asked == name {
			return errors.New("not found")
		}
		return nil
	}
}

func TestWhatIsMissingIsSaidWithWhatToDo(t *testing.T) {
	tests := map[string]struct {
		change func(*machine)
		want   string // "" for none
	}{
		"nothing":              {func(*machine) {}, ""},
		"another system":       {func(m *machine) { m.os = "darwin" }, "use a Linux machine"},
		"no compiler":          {func(m *machine) { m.lookPath = without("go") }, "install Go 1.26"},
		"a full disk":          {func(m *machine) { m.freeBytes = func() (int64, error) { return 2 << 30, nil } }, "only 2.0 GB are free on the disk of /home/me/src, and 6 GB are needed"},
		"not root":             {func(m *machine) { m.uid = 1000 }, "with sudo"},
		"a package's program":  {func(m *machine) { m.lookPath = without("ip") }, "`apt-get install iproute2`"},
		"no Debian":            {func(m *machine) { m.lookPath = without("dpkg-deb") }, "use Debian"},
		"a covered folder":     {func(m *machine) { m.root = "/var/lib/ci/src" }, "lies in /var/lib,"},
		"a folder with a like": {func(m *machine) { m.root = "/running/src" }, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			m := fine()
			tc.change(&m)
			err := errors.Join(m.checkBuild(false), m.checkCluster())
			if (err != nil) != (tc.want != "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestASecondBuildNeedsLessDisk(t *testing.T) {
	m := fine()
	m.freeBytes = func() (int64, error) { return 2 << 30, nil }
	if err := m.checkBuild(true); err != nil {
		t.Error(err)
	}
}
