package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FunctionImageSpec describes an image of the catalogue.
type FunctionImageSpec struct {
	// registryPath is the OCI reference of the image, used exactly as written:
	// sharedcloud/tensorflow-gpu-python36:latest.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-zA-Z0-9]([-a-zA-Z0-9._]*[a-zA-Z0-9])?|[[][0-9a-fA-F:]+[]])(:[0-9]{1,5})?(/[a-z0-9]+([-_.]+[a-z0-9]+)*)*(:[A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?(@[a-z0-9]+([-_+.][a-z0-9]+)*:[0-9a-fA-F]{32,128})?$')",message="spec.registryPath must be an image reference, [HOST[:PORT]/]PATH[:TAG][@DIGEST], such as registry.example/torch:2.9, without a scheme such as https://"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('169.254.') && !self.lowerAscii().startsWith('[fe80:')",message="spec.registryPath must not use a link-local address: these are reserved for the cloud provider's metadata services"
	RegistryPath string `json:"registryPath,omitempty"`

	// runtime is the language and version of the image's interpreter, such as python36 or node8. A Function with a
	// runtime of another language cannot use the image.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[a-z]+[0-9]+$`
	Runtime string `json:"runtime,omitempty"`

	// requiresGPU sets the default of a Function's gpus to 1. Defaults to false.
	// +optional
	RequiresGPU bool `json:"requiresGPU,omitempty"`

	// imagePullPolicy is the pull policy of the workers' container. Defaults to IfNotPresent, also for the tag latest.
	// +optional
	// +default="IfNotPresent"
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// imagePullSecrets are names of Secrets in the Function's namespace that are used to pull the image. To write the
	// FunctionImage, you must be allowed to get Secrets of these names in the FunctionImage's own namespace.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	ImagePullSecrets []string `json:"imagePullSecrets,omitempty"`

	// description is free text that helps users to choose an image.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Description string `json:"description,omitempty"`

	// tag is a short word that groups images. The REST API returns it unchanged.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Tag string `json:"tag,omitempty"`
}

// FunctionImageStatus is the observed state of a FunctionImage.
type FunctionImageStatus struct {
	// observedGeneration is the generation of the spec that this status describes. It is -1 until the controller has
	// processed the FunctionImage.
	// +optional
	// +default=-1
	// +kubebuilder:validation:Minimum=-1
	// +kubebuilder:validation:Maximum=9007199254740991
	ObservedGeneration int64 `json:"observedGeneration"`

	// conditions are the current conditions of the FunctionImage: Ready, Reconciling and Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// digest is the digest of the image as the latest pod that used it reported it. The operator does not query the
	// registry.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Digest string `json:"digest,omitempty"`
}

// FunctionImage is an entry of the catalogue of images that Functions can use.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=fnimg,categories=sharedcloud
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name must be no more than 63 characters, because it is used as a label value"
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

	// spec describes the image.
	// +required
	Spec FunctionImageSpec `json:"spec,omitzero"`

	// status is the observed state of the FunctionImage.
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
