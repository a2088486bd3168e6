package rest

import (
	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	genericapiserver "k8s.io/apiserver/pkg/server"
)

// GroupVersion is the API group whose requests the aggregator forwards to REST. It has no resources, so that kubectl get functions always
// means the custom resource, and clients that list or delete every resource ignore the group.
var GroupVersion = schema.GroupVersion{Group: "rest.sharedcloud.io", Version: "v1"}

// Install installs REST and the discovery of its empty group behind the generic server's handler chain.
func Install(server *genericapiserver.GenericAPIServer, api *API) {
	version := metav1.GroupVersionForDiscovery{GroupVersion: GroupVersion.String(), Version: GroupVersion.Version}
	group := metav1.APIGroup{Name: GroupVersion.Group, Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version}
	server.DiscoveryGroupManager.AddGroup(group)
	server.AggregatedDiscoveryGroupManager.AddGroupVersion(GroupVersion.Group, apidiscoveryv2.APIVersionDiscovery{
		Version: GroupVersion.Version, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent, Resources: []apidiscoveryv2.APIResourceDiscovery{},
	})
	// The generic server's own installer would handle every path below the group.
	mux := server.Handler.NonGoRestfulMux
	mux.Handle("/apis/"+GroupVersion.Group, discovery.NewAPIGroupHandler(server.Serializer, group))
	mux.Handle(AggregatedPrefix, discovery.NewAPIVersionHandler(server.Serializer, GroupVersion,
		discovery.APIResourceListerFunc(func() []metav1.APIResource { return []metav1.APIResource{} })))
	mux.HandlePrefix(AggregatedPrefix+"/", api.Aggregated())
}
