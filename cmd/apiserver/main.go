// Command apiserver is the extension API server: the exchange for workers, the aggregated API and the Functions API for clients.
// Its subcommand store copies, exports and imports outcome stores.
package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/featuregate"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	_ "k8s.io/component-base/logs/json/register"
	"k8s.io/component-base/metrics/legacyregistry"

	"sharedcloud.io/function-operator/apiserver"
	"sharedcloud.io/function-operator/apiserver/options"
	"sharedcloud.io/function-operator/cmd/internal/buildinfo"
	"sharedcloud.io/function-operator/cmd/internal/verbosity"
)

func main() {
	os.Exit(cli.Run(newCommand(genericapiserver.SetupSignalContext())))
}

func newCommand(ctx context.Context) *cobra.Command {
	o := options.New()
	logging := logsapi.NewLoggingConfiguration()
	features := featuregate.NewFeatureGate()
	command := &cobra.Command{
		Use:           "apiserver",
		Short:         "Serves the work exchange and subresources.sharedcloud.io",
		Version:       buildinfo.Text(),
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(*cobra.Command, []string) error {
			verbosity.ClampConfiguration(logging)
			if err := logsapi.ValidateAndApply(logging, features); err != nil {
				return err
			}
			if err := o.Validate(); err != nil {
				return err
			}
			config, err := o.Config(ctx)
			if err != nil {
				return err
			}
			legacyregistry.RawMustRegister(buildinfo.Metric("apiserver"))
			server, err := apiserver.New(config)
			if err != nil {
				return err
			}
			return server.Run(ctx)
		},
	}
	command.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	logs.InitLogs()
	if err := logsapi.AddFeatureGates(features); err != nil {
		panic(err) // two feature gates of one name: a programming error
	}
	logsapi.AddFlags(logging, command.Flags())
	o.AddFlags(command.Flags())
	command.AddCommand(newStoreCommand(ctx))
	return command
}
