package core

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// Catalogue finds FunctionImages as functions reference them: in their own namespace first, then in the catalogue's.
type Catalogue struct {
	images    *Cache[*v1alpha1.FunctionImage]
	namespace string
}

// NewCatalogue returns a catalogue of the images; functions of every namespace may use those of namespace.
func NewCatalogue(images *Cache[*v1alpha1.FunctionImage], namespace string) *Catalogue {
	return &Catalogue{images: images, namespace: namespace}
}

// Named returns the image that a function of the namespace references by the name.
func (c *Catalogue) Named(namespace, name string) (*v1alpha1.FunctionImage, bool) {
	if image, ok := c.images.Named(namespace, name); ok {
		return image, true
	}
	return c.images.Named(c.namespace, name)
}

// UUID returns the identity of an image for callers in the namespace. They see the images of both namespaces, so it is unique in both.
func (c *Catalogue) UUID(namespace string, image *v1alpha1.FunctionImage) string {
	id := c.images.UUID(image)
	other := c.namespace
	if image.Namespace == c.namespace {
		other = namespace
	}
	if other == image.Namespace || id == string(image.UID) {
		return id
	}
	if duplicate, ok := c.images.Get(other, id); ok && (string(duplicate.UID) == id || v1alpha1.ClaimsBefore(duplicate, image)) {
		return string(image.UID)
	}
	return id
}

// Get returns the image with the uuid. shadowed is the image of the same name in the caller's namespace, if it hides this one: then no
// function can reference it. own includes the images of the caller's namespace.
func (c *Catalogue) Get(namespace, id string, own bool) (image, shadowed *v1alpha1.FunctionImage, found bool) {
	namespaces := []string{c.namespace}
	if own && namespace != c.namespace {
		namespaces = []string{namespace, c.namespace}
	}
	for _, ns := range namespaces {
		image, ok := c.images.Get(ns, id)
		if !ok {
			// An image whose label's uuid belongs to an image of the other namespace is identified by its uid.
			if image, ok = c.images.ByUID(types.UID(id)); !ok || image.Namespace != ns {
				continue
			}
		}
		if c.UUID(namespace, image) != id {
			continue
		}
		if nearer, ok := c.Named(namespace, image.Name); ok && nearer.UID != image.UID {
			return image, nearer, true
		}
		return image, nil, true
	}
	return nil, nil, false
}

// List returns the images that a function of the namespace may use, newest first. own includes the images of the namespace itself.
func (c *Catalogue) List(namespace string, own bool) []*v1alpha1.FunctionImage {
	var list []*v1alpha1.FunctionImage
	if own && namespace != c.namespace {
		list = c.images.List(namespace)
	}
	hidden := map[string]bool{}
	for _, image := range list {
		hidden[image.Name] = true
	}
	for _, image := range c.images.List(c.namespace) {
		if !hidden[image.Name] {
			list = append(list, image)
		}
	}
	slices.SortStableFunc(list, func(a, b *v1alpha1.FunctionImage) int {
		return cmp.Compare(CreatedMicros(b), CreatedMicros(a))
	})
	return list
}
