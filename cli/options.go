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
	// streams are what commands write to: they escape control characters. raw are the program's own streams, for text that is
	// already safe, or that goes to a file: the progress bar, logs, CSV.
	streams, raw genericiooptions.IOStreams
	config       *genericclioptions.ConfigFlags

	// serverURL is the address of the operator's API server, for a cluster without its aggregated API. serverCA and serverToken are
	// files.
	serverURL, serverCA, serverToken string

	// ran reports whether the command's own code has started.
	ran bool
	// timeout is the value of --timeout, for messages.
	timeout time.Duration
}

func newOptions(streams genericiooptions.IOStreams) *options {
	clean := genericiooptions.IOStreams{In: streams.In, Out: printable.NewWriter(streams.Out), ErrOut: printable.NewWriter(streams.ErrOut)}
	return &options{streams: clean, raw: streams, config: genericclioptions.NewConfigFlags(true)}
}

// flush writes what the streams have buffered.
func (o *options) flush() {
	for _, stream := range []any{o.streams.Out, o.streams.ErrOut} {
		if clean, ok := stream.(*printable.Writer); ok {
			_ = clean.Flush()
		}
	}
}

func (o *options) addFlags(flags *pflag.FlagSet) {
	// Flags of kubectl. Those that are rarely used are hidden.
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
	flags.StringVar(&o.serverURL, "functions-server", "", "Address of the operator's API server (https://HOST), to use instead of the cluster's API for inputs, results and logs. Default: $SHAREDCLOUD_URL if the cluster has no aggregated API.")
	flags.StringVar(&o.serverCA, "functions-server-ca", "", "File with the certificate authority of --functions-server. Default: $SHAREDCLOUD_CA, or else the system's authorities.")
	flags.StringVar(&o.serverToken, "functions-server-token-file", "", "File with the token for --functions-server. Default: the kubeconfig's credentials, or else $SHAREDCLOUD_TOKEN.")
}

// out prints for scripts, to standard output.
func (o *options) out(format string, args ...any) { _, _ = fmt.Fprintf(o.streams.Out, format, args...) }

// notify prints a line for users, to standard error.
func (o *options) notify(format string, args ...any) {
	_, _ = fmt.Fprintf(o.streams.ErrOut, format+"\n", args...)
}

// errTimeout is the cause of a context that ended because of --timeout.
var errTimeout = errors.New("--timeout")

func (o *options) withTimeout(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	o.timeout = timeout
	if timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, timeout, errTimeout)
}

func (o *options) timedOut(err error) bool {
	return o.timeout > 0 && (errors.Is(err, errTimeout) || errors.Is(err, context.DeadlineExceeded))
}

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err) // two types of one name: a bug
		}
	}
	return scheme
}

// mapper has the kinds that the plugin reads and writes, so that no command needs discovery.
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

// cluster is a client of the cluster, for one namespace.
type cluster struct {
	client.Client
	config    *rest.Config
	namespace string
	o         *options
}

// connect reads the kubeconfig. It sends no request.
func (o *options) connect() (*cluster, error) {
	if o.serverURL != "" && !strings.HasPrefix(o.serverURL, "https://") {
		return nil, usageError("--functions-server is %q; it must be an https:// address such as https://functions.example.org, because requests carry credentials", o.serverURL)
	}
	namespace, _, err := o.config.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, usageError("the kubeconfig is not valid: %w", err)
	}
	config, err := o.config.ToRESTConfig()
	if err != nil {
		return nil, usageError("the kubeconfig is not valid: %w: set KUBECONFIG or --kubeconfig, and --context if it has several contexts", err)
	}
	if raw, err := o.config.ToRawKubeConfigLoader().RawConfig(); err == nil && len(raw.Clusters) == 0 && config.Host == "http://localhost:8080" {
		return nil, usageError("no kubeconfig names a cluster: set KUBECONFIG or --kubeconfig")
	}
	config.QPS, config.Burst = 50, 100
	config.UserAgent = "kubectl-function/" + version()
	config.Wrap(shallow.RoundTripper) // as both components do
	c, err := client.New(config, client.Options{Scheme: newScheme(), Mapper: mapper()})
	if err != nil {
		return nil, usageError("the kubeconfig is not valid: %w", err)
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

// decodable returns an error for an object whose content cannot be decoded, which has only metadata.
func decodable(kind string, object client.Object) error {
	if problem := v1alpha1.DecodeError(object); problem != "" {
		return clusterError("the stored %s %s cannot be decoded: %s; correct it (kubectl edit) or delete it", kind, object.GetName(), problem)
	}
	return nil
}

// directConfig is the configuration for the operator's API server: its own address and certificate authority, with the credentials
// of the kubeconfig.
func (c *cluster) directConfig(address string) (*rest.Config, error) {
	config := rest.AnonymousClientConfig(c.config)
	config.Host = address
	config.TLSClientConfig = rest.TLSClientConfig{CAFile: firstOf(c.o.serverCA, os.Getenv("SHAREDCLOUD_CA"))}
	config.Insecure = c.config.Insecure && config.CAFile == "" // a certificate authority excludes it
	if config.CAFile != "" {
		if _, err := os.Stat(config.CAFile); err != nil {
			return nil, usageError("cannot read the certificate authority of the operator's API server: %w: check --functions-server-ca", err)
		}
	}
	config.UserAgent = c.config.UserAgent
	if c.config.Impersonate.UserName != "" {
		return nil, usageError("--as works only with the cluster's API: omit it, or pass another user's token with --functions-server-token-file")
	}
	if c.o.serverToken != "" {
		if _, err := os.Stat(c.o.serverToken); err != nil {
			return nil, usageError("cannot read the token for the operator's API server: %w", err)
		}
		config.BearerTokenFile = c.o.serverToken
		return config, nil
	}
	own := c.config
	config.BearerToken, config.BearerTokenFile = own.BearerToken, own.BearerTokenFile
	config.ExecProvider, config.AuthProvider = own.ExecProvider, own.AuthProvider
	config.CertFile, config.KeyFile = own.CertFile, own.KeyFile
	config.CertData, config.KeyData = own.CertData, own.KeyData
	anonymous := own.BearerToken == "" && own.BearerTokenFile == "" && own.ExecProvider == nil && own.AuthProvider == nil && own.CertFile == "" && own.CertData == nil
	if token := os.Getenv("SHAREDCLOUD_TOKEN"); anonymous && token != "" {
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
