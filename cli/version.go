package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	apimachineryversion "k8s.io/apimachinery/pkg/version"
	componentversion "k8s.io/component-base/version"
)

// openAPIPath is the OpenAPI document of the API server's own group. Its version is that of the server. kube-apiserver serves the
// document for every user, while it forwards no /version of an aggregated server.
const openAPIPath = "/openapi/v3/apis/subresources.sharedcloud.io/v1alpha1"

// errNoServerVersion is the error of a server that answers, but does not report its version.
var errNoServerVersion = errors.New("the API server does not report its version")

// buildVersion is what the linker has stamped (hack/ldflags.sh). Without a stamp, as after `go install`, the module's version takes
// its place, and "dev" where there is none either.
func buildVersion() apimachineryversion.Info {
	info := componentversion.Get()
	if !strings.Contains(info.GitVersion, "$Format") {
		return info
	}
	info.GitVersion = "dev"
	if build, ok := debug.ReadBuildInfo(); ok && build.Main.Version != "" && build.Main.Version != "(devel)" {
		info.GitVersion = build.Main.Version
	}
	info.GitCommit, info.GitTreeState, info.BuildDate = "", "", ""
	return info
}

func version() string { return buildVersion().GitVersion }

// versionText is the version of a build on one line.
func versionText(info apimachineryversion.Info) string {
	if info.GitCommit == "" {
		return fmt.Sprintf("%s (%s, %s)", info.GitVersion, info.GoVersion, info.Platform)
	}
	return fmt.Sprintf("%s (commit %s, %s, built %s, %s, %s)",
		info.GitVersion, info.GitCommit, info.GitTreeState, info.BuildDate, info.GoVersion, info.Platform)
}

// versions is what `kubectl function version -o json` prints.
type versions struct {
	Client apimachineryversion.Info `json:"clientVersion"`
	// Server is the version of the operator's API server.
	Server string `json:"serverVersion,omitempty"`
}

func newVersion(o *options) *cobra.Command {
	var clientOnly bool
	var output string
	command := &cobra.Command{
		Use:   "version [--client] [-o json]",
		Short: "Print the versions of the plugin and of the operator's API server",
		Example: `  kubectl function version
  kubectl function version --client -o json`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if output != "" && output != "json" {
				return usageError("-o is %q; it must be json", output)
			}
			found := versions{Client: buildVersion()}
			if output == "" {
				o.out("Client: %s\n", versionText(found.Client))
			}
			var failure error
			if !clientOnly {
				found.Server, failure = o.serverVersion(command.Context())
			}
			switch {
			case output == "json":
				text, err := json.MarshalIndent(found, "", "  ")
				if err != nil {
					return err
				}
				o.out("%s\n", text)
			case found.Server != "":
				o.out("Server: %s\n", found.Server)
			}
			return failure
		},
	}
	command.Flags().BoolVar(&clientOnly, "client", false, "Print the plugin's version only; no cluster is needed.")
	command.Flags().StringVarP(&output, "output", "o", "", "json prints both versions as JSON.")
	return command
}

func (o *options) serverVersion(ctx context.Context) (string, error) {
	_, server, err := o.reach(ctx)
	if err != nil {
		return "", err
	}
	return server.version(ctx)
}

// version reads the version of the API server.
func (s *subresources) version(ctx context.Context) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+openAPIPath, nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Accept", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var document struct {
		Info struct {
			Version string `json:"version"`
		} `json:"info"`
	}
	if response.StatusCode != http.StatusOK {
		return "", clusterError("%w: %s answers %d", errNoServerVersion, openAPIPath, response.StatusCode)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 8<<20)).Decode(&document); err != nil || document.Info.Version == "" {
		return "", clusterError("%w: %s has no info.version", errNoServerVersion, openAPIPath)
	}
	return document.Info.Version, nil
}
