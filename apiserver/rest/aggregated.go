package rest

import (
	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	genericapiserver "k8s.io/apiserver/pkg/server"
)

// GroupVersion is the group under which the aggregator forwards to the face. It has no resources: kubectl get functions
// always means the custom resource, and nobody waits for this group to list or to delete.
var GroupVersion = schema.GroupVersion{Group: "rest.sharedcloud.io", Version: "v1"}

// Install puts the face, and the discovery of a group without resources, behind the library's chain of handlers.
func Install(server *genericapiserver.GenericAPIServer, api *API) {
	version := metav1.GroupVersionForDiscovery{GroupVersion: GroupVersion.String(), Version: GroupVersion.Version}
	group := metav1.APIGroup{Name: GroupVersion.Group, Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version}
	server.DiscoveryGroupManager.AddGroup(group)
	server.AggregatedDiscoveryGroupManager.AddGroupVersion(GroupVersion.Group, apidiscoveryv2.APIVersionDiscovery{
		Version: GroupVersion.Version, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent, Resources: []apidiscoveryv2.APIResourceDiscovery{},
	})
	// The library's own container would take all that is below the group's path for itself.
	mux := server.Handler.NonGoRestfulMux
	mux.Handle("/apis/"+GroupVersion.Group, discovery.NewAPIGroupHandler(server.Serializer, group))
	mux.Handle(AggregatedPrefix, discovery.NewAPIVersionHandler(server.Serializer, GroupVersion,
		discovery.APIResourceListerFunc(func() []metav1.APIResource { return []metav1.APIResource{} })))
	mux.HandlePrefix(AggregatedPrefix+"/", api.Aggregated())
}
