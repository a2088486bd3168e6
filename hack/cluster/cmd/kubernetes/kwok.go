package main

import (
	"os"

	"github.com/spf13/pflag"
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
