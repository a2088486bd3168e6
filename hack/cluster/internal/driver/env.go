package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"sharedcloud.io/function-operator/hack/cluster/internal/api"
	"sharedcloud.io/function-operator/hack/cluster/internal/layout"
	"sharedcloud.io/function-operator/hack/cluster/internal/node"
)

// Where the operator's installation keeps what callers need.
const (
	operatorNamespace = "sharedcloud-system"
	caConfigMap       = "sharedcloud-ca"
	callerNamespace   = "default"
	callerAccount     = "caller"
	tokenSeconds      = 24 * 60 * 60
)

// export is one line of the environment.
type export struct{ name, value string }

// Env prints shell exports that make a shell use the cluster.
func (d *Driver) Env(ctx context.Context, c layout.Cluster) error {
	spec, state, err := d.running(c)
	if err != nil {
		return err
	}
	exports := []export{
		{"KUBECONFIG", c.Kubeconfig()},
		// kubectl caches what a server offers under its address, and the next
		// cluster may get the same port.
		{"KUBECACHEDIR", c.Path("kubectl-cache")},
		{"KUBEBUILDER_ASSETS", d.Repo.Assets()},
		{"SHAREDCLOUD_URL", fmt.Sprintf("https://127.0.0.1:%d", state.RESTPort)},
	}
	cl, err := client(spec, state)
	if err != nil {
		return err
	}
	operator, missing, err := operatorExports(ctx, cl, c)
	if err != nil {
		return err
	}
	printExports(d.Out, append(exports, operator...), []string{d.Repo.Bin(), d.Repo.Assets()})
	if missing != "" {
		// Not on standard output: that is eval'ed.
		d.Report.Line("# The operator is not installed yet (%s); ask again when it is, for SHAREDCLOUD_CA and SHAREDCLOUD_TOKEN.", missing)
	}
	return nil
}

// operatorExports are those that need the operator; missing says what there
// isn't of it.
func operatorExports(ctx context.Context, cl *api.Client, c layout.Cluster) (exports []export, missing string, err error) {
	var ca struct{ Data map[string]string }
	err = cl.Get(ctx, "/api/v1/namespaces/"+operatorNamespace+"/configmaps/"+caConfigMap, &ca)
	switch {
	case errors.Is(err, api.ErrNotFound) || err == nil && ca.Data["ca.crt"] == "":
		missing = fmt.Sprintf("no ConfigMap %s in %s", caConfigMap, operatorNamespace)
	case err != nil:
		return nil, "", err
	default:
		if err := node.WriteFile(c.CAFile(), []byte(ca.Data["ca.crt"]), 0o644); err != nil {
			return nil, "", err
		}
		exports = append(exports, export{"SHAREDCLOUD_CA", c.CAFile()})
	}
	var token struct{ Status struct{ Token string } }
	err = cl.Post(ctx, "/api/v1/namespaces/"+callerNamespace+"/serviceaccounts/"+callerAccount+"/token", map[string]any{
		"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
		"spec": map[string]any{"expirationSeconds": tokenSeconds},
	}, &token)
	switch {
	case errors.Is(err, api.ErrNotFound):
		missing = fmt.Sprintf("no ServiceAccount %s in %s", callerAccount, callerNamespace)
	case err != nil:
		return nil, "", err
	default:
		exports = append(exports, export{"SHAREDCLOUD_TOKEN", token.Status.Token})
	}
	return exports, missing, nil
}

func printExports(out io.Writer, exports []export, path []string) {
	for _, e := range exports {
		fmt.Fprintf(out, "export %s=%s\n", e.name, quote(e.value))
	}
	fmt.Fprintf(out, "export PATH=%s:\"$PATH\"\n", quote(strings.Join(path, ":")))
}

// quote makes one shell word of any text.
func quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
