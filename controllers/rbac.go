package controllers

// What the manager may do, all of it. config/rbac/manager_role.yaml is made from these markers.
//
// Of ConfigMaps it reads the metadata of all (revisions, sources of code, bundles), and the content only of a revision
// and of a source of code or inputs that a Function or a FunctionRun names.
//
// +kubebuilder:rbac:groups=sharedcloud.io,resources=functions;functionimages,verbs=get;list;watch
// +kubebuilder:rbac:groups=sharedcloud.io,resources=functionruns,verbs=get;list;watch;delete
// +kubebuilder:rbac:groups=sharedcloud.io,resources=functions/status;functionimages/status;functionruns/status,verbs=patch
// +kubebuilder:rbac:groups=sharedcloud.io,resources=functionruns/finalizers,verbs=update
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=pods,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
//
// The two APIServices are found by their label, which no rule can name.
//
// +kubebuilder:rbac:groups=apiregistration.k8s.io,resources=apiservices,verbs=list;watch
// +kubebuilder:rbac:groups=apiregistration.k8s.io,resources=apiservices,resourceNames=v1alpha1.subresources.sharedcloud.io;v1.rest.sharedcloud.io,verbs=get;patch
//
// The policies that check references are read by name: where one is missing, nothing that names a reference is pinned.
//
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingadmissionpolicies;validatingadmissionpolicybindings,resourceNames=sharedcloud-function-references;sharedcloud-functionrun-references;sharedcloud-functionimage-references,verbs=get
//
// The endpoint of the metrics asks who reads them, and whether they may.
//
// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create
//
// Only in the operator's own namespace: the certificates, and the lease of the one manager that acts, with the event that
// says which one that is. Secrets are listed and watched by their names too, each by a request of its own; only their creation has
// no name that a rule could say.
//
// +kubebuilder:rbac:groups="",namespace=sharedcloud-system,resources=secrets,verbs=create
// +kubebuilder:rbac:groups="",namespace=sharedcloud-system,resources=secrets,resourceNames=sharedcloud-ca;sharedcloud-apiserver-tls,verbs=get;list;watch;update
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=sharedcloud-system,resources=leases,verbs=create
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=sharedcloud-system,resources=leases,resourceNames=sharedcloud-controller-manager,verbs=get;update
// +kubebuilder:rbac:groups="",namespace=sharedcloud-system,resources=events,verbs=create;patch
