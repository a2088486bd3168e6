package apiserver

import (
	"net/http"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/serializer"
	apimachineryversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/endpoints/openapi"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	basecompatibility "k8s.io/component-base/compatibility"
	baseversion "k8s.io/component-base/version"

	"sharedcloud.io/function-operator/apiserver/subresources"
)

// workPrefix and restPrefix are the paths of the exchange and of the documented API. They are nothing to the library: no
// API group, no RequestInfo that says so, and no rule of RBAC lets anybody in.
const (
	workPrefix = "/work/v1/"
	restPrefix = "/api"
)

// NewGenericConfig is the configuration of the library's server, as far as no flags and no cluster are needed for it.
func NewGenericConfig() *genericapiserver.Config {
	scheme := subresources.NewScheme()
	config := genericapiserver.NewConfig(serializer.NewCodecFactory(scheme))
	config.EffectiveVersion = effectiveVersion{basecompatibility.NewEffectiveVersionFromString(baseversion.DefaultKubeBinaryVersion, "", "")}
	config.FeatureGate = utilfeature.DefaultFeatureGate
	namer := openapi.NewDefinitionNamer(scheme)
	config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(openAPIDefinitions, namer)
	config.OpenAPIConfig.Info.Title = "SharedCloud"
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(openAPIDefinitions, namer)
	config.OpenAPIV3Config.Info.Title = "SharedCloud"
	// The plugin reads the server's version here: the aggregator serves this document, but no /version of an aggregated server.
	config.OpenAPIV3Config.Info.Version = baseversion.Get().GitVersion
	config.EnableIndex = false
	// Nothing is persisted, so nothing need be admitted, and nobody's request is retried against another storage version.
	config.LongRunningFunc = longRunning
	return config
}

// effectiveVersion separates two versions: the library's features follow the version of Kubernetes that it was taken from, and
// /version reports the operator's own.
type effectiveVersion struct {
	basecompatibility.EffectiveVersion
}

// Info implements basecompatibility.EffectiveVersion.
func (effectiveVersion) Info() *apimachineryversion.Info {
	info := baseversion.Get()
	return &info
}

// longRunning says which requests bound their own time: streams, of which those that the aggregator cuts off end cleanly
// before it does, and uploads, which take as long as something comes.
func longRunning(_ *http.Request, info *apirequest.RequestInfo) bool {
	return info != nil && info.IsResourceRequest && info.APIGroup == subresources.GroupName &&
		slices.Contains([]string{"results", "log", "run"}, info.Subresource)
}

// withOwnFaces gives the exchange and the documented API a chain of handlers of their own, in front of the library's.
func withOwnFaces(exchange, documented http.Handler) func(http.Handler, *genericapiserver.Config) http.Handler {
	return func(api http.Handler, config *genericapiserver.Config) http.Handler {
		others := quiet(genericapiserver.DefaultBuildHandlerChain(bounded(api), config))
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch path := r.URL.Path; {
			case strings.HasPrefix(path, workPrefix):
				exchange.ServeHTTP(w, r)
			case path == restPrefix || strings.HasPrefix(path, restPrefix+"/"):
				documented.ServeHTTP(w, r)
			default:
				others.ServeHTTP(w, r)
			}
		})
	}
}
