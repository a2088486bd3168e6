package core

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// Namespaces are the cluster's namespaces, and whose they are.
type Namespaces struct {
	informer toolscache.SharedIndexInformer
}

const indexTenant = "tenant"

// slimNamespace keeps of a namespace its name, its tenants and its quotas.
func slimNamespace(obj any) (any, error) {
	namespace, ok := obj.(*corev1.Namespace)
	if !ok {
		return obj, nil
	}
	kept := &corev1.Namespace{}
	kept.Name, kept.UID, kept.ResourceVersion = namespace.Name, namespace.UID, namespace.ResourceVersion
	kept.DeletionTimestamp = namespace.DeletionTimestamp
	kept.Annotations = pick(namespace.Annotations, v1alpha1.AnnotationTenants,
		v1alpha1.AnnotationUploadsQuota, v1alpha1.AnnotationResultsQuota)
	return kept, nil
}

// indexByTenant finds a namespace by each entry of its annotation.
func indexByTenant(obj any) ([]string, error) {
	namespace, ok := obj.(*corev1.Namespace)
	if !ok {
		return nil, nil
	}
	var tenants []string
	for entry := range strings.SplitSeq(namespace.Annotations[v1alpha1.AnnotationTenants], ",") {
		if entry = strings.TrimSpace(entry); strings.HasPrefix(entry, "user:") || strings.HasPrefix(entry, "group:") {
			tenants = append(tenants, entry)
		}
	}
	return tenants, nil
}

// Exists says whether there is a namespace of that name.
func (n *Namespaces) Exists(name string) bool {
	_, exists, err := n.informer.GetStore().GetByKey(name)
	return err == nil && exists
}

// Lookup returns the uid of a namespace and what of its annotations is kept.
func (n *Namespaces) Lookup(name string) (uid types.UID, annotations map[string]string, found bool) {
	obj, exists, err := n.informer.GetStore().GetByKey(name)
	namespace, ok := obj.(*corev1.Namespace)
	if err != nil || !exists || !ok {
		return "", nil, false
	}
	return namespace.UID, namespace.Annotations, true
}

// Alive says whether there is a namespace of that name that is not being deleted.
func (n *Namespaces) Alive(name string) bool {
	obj, exists, err := n.informer.GetStore().GetByKey(name)
	namespace, ok := obj.(*corev1.Namespace)
	return err == nil && exists && ok && namespace.DeletionTimestamp == nil
}

// OfTenant returns the namespaces whose annotation has that entry, "user:NAME" or "group:NAME", in order of their names.
func (n *Namespaces) OfTenant(entry string) []string {
	names, err := n.informer.GetIndexer().IndexKeys(indexTenant, entry)
	if err != nil {
		return nil
	}
	slices.Sort(names)
	return names
}
