package controllers

// All permissions of the manager. config/rbac/manager_role.yaml is generated from these markers.
//
// It reads the metadata of all ConfigMaps (revisions, sources of code, bundles), and the content only of revisions and of the sources
// of code or inputs that a Function or a FunctionRun names.
//
// write-revisions is a verb that the policies in config/policy require for the ConfigMaps and Jobs of the operator.
//
// +kubebuilder:rbac:groups=sharedcloud.io,resources=functions,verbs=write-revisions
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
// The two APIServices are selected by their label, which a rule cannot express.
//
// +kubebuilder:rbac:groups=apiregistration.k8s.io,resources=apiservices,verbs=list;watch
// +kubebuilder:rbac:groups=apiregistration.k8s.io,resources=apiservices,resourceNames=v1alpha1.subresources.sharedcloud.io;v1.rest.sharedcloud.io,verbs=get;patch
//
// The policies that check references are read by name: if one is missing, nothing that names a reference is pinned.
//
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingadmissionpolicies;validatingadmissionpolicybindings,resourceNames=sharedcloud-function-references;sharedcloud-functionrun-references;sharedcloud-functionimage-references,verbs=get
//
// The metrics endpoint authenticates and authorizes its clients.
//
// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create
//
// Only in the operator's own namespace: the certificates, and the leader's Lease with its event. Secrets are also listed and watched by
// name, each in its own request; only the creation of a Secret has no name that a rule could restrict.
//
// +kubebuilder:rbac:groups="",namespace=sharedcloud-system,resources=secrets,verbs=create
// +kubebuilder:rbac:groups="",namespace=sharedcloud-system,resources=secrets,resourceNames=sharedcloud-ca;sharedcloud-apiserver-tls,verbs=get;list;watch;update
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=sharedcloud-system,resources=leases,verbs=create
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=sharedcloud-system,resources=leases,resourceNames=sharedcloud-controller-manager,verbs=get;update
// +kubebuilder:rbac:groups="",namespace=sharedcloud-system,resources=events,verbs=create;patch
