// Package subresources is the frontend subresources.sharedcloud.io/v1alpha1 behind the aggregator: what users of kubectl need and
// custom resources cannot provide, as connect subresources of Functions and FunctionRuns.
//
//	api.go            the API group with its discovery
//	results.go        functionruns/results: outcomes in order (query.go: what is asked for, stream.go, outcome.go, csv.go: the answer)
//	log.go            functionruns/log: what inputs printed
//	run.go            functions/run: inputs come in, a run comes out
//	rerun.go          functionruns/rerun: a new run of what did not succeed
//	cancel.go         functionruns/cancel
//
// What lives here: the subresources, and how their answers are written. What must not be here: who may call (package identity), how objects are
// found (package core) or written (package writes), and the store (package outcomes).
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

// GroupName is the API group of this face. An APIService owns a whole group and version, so it is not the CRDs' own.
const GroupName = "subresources.sharedcloud.io"

// GroupVersion is the group and version of this face.
var GroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}

// Rules says which rights on the custom resources each subresource takes.
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

// NewScheme returns the types that this face speaks: those of discovery and of errors. What its subresources answer is
// no API object, and what they belong to is the custom resource, of which this face knows no more than metadata.
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

// Group is what the generic API server installs.
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

// storage is what all have in common that belong to objects of a kind.
type storage struct{ kind string }

var _ rest.GroupVersionKindProvider = storage{}

// New implements rest.Storage.
func (storage) New() runtime.Object { return &metav1.PartialObjectMetadata{} }

// Destroy implements rest.Storage.
func (storage) Destroy() {}

// GroupVersionKind implements rest.GroupVersionKindProvider: the type alone does not tell.
func (s storage) GroupVersionKind(schema.GroupVersion) schema.GroupVersionKind {
	return GroupVersion.WithKind(s.kind)
}

// NewConnectOptions implements rest.Connecter. The parameters are read by the handlers, which know the headers too.
func (storage) NewConnectOptions() (runtime.Object, bool, string) { return nil, false, "" }

// parent is what the subresources belong to. It has no verbs, above all not list and delete: an aggregated kind that
// advertises these and then does not answer stops the deletion of every namespace in the cluster.
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
