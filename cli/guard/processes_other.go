//go:build unix && !linux

package guard

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

func ownExecutable() (string, error) { return os.Executable() }

func adoptOrphans() {}

func endWithParent(*syscall.SysProcAttr) {}

// below returns the processes below the root, and those of the noted process groups.
func below(root int, groups map[int]bool) []int {
	command := exec.Command("ps", "-A", "-o", "pid=,ppid=,pgid=,stat=")
	text, err := command.Output()
	if err != nil {
		return nil
	}
	var all []entry
	for line := range strings.Lines(string(text)) {
		var e entry
		var state string
		if _, err := fmt.Sscan(line, &e.pid, &e.parent, &e.group, &state); err == nil && !strings.HasPrefix(state, "Z") && e.pid != command.Process.Pid {
			all = append(all, e)
		}
	}
	return tree(all, root, groups)
}
