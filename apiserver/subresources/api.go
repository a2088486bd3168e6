// Package subresources is the aggregated face subresources.sharedcloud.io/v1alpha1: what users of kubectl need and a
// custom resource cannot give, as connect subresources of FunctionRuns.
//
// What lives here: the API group with its discovery and OpenAPI, the subresource functionruns/results, and how an
// outcome is written as JSON. What must not: who may do it (package identity), what a run is (package core), what the
// store is (package outcomes).
package subresources

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
)

// GroupName is the API group of this face. An APIService owns a whole group and version, so it is not the CRDs' own.
const GroupName = "subresources.sharedcloud.io"

// GroupVersion is the group and version of this face.
var GroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}

// Verbs says which verb on the custom resource each subresource stands for.
var Verbs = map[string]string{"functionruns/results": "get"}

// NewScheme returns the types that this face speaks: those of discovery and of errors. What its subresources answer is
// no API object, and what they belong to is the custom resource, of which this face knows no more than metadata.
func NewScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	scheme.AddUnversionedTypes(schema.GroupVersion{Version: "v1"},
		&metav1.Status{}, &metav1.APIVersions{}, &metav1.APIGroupList{}, &metav1.APIGroup{}, &metav1.APIResourceList{})
	scheme.AddKnownTypeWithName(GroupVersion.WithKind("FunctionRun"), &metav1.PartialObjectMetadata{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return scheme
}

// Group is what the generic API server installs.
func Group(results *Results) *genericapiserver.APIGroupInfo {
	scheme := NewScheme()
	group := genericapiserver.NewDefaultAPIGroupInfo(GroupName, scheme, runtime.NewParameterCodec(scheme), serializer.NewCodecFactory(scheme))
	group.VersionedResourcesStorageMap[GroupVersion.Version] = map[string]rest.Storage{
		"functionruns":         parent{},
		"functionruns/results": results,
	}
	return &group
}

// parent is what the subresources belong to. It has no verbs, above all not list and delete: an aggregated kind that
// advertises these and then does not answer stops the deletion of every namespace in the cluster.
type parent struct{}

var (
	_ rest.Storage              = parent{}
	_ rest.Scoper               = parent{}
	_ rest.SingularNameProvider = parent{}
)

// New implements rest.Storage.
func (parent) New() runtime.Object { return &metav1.PartialObjectMetadata{} }

// Destroy implements rest.Storage.
func (parent) Destroy() {}

// NamespaceScoped implements rest.Scoper.
func (parent) NamespaceScoped() bool { return true }

// GetSingularName implements rest.SingularNameProvider.
func (parent) GetSingularName() string { return "functionrun" }
