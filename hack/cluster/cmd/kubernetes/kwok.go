package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
	nodestages "sigs.k8s.io/kwok/kustomize/stage/node/fast"
	podstages "sigs.k8s.io/kwok/kustomize/stage/pod/fast"
	"sigs.k8s.io/kwok/pkg/config"
	kwokcmd "sigs.k8s.io/kwok/pkg/kwok/cmd"
	"sigs.k8s.io/kwok/pkg/log"
	"sigs.k8s.io/kwok/pkg/utils/signals"
)

// kwok plays nodes whose pods need not really run.
func kwok() {
	// The packages of the other programs have put flags of their own on the
	// process-wide set, which KWOK's command would take over and clash with.
	pflag.CommandLine = pflag.NewFlagSet("kwok", pflag.ContinueOnError)

	if !configured(os.Args[1:]) {
		path, err := usualStages()
		if err != nil {
			fail("kwok", err)
		}
		os.Args = append(os.Args, "--config="+path)
	}

	// KWOK reads its configuration files before its command exists: the flags
	// that name them are parsed first, on their own.
	early := pflag.NewFlagSet("global", pflag.ContinueOnError)
	early.ParseErrorsAllowlist.UnknownFlags = true
	early.Usage = func() {}
	ctx, logger := log.InitFlags(signals.SetupSignalContext(), early)
	ctx, err := config.InitFlags(ctx, early)
	if err != nil {
		logger.Error("Reading the configuration", "err", err)
		os.Exit(1)
	}

	command := kwokcmd.NewCommand(ctx)
	command.PersistentFlags().AddFlagSet(early)
	if err := command.ExecuteContext(ctx); err != nil {
		logger.Error("Running", "err", err)
		os.Exit(1)
	}
}

// configured reports whether the arguments name a configuration.
func configured(args []string) bool {
	return slices.ContainsFunc(args, func(arg string) bool {
		return strings.HasPrefix(arg, "--config") || strings.HasPrefix(arg, "-c")
	})
}

// usualStages returns a file that says what nodes and pods go through unless
// configured otherwise: nodes become ready, pods run and those of Jobs complete. KWOK
// does nothing without such a file, and this one lives in memory only.
func usualStages() (string, error) {
	fd, err := unix.MemfdCreate("kwok-stages", 0)
	if err != nil {
		return "", os.NewSyscallError("memfd_create", err)
	}
	stages := strings.Join([]string{
		nodestages.DefaultNodeInit, podstages.DefaultPodReady, podstages.DefaultPodComplete, podstages.DefaultPodDelete,
	}, "\n---\n")
	if _, err := unix.Write(fd, []byte(stages)); err != nil {
		return "", os.NewSyscallError("write", err)
	}
	return fmt.Sprintf("/proc/self/fd/%d", fd), nil
}
