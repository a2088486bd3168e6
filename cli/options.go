package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sharedcloud.io/function-operator/api/printable"
	"sharedcloud.io/function-operator/api/shallow"
	"sharedcloud.io/function-operator/api/v1alpha1"
)

// fieldManager is the name under which the plugin writes.
const fieldManager = "kubectl-function"

// options are what all commands share.
type options struct {
	// streams are what commands write to: characters that steer a terminal are replaced there. raw are the program's own streams, for
	// text that is safe already or goes into a file: the bar, logs, CSV.
	streams, raw genericiooptions.IOStreams
	config       *genericclioptions.ConfigFlags

	// facade is the address of the API server's own port, for a cluster without its aggregated API.
	facade, facadeCA, facadeToken string

	// ran says that a command's own code began.
	ran bool
	// timeout of the command that waits, for the sentence.
	timeout time.Duration
}

func newOptions(streams genericiooptions.IOStreams) *options {
	clean := genericiooptions.IOStreams{In: streams.In, Out: printable.NewWriter(streams.Out), ErrOut: printable.NewWriter(streams.ErrOut)}
	return &options{streams: clean, raw: streams, config: genericclioptions.NewConfigFlags(true)}
}

// flush writes what the streams still hold.
func (o *options) flush() {
	for _, stream := range []any{o.streams.Out, o.streams.ErrOut} {
		if clean, ok := stream.(*printable.Writer); ok {
			_ = clean.Flush()
		}
	}
}

func (o *options) addFlags(flags *pflag.FlagSet) {
	// Those of kubectl that people use; the others are in the kubeconfig.
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.config.AddFlags(all)
	for _, name := range []string{"kubeconfig", "context", "cluster", "user", "namespace", "as", "as-group", "server", "token",
		"certificate-authority", "insecure-skip-tls-verify", "request-timeout"} {
		if flag := all.Lookup(name); flag != nil {
			flags.AddFlag(flag)
			if name != "kubeconfig" && name != "context" && name != "namespace" {
				flag.Hidden = true
			}
		}
	}
	flags.StringVar(&o.facade, "facade", "", "Address of the operator's API server itself (https://HOST), to be asked instead of the cluster's API for inputs, results and logs. Default: $SHAREDCLOUD_URL where the cluster has no aggregated API.")
	flags.StringVar(&o.facadeCA, "facade-ca", "", "File with the authority that vouches for the facade. Default: $SHAREDCLOUD_CA, else the system's.")
	flags.StringVar(&o.facadeToken, "facade-token-file", "", "File with the token for the facade. Default: the kubeconfig's credentials, else $SHAREDCLOUD_TOKEN.")
}

func (o *options) out(format string, args ...any) { _, _ = fmt.Fprintf(o.streams.Out, format, args...) }
func (o *options) say(format string, args ...any) {
	_, _ = fmt.Fprintf(o.streams.ErrOut, format+"\n", args...)
}

// errTimeUp is the cause of a context that --timeout ended.
var errTimeUp = errors.New("--timeout")

func (o *options) withTimeout(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	o.timeout = timeout
	if timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, timeout, errTimeUp)
}

func (o *options) timedOut(err error) bool {
	return o.timeout > 0 && (errors.Is(err, errTimeUp) || errors.Is(err, context.DeadlineExceeded))
}

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err) // two types of one name: a mistake of the programmer
		}
	}
	return scheme
}

// kinds are all that the plugin reads and writes. They are known here, so that no command asks the cluster which it has.
func mapper() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []string{"Function", "FunctionRun", "FunctionImage"} {
		m.Add(v1alpha1.GroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	for _, kind := range []string{"ConfigMap", "Pod", "Event", "ServiceAccount"} {
		m.Add(corev1.SchemeGroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	m.Add(corev1.SchemeGroupVersion.WithKind("Node"), meta.RESTScopeRoot)
	m.Add(corev1.SchemeGroupVersion.WithKind("Namespace"), meta.RESTScopeRoot)
	m.Add(batchv1.SchemeGroupVersion.WithKind("Job"), meta.RESTScopeNamespace)
	m.Add(appsv1.SchemeGroupVersion.WithKind("Deployment"), meta.RESTScopeNamespace)
	m.Add(authenticationv1.SchemeGroupVersion.WithKind("TokenRequest"), meta.RESTScopeNamespace)
	m.Add(authorizationv1.SchemeGroupVersion.WithKind("SelfSubjectAccessReview"), meta.RESTScopeRoot)
	m.Add(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}, meta.RESTScopeRoot)
	m.Add(schema.GroupVersionKind{Group: "apiregistration.k8s.io", Version: "v1", Kind: "APIService"}, meta.RESTScopeRoot)
	m.Add(schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicy"}, meta.RESTScopeRoot)
	m.Add(schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicyBinding"}, meta.RESTScopeRoot)
	return m
}

// cluster is what a command works with.
type cluster struct {
	client.Client
	config    *rest.Config
	namespace string
	o         *options
}

// connect reads the kubeconfig. It asks the cluster nothing.
func (o *options) connect() (*cluster, error) {
	if o.facade != "" && !strings.HasPrefix(o.facade, "https://") {
		return nil, usageError("--facade is %q; it must be an address such as https://functions.example.org: credentials are shown to nobody in the clear", o.facade)
	}
	namespace, _, err := o.config.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, usageError("the kubeconfig cannot be used: %w", err)
	}
	config, err := o.config.ToRESTConfig()
	if err != nil {
		return nil, usageError("the kubeconfig cannot be used: %w. Set KUBECONFIG or --kubeconfig, and --context where it has several.", err)
	}
	if raw, err := o.config.ToRawKubeConfigLoader().RawConfig(); err == nil && len(raw.Clusters) == 0 && config.Host == "http://localhost:8080" {
		return nil, usageError("there is no kubeconfig that says where a cluster is: set KUBECONFIG or --kubeconfig")
	}
	config.QPS, config.Burst = 50, 100
	config.UserAgent = "kubectl-function/" + version()
	config.Wrap(shallow.RoundTripper) // as both components do
	c, err := client.New(config, client.Options{Scheme: newScheme(), Mapper: mapper()})
	if err != nil {
		return nil, usageError("the kubeconfig cannot be used: %w", err)
	}
	return &cluster{Client: client.WithFieldOwner(c, fieldManager), config: config, namespace: namespace, o: o}, nil
}

func (c *cluster) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: c.namespace, Name: name}
}

func (c *cluster) run(ctx context.Context, name string) (*v1alpha1.FunctionRun, error) {
	run := &v1alpha1.FunctionRun{}
	if err := c.Get(ctx, c.key(name), run); err != nil {
		return run, err
	}
	return run, decodable("FunctionRun", run)
}

func (c *cluster) function(ctx context.Context, name string) (*v1alpha1.Function, error) {
	function := &v1alpha1.Function{}
	if err := c.Get(ctx, c.key(name), function); err != nil {
		return function, err
	}
	return function, decodable("Function", function)
}

// decodable refuses an object whose content could not be decoded: it has metadata alone.
func decodable(kind string, object client.Object) error {
	if problem := v1alpha1.DecodeError(object); problem != "" {
		return clusterError("the stored %s %s cannot be decoded: %s; correct it (kubectl edit) or delete it", kind, object.GetName(), problem)
	}
	return nil
}

// facadeConfig is how the facade is reached: its own address and authority, and the kubeconfig's credentials, whose server
// is the same cluster's.
func (c *cluster) facadeConfig(address string) (*rest.Config, error) {
	config := rest.AnonymousClientConfig(c.config)
	config.Host = address
	config.TLSClientConfig = rest.TLSClientConfig{CAFile: firstOf(c.o.facadeCA, os.Getenv("SHAREDCLOUD_CA"))}
	config.Insecure = c.config.Insecure && config.CAFile == "" // who trusts a server blindly did not name an authority
	if config.CAFile != "" {
		if _, err := os.Stat(config.CAFile); err != nil {
			return nil, usageError("the authority of the facade cannot be read: %w. --facade-ca names its file.", err)
		}
	}
	config.UserAgent = c.config.UserAgent
	if c.config.Impersonate.UserName != "" {
		return nil, usageError("--as is for the cluster's API: the facade would take you for yourself. Leave it out, or show another's token by --facade-token-file")
	}
	if c.o.facadeToken != "" {
		if _, err := os.Stat(c.o.facadeToken); err != nil {
			return nil, usageError("the token of the facade cannot be read: %w", err)
		}
		config.BearerTokenFile = c.o.facadeToken
		return config, nil
	}
	own := c.config
	config.BearerToken, config.BearerTokenFile = own.BearerToken, own.BearerTokenFile
	config.ExecProvider, config.AuthProvider = own.ExecProvider, own.AuthProvider
	config.CertFile, config.KeyFile = own.CertFile, own.KeyFile
	config.CertData, config.KeyData = own.CertData, own.KeyData
	nobody := own.BearerToken == "" && own.BearerTokenFile == "" && own.ExecProvider == nil && own.AuthProvider == nil && own.CertFile == "" && own.CertData == nil
	if token := os.Getenv("SHAREDCLOUD_TOKEN"); nobody && token != "" {
		config.BearerToken = token
	}
	return config, nil
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
