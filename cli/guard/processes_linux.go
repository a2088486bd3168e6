package guard

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownExecutable is this program, also if its file was replaced.
func ownExecutable() (string, error) { return "/proc/self/exe", nil }

// adoptOrphans makes the guard the parent of processes below it whose parent has ended.
func adoptOrphans() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// endWithParent makes the kernel kill the program if the guard ends first.
func endWithParent(attributes *syscall.SysProcAttr) { attributes.Pdeathsig = syscall.SIGKILL }

// below returns the processes below the root that have not ended. As the parent of orphans, the guard needs no process groups to find them.
func below(root int, _ map[int]bool) []int {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	var all []entry
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		var e entry
		var state string
		// PID (NAME) STATE PARENT GROUP …; the name may contain anything.
		end := bytes.LastIndexByte(text, ')')
		if _, err := fmt.Sscanf(string(text[end+1:]), "%s %d %d", &state, &e.parent, &e.group); err != nil || state == "Z" || state == "X" {
			continue
		}
		if _, err := fmt.Sscanf(string(text), "%d", &e.pid); err == nil {
			all = append(all, e)
		}
	}
	return tree(all, root, nil)
}
