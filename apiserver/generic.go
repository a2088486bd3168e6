package apiserver

import (
	"net/http"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/endpoints/openapi"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/util/compatibility"
	utilfeature "k8s.io/apiserver/pkg/util/feature"

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
	config.EffectiveVersion = compatibility.DefaultBuildEffectiveVersion()
	config.FeatureGate = utilfeature.DefaultFeatureGate
	namer := openapi.NewDefinitionNamer(scheme)
	config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(openAPIDefinitions, namer)
	config.OpenAPIConfig.Info.Title = "SharedCloud"
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(openAPIDefinitions, namer)
	config.OpenAPIV3Config.Info.Title = "SharedCloud"
	config.EnableIndex = false
	// Nothing is persisted, so nothing need be admitted, and nobody's request is retried against another storage version.
	config.LongRunningFunc = longRunning
	return config
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
