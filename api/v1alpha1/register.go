package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupName is the API group of the custom resources.
const GroupName = "sharedcloud.io"

var (
	// GroupVersion is the group and version of the custom resources.
	GroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}
	// SchemeGroupVersion is GroupVersion under the name that generated code uses.
	SchemeGroupVersion = GroupVersion

	schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)
	// AddToScheme adds the custom resources to a scheme.
	AddToScheme = schemeBuilder.AddToScheme
)

// Resource returns a resource name qualified with the group.
func Resource(resource string) schema.GroupResource {
	return GroupVersion.WithResource(resource).GroupResource()
}

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Function{}, &FunctionList{},
		&FunctionImage{}, &FunctionImageList{},
		&FunctionRun{}, &FunctionRunList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
