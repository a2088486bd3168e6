package rest

import (
	"net/http"

	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/rest/wire"
)

func (c *call) appendGPU(b []byte, gpu core.GPU) []byte {
	o := newObject(b)
	o.text("uuid", gpu.UUID())
	o.date("current_server_time", c.now.UnixMicro())
	o.boolean("is_available", gpu.Available)
	o.date("created_at", gpu.Created.UnixMicro())
	o.text("name", gpu.Name)
	o.text("codename", gpu.Codename)
	o.number("cuda_cores", gpu.CUDACores)
	return o.end()
}

func listGPUs(c *call) error {
	if err := c.visible(); err != nil {
		return err
	}
	page, err := c.page()
	if err != nil {
		return err
	}
	out := c.newStream(http.StatusOK)
	for _, gpu := range slice(page, c.api.Cluster.Nodes.GPUs()) {
		if !out.item(func(b []byte) []byte { return c.appendGPU(b, gpu) }) {
			return nil
		}
	}
	out.end()
	return nil
}

func getGPU(c *call) error {
	if err := c.visible(); err != nil {
		return err
	}
	for _, gpu := range c.api.Cluster.Nodes.GPUs() {
		if gpu.UUID() == c.id {
			c.answer(http.StatusOK, c.appendGPU(nil, gpu))
			return nil
		}
	}
	return c.unknown()
}

// gpusFor returns the label of the weakest acceptable product, and all available products that are acceptable. problem is the error of the
// field base_gpu.
func (c *call) gpusFor(id string) (base string, products []string, problem string) {
	gpus := c.api.Cluster.Nodes.GPUs()
	var available []core.GPUProduct
	var found *core.GPU
	for i := range gpus {
		if gpus[i].Available {
			available = append(available, gpus[i].GPUProduct)
		}
		if gpus[i].UUID() == id {
			found = &gpus[i]
		}
	}
	if found == nil {
		return "", nil, wire.MessageNoObject(id)
	}
	for _, product := range core.AtLeastAsStrong(found.GPUProduct, available) {
		products = append(products, product.Product)
	}
	if len(products) == 0 {
		return "", nil, "Sorry, this GPU model is currently not available, nor is a stronger one."
	}
	return found.Product, products, ""
}
