package rest

import (
	"net/http"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/core"
)

const resourceImages = "functionimages"

func (c *call) appendImage(b []byte, image *v1alpha1.FunctionImage) []byte {
	o := newObject(b)
	o.text("uuid", c.api.Catalogue.UUID(c.namespace, image))
	o.date("current_server_time", c.now.UnixMicro())
	o.number("num_installations", c.api.Cluster.Nodes.WithImage(image.Spec.RegistryPath))
	o.text("registry_path", image.Spec.RegistryPath)
	o.date("updated_at", core.UpdatedMicros(image))
	o.date("created_at", core.CreatedMicros(image))
	o.text("name", image.Name)
	o.text("description", image.Spec.Description)
	o.boolean("requires_gpu", image.Spec.RequiresGPU)
	o.text("runtime", image.Spec.Runtime)
	o.text("tag", image.Spec.Tag)
	return o.end()
}

// ownImages reports whether the caller may list the images of its namespace. Every caller may list the catalogue.
func (c *call) ownImages() (bool, error) { return c.may("list", resourceImages, "") }

func listImages(c *call) error {
	if err := c.visible(); err != nil {
		return err
	}
	own, err := c.ownImages()
	if err != nil {
		return err
	}
	page, err := c.page()
	if err != nil {
		return err
	}
	out := c.newStream(http.StatusOK)
	for _, image := range slice(page, c.api.Catalogue.List(c.namespace, own)) {
		if !out.item(func(b []byte) []byte { return c.appendImage(b, image) }) {
			return nil
		}
	}
	out.end()
	return nil
}

func getImage(c *call) error {
	if err := c.visible(); err != nil {
		return err
	}
	own, err := c.ownImages()
	if err != nil {
		return err
	}
	image, _, found := c.api.Catalogue.Get(c.namespace, c.id, own)
	if !found {
		return c.unknown()
	}
	if err := core.Decodable(image); err != nil {
		return err
	}
	c.answer(http.StatusOK, c.appendImage(nil, image))
	return nil
}
