// Command pause is the first process of a pod's sandbox: it holds the pod's
// namespaces, reaps what is orphaned in them when the pod's containers share
// the process namespace, and exits on a signal. One runs per pod and each pod
// waits for its start, so it imports next to nothing and is a program of its
// own.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// A process 1 has no default actions: what isn't caught never arrives.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGCHLD, syscall.SIGINT, syscall.SIGTERM)
	for s := range signals {
		if s != syscall.SIGCHLD {
			os.Exit(0)
		}
		reap()
	}
}

// reap waits for every child that has ended: several may share one signal.
func reap() {
	for {
		if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err != syscall.EINTR && pid <= 0 {
			return
		}
	}
}
