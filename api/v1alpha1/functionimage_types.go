package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FunctionImageSpec is an entry of the catalogue.
type FunctionImageSpec struct {
	// registryPath is the OCI reference of the image, kept as written: sharedcloud/tensorflow-gpu-python36:latest.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-zA-Z0-9]([-a-zA-Z0-9._]*[a-zA-Z0-9])?|[[][0-9a-fA-F:]+[]])(:[0-9]{1,5})?(/[a-z0-9]+([-_.]+[a-z0-9]+)*)*(:[A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?(@[a-z0-9]+([-_+.][a-z0-9]+)*:[0-9a-fA-F]{32,128})?$')",message="spec.registryPath must be the reference of an image, [HOST[:PORT]/]PATH[:TAG][@DIGEST], such as registry.example/torch:2.9, without a scheme such as https://"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('169.254.') && !self.lowerAscii().startsWith('[fe80:')",message="spec.registryPath names a link-local address: those are the cloud provider's own"
	RegistryPath string `json:"registryPath,omitempty"`

	// runtime that the image's interpreter is: python36, node8 and so on. A function of another language is refused.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[a-z]+[0-9]+$`
	Runtime string `json:"runtime,omitempty"`

	// requiresGPU says that functions of this image get one GPU a worker unless they say otherwise.
	// +optional
	RequiresGPU bool `json:"requiresGPU,omitempty"`

	// imagePullPolicy of the workers' container. Default IfNotPresent, also for :latest.
	// +optional
	// +default="IfNotPresent"
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// imagePullSecrets are names of Secrets in the function's namespace. The user who writes the image must be
	// allowed to get Secrets of these names in the image's own namespace.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	ImagePullSecrets []string `json:"imagePullSecrets,omitempty"`

	// description is free text for people who choose an image.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Description string `json:"description,omitempty"`

	// tag is a short word that groups images, echoed by REST.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Tag string `json:"tag,omitempty"`
}

// FunctionImageStatus is what the controllers found.
type FunctionImageStatus struct {
	// observedGeneration is the generation of spec that this status speaks of; -1 before the first.
	// +optional
	// +default=-1
	// +kubebuilder:validation:Minimum=-1
	// +kubebuilder:validation:Maximum=9007199254740991
	ObservedGeneration int64 `json:"observedGeneration"`

	// conditions are Ready, Reconciling and Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// digest of the image, recorded from the latest pod that ran it. No registry is asked.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Digest string `json:"digest,omitempty"`
}

// FunctionImage is an entry of the catalogue of images that functions may use.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=fnimg,categories=sharedcloud
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name must be no more than 63 characters: it becomes a label"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Runtime",type=string,JSONPath=`.spec.runtime`
// +kubebuilder:printcolumn:name="GPU",type=boolean,JSONPath=`.spec.requiresGPU`
// +kubebuilder:printcolumn:name="Registry Path",type=string,JSONPath=`.spec.registryPath`
// +kubebuilder:printcolumn:name="Digest",type=string,JSONPath=`.status.digest`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type FunctionImage struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the entry of the catalogue.
	// +required
	Spec FunctionImageSpec `json:"spec,omitzero"`

	// status is what the controllers found.
	// +optional
	// +default={"observedGeneration": -1}
	Status FunctionImageStatus `json:"status,omitzero"`
}

// FunctionImageList is a list of FunctionImages.
//
// +kubebuilder:object:root=true
type FunctionImageList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []FunctionImage `json:"items"`
}
