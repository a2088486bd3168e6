package apiserver

// The rights of the API server itself. TokenReviews and SubjectAccessReviews come from the ClusterRole system:auth-delegator, and the
// configuration of the aggregator from the Role extension-apiserver-authentication-reader of kube-system; config/rbac binds both.

// REST writes on behalf of a caller whose rights it has checked. Of ConfigMaps it reads only revisions, one at a time.
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

// A stream through the aggregator ends when the caller's service account is deleted. The server does not see the caller's token, so it reads
// the account's metadata.
//
// +kubebuilder:rbac:groups="",resources=serviceaccounts,verbs=get
