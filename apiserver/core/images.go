package core

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// Catalogue finds FunctionImages as functions do: in their own namespace, then in the catalogue's; the nearer one wins.
type Catalogue struct {
	images    *Cache[*v1alpha1.FunctionImage]
	namespace string
}

// NewCatalogue looks in the table; namespace is the one whose images all others may use.
func NewCatalogue(images *Cache[*v1alpha1.FunctionImage], namespace string) *Catalogue {
	return &Catalogue{images: images, namespace: namespace}
}

// Named is the image that a function in the namespace means by the name.
func (c *Catalogue) Named(namespace, name string) (*v1alpha1.FunctionImage, bool) {
	if image, ok := c.images.Named(namespace, name); ok {
		return image, true
	}
	return c.images.Named(c.namespace, name)
}

// UUID is the identity of an image for callers that work in the namespace. There the images of both namespaces are seen, so they are
// unique among both.
func (c *Catalogue) UUID(namespace string, image *v1alpha1.FunctionImage) string {
	id := c.images.UUID(image)
	other := c.namespace
	if image.Namespace == c.namespace {
		other = namespace
	}
	if other == image.Namespace || id == string(image.UID) {
		return id
	}
	if twin, ok := c.images.Get(other, id); ok && (string(twin.UID) == id || v1alpha1.ClaimsBefore(twin, image)) {
		return string(image.UID)
	}
	return id
}

// Get is the image of that uuid. shadowed is the nearer one of its name, if there is one: then no function can mean it.
// own says whether images of the caller's namespace count.
func (c *Catalogue) Get(namespace, id string, own bool) (image, shadowed *v1alpha1.FunctionImage, found bool) {
	spaces := []string{c.namespace}
	if own && namespace != c.namespace {
		spaces = []string{namespace, c.namespace}
	}
	for _, space := range spaces {
		image, ok := c.images.Get(space, id)
		if !ok {
			// One that has lost its label to an image of the other namespace is known by its uid.
			if image, ok = c.images.ByUID(types.UID(id)); !ok || image.Namespace != space {
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

// List are the images that a function in the namespace may use, newest first. own says whether images of the caller's
// namespace count.
func (c *Catalogue) List(namespace string, own bool) []*v1alpha1.FunctionImage {
	var list []*v1alpha1.FunctionImage
	if own && namespace != c.namespace {
		list = c.images.List(namespace)
	}
	nearer := map[string]bool{}
	for _, image := range list {
		nearer[image.Name] = true
	}
	for _, image := range c.images.List(c.namespace) {
		if !nearer[image.Name] {
			list = append(list, image)
		}
	}
	slices.SortStableFunc(list, func(a, b *v1alpha1.FunctionImage) int {
		return cmp.Compare(CreatedMicros(b), CreatedMicros(a))
	})
	return list
}
