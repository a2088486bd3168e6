package sandbox

import (
	"bufio"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHierarchies(t *testing.T) {
	tests := map[string]struct {
		mounts   string
		want     []string
		version2 bool
		fails    bool
	}{
		"version 1": {
			mounts: "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n",
			want:   []string{"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/memory"},
		},
		"both: version 2 has no controllers": {
			mounts: "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n",
			want:   []string{"/sys/fs/cgroup/cpu"},
		},
		"version 2": {
			mounts: "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n",
			want:   []string{"/sys/fs/cgroup"}, version2: true,
		},
		"none": {mounts: "proc /proc proc rw 0 0\n", fails: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, version2, err := parseHierarchies(bufio.NewScanner(strings.NewReader(tc.mounts)))
			if (err != nil) != tc.fails || version2 != tc.version2 {
				t.Fatalf("version 2: %t, error: %v", version2, err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("hierarchies (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRemoveTreeGoesFromTheLeavesUp(t *testing.T) {
	top := filepath.Join(t.TempDir(), "top")
	if err := os.MkdirAll(filepath.Join(top, "a", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 { // gone is fine too
		if err := removeTree(top); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(top); !os.IsNotExist(err) {
		t.Errorf("it's still there: %v", err)
	}
}

func TestAProcessThatEndsAtOnceIsReaped(t *testing.T) {
	r := newReaper()
	_, ended, err := r.start("/bin/sh", []string{"sh", "-c", "exit 3"}, &syscall.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	go r.run()
	select {
	case status := <-ended:
		if status.ExitStatus() != 3 {
			t.Errorf("exit status %d", status.ExitStatus())
		}
	case <-time.After(time.Minute):
		t.Fatal("its exit was never reported")
	}
}

func TestCarryPassesOnEachEndByItself(t *testing.T) {
	outerClient, outerServer := pair(t)
	innerClient, innerServer := pair(t)
	go carry(outerServer, innerClient)

	// The server answers only once it has seen the end of the request.
	go func() {
		request, _ := io.ReadAll(innerServer)
		_, _ = innerServer.Write(append([]byte("got "), request...))
		_ = innerServer.Close()
	}()
	if _, err := outerClient.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := outerClient.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(outerClient)
	if err != nil || string(answer) != "got hello" {
		t.Errorf("answer %q, %v", answer, err)
	}
}

// pair returns both ends of a connection.
func pair(t *testing.T) (client, server *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	dialled, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, conn := range []net.Conn{dialled, accepted} {
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		t.Cleanup(func() { _ = conn.Close() })
	}
	return dialled.(*net.TCPConn), accepted.(*net.TCPConn)
}

func TestATakenPortIsReplacedByAFreeOne(t *testing.T) {
	taken, err := listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	other, err := listen(port(taken))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if port(other) == port(taken) {
		t.Error("two listen on one port")
	}
}
