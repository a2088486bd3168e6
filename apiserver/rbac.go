package apiserver

// What the API server may do by itself. That it may ask who calls and what he may do comes from the ClusterRole
// system:auth-delegator, and how to know the aggregator from the Role extension-apiserver-authentication-reader of
// kube-system: both are bound in config/rbac.

// What REST writes it writes for a caller, who was asked whether he may. Of ConfigMaps it reads revisions, one at a time.
//
// +kubebuilder:rbac:groups=sharedcloud.io,resources=functions,verbs=get;list;watch;create;patch;delete;skip-reference-check
// +kubebuilder:rbac:groups=sharedcloud.io,resources=functionimages,verbs=get;list;watch
// +kubebuilder:rbac:groups=sharedcloud.io,resources=functionruns,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get
// +kubebuilder:rbac:groups="",resources=namespaces;nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups=sharedcloud.io,resources=functionruns/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=events,verbs=list

// A stream through the aggregator ends when the caller's service account is deleted. The server does not see that caller's token, so
// it reads the account's metadata.
//
// +kubebuilder:rbac:groups="",resources=serviceaccounts,verbs=get
