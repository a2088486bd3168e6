// Package subresources is the frontend subresources.sharedcloud.io/v1alpha1 behind the aggregator: operations for users of
// kubectl that custom resources cannot provide, as connect subresources of Functions and FunctionRuns.
//
//	api.go      the API group with its discovery
//	results.go  functionruns/results: outcomes in order (query.go: the request; stream.go, outcome.go, csv.go: the response)
//	log.go      functionruns/log: the output of inputs
//	run.go      functions/run: creates a run with the inputs in the body (charged.go: their memory)
//	rerun.go    functionruns/rerun: creates a run of the inputs that did not succeed
//	cancel.go   functionruns/cancel
//	slots.go    limits on concurrent requests
//
// What must not be here: authorization (package identity), how objects are read (package core) or written (package writes),
// and the store (package outcomes).
package subresources

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"

	"sharedcloud.io/function-operator/apiserver/identity"
)

// GroupName is the API group of this frontend. An APIService owns a whole group and version, so it differs from that of the
// CRDs.
const GroupName = "subresources.sharedcloud.io"

// GroupVersion is the group and version of this frontend.
var GroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}

// Rules are the rights on the custom resources that each subresource requires.
var Rules = map[string][]identity.Rule{
	"functionruns/results": {getRun},
	"functionruns/log":     {getRun},
	"functionruns/rerun":   {getRun, createRun},
	"functionruns/cancel":  {{Verb: "patch", Resource: "functionruns"}},
	"functions/run":        {{Verb: "get", Resource: "functions"}, createRun},
}

var (
	getRun    = identity.Rule{Verb: "get", Resource: "functionruns"}
	createRun = identity.Rule{Verb: "create", Resource: "functionruns"}
)

const (
	kindRun      = "FunctionRun"
	kindFunction = "Function"
)

// NewScheme returns the types of this frontend: those of discovery and of errors. The responses of the subresources are not
// API objects, and of the custom resources that they belong to only the metadata is known.
func NewScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	scheme.AddUnversionedTypes(schema.GroupVersion{Version: "v1"},
		&metav1.Status{}, &metav1.APIVersions{}, &metav1.APIGroupList{}, &metav1.APIGroup{}, &metav1.APIResourceList{})
	for _, kind := range []string{kindRun, kindFunction} {
		scheme.AddKnownTypeWithName(GroupVersion.WithKind(kind), &metav1.PartialObjectMetadata{})
	}
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return scheme
}

// Storages are the subresources.
type Storages struct {
	Results *Results
	Log     *Log
	Rerun   *Rerun
	Cancel  *Cancel
	Run     *Run
}

// Group is installed in the generic API server.
func Group(storages Storages) *genericapiserver.APIGroupInfo {
	scheme := NewScheme()
	group := genericapiserver.NewDefaultAPIGroupInfo(GroupName, scheme, runtime.NewParameterCodec(scheme), serializer.NewCodecFactory(scheme))
	group.VersionedResourcesStorageMap[GroupVersion.Version] = map[string]rest.Storage{
		"functionruns":         parent{storage{kindRun}},
		"functionruns/results": storages.Results,
		"functionruns/log":     storages.Log,
		"functionruns/rerun":   storages.Rerun,
		"functionruns/cancel":  storages.Cancel,
		"functions":            parent{storage{kindFunction}},
		"functions/run":        storages.Run,
	}
	return &group
}

// storage is common to the subresources of a kind.
type storage struct{ kind string }

var _ rest.GroupVersionKindProvider = storage{}

// New implements rest.Storage.
func (storage) New() runtime.Object { return &metav1.PartialObjectMetadata{} }

// Destroy implements rest.Storage.
func (storage) Destroy() {}

// GroupVersionKind implements rest.GroupVersionKindProvider: the Go type is the same for all kinds.
func (s storage) GroupVersionKind(schema.GroupVersion) schema.GroupVersionKind {
	return GroupVersion.WithKind(s.kind)
}

// NewConnectOptions implements rest.Connecter. The handlers parse the parameters, because some depend on headers.
func (storage) NewConnectOptions() (runtime.Object, bool, string) { return nil, false, "" }

// parent is the resource that the subresources belong to. It has no verbs, in particular not list and delete: if an
// aggregated API advertises these and then does not answer, no namespace in the cluster can be deleted.
type parent struct{ storage }

var (
	_ rest.Storage              = parent{}
	_ rest.Scoper               = parent{}
	_ rest.SingularNameProvider = parent{}
)

// NamespaceScoped implements rest.Scoper.
func (parent) NamespaceScoped() bool { return true }

// GetSingularName implements rest.SingularNameProvider.
func (p parent) GetSingularName() string { return strings.ToLower(p.kind) }
