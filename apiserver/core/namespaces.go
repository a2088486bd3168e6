package core

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// Namespaces are the cluster's namespaces with their tenants and quotas.
type Namespaces struct {
	informer toolscache.SharedIndexInformer
}

const indexTenant = "tenant"

// slimNamespace keeps the name, the tenants and the quotas of a namespace.
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

// indexByTenant indexes a namespace by each entry of its annotation.
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

// Exists reports whether the namespace exists.
func (n *Namespaces) Exists(name string) bool {
	_, exists, err := n.informer.GetStore().GetByKey(name)
	return err == nil && exists
}

// Lookup returns the uid and the cached annotations of a namespace.
func (n *Namespaces) Lookup(name string) (uid types.UID, annotations map[string]string, found bool) {
	obj, exists, err := n.informer.GetStore().GetByKey(name)
	namespace, ok := obj.(*corev1.Namespace)
	if err != nil || !exists || !ok {
		return "", nil, false
	}
	return namespace.UID, namespace.Annotations, true
}

// Alive reports whether the namespace exists and is not being deleted.
func (n *Namespaces) Alive(name string) bool {
	obj, exists, err := n.informer.GetStore().GetByKey(name)
	namespace, ok := obj.(*corev1.Namespace)
	return err == nil && exists && ok && namespace.DeletionTimestamp == nil
}

// OfTenant returns the namespaces whose annotation has the entry, "user:NAME" or "group:NAME", sorted by name.
func (n *Namespaces) OfTenant(entry string) []string {
	names, err := n.informer.GetIndexer().IndexKeys(indexTenant, entry)
	if err != nil {
		return nil
	}
	slices.Sort(names)
	return names
}
