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

// workPrefix and restPrefix are the paths of the exchange and of the documented API. The generic server does not know them: they are no API
// groups, have no RequestInfo, and no RBAC rule allows them.
const (
	workPrefix = "/work/v1/"
	restPrefix = "/api"
)

// NewGenericConfig returns the part of the generic server's configuration that needs no flags and no cluster.
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
	// The plugin reads the server's version here: the aggregator serves this document, but not /version.
	config.OpenAPIV3Config.Info.Version = baseversion.Get().GitVersion
	config.EnableIndex = false
	// Nothing is persisted, so the library's admission and conversion between storage versions do not apply.
	config.LongRunningFunc = longRunning
	return config
}

// effectiveVersion separates two versions: the library's feature gates follow its Kubernetes version, and /version reports the operator's.
type effectiveVersion struct {
	basecompatibility.EffectiveVersion
}

// Info implements basecompatibility.EffectiveVersion.
func (effectiveVersion) Info() *apimachineryversion.Info {
	info := baseversion.Get()
	return &info
}

// longRunning selects the requests that bound their own time: streams, some of which must end cleanly before the aggregator's timeout, and
// uploads, which last while data arrives.
func longRunning(_ *http.Request, info *apirequest.RequestInfo) bool {
	return info != nil && info.IsResourceRequest && info.APIGroup == subresources.GroupName &&
		slices.Contains([]string{"results", "log", "run"}, info.Subresource)
}

// withFrontends routes the exchange and the documented API past the generic server's handler chain.
func withFrontends(exchange, documented http.Handler) func(http.Handler, *genericapiserver.Config) http.Handler {
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
