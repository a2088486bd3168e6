package rest

import (
	"errors"
	"strconv"
	"unicode/utf8"

	"sharedcloud.io/function-operator/api/v1alpha1"
	"sharedcloud.io/function-operator/apiserver/core"
	"sharedcloud.io/function-operator/apiserver/rest/wire"
	"sharedcloud.io/function-operator/apiserver/writes"
	"sharedcloud.io/function-operator/parameters"
)

// runBody reads the body of a new run, and reports all wrong fields.
func (c *call) runBody(b wire.Body) (writes.RunFields, error) {
	wrong := problems{}
	function, err := c.functionField(b, wrong)
	if err != nil {
		return writes.RunFields{}, err
	}
	fields := writes.RunFields{Function: function}
	parametersField(b, &fields, wrong)
	price, given, problem := b.Number("bid_price")
	switch {
	case problem != "":
		wrong.add("bid_price", problem)
	case given && price < minBid:
		wrong.add("bid_price", "The bid price cannot be smaller than $0.001")
	case given:
		fields.BidPrice = strconv.FormatFloat(price, 'f', -1, 64)
	}
	c.baseField(b, &fields, wrong)
	return fields, wrong.orNil()
}

// functionField reads the field function. The error is a failed check of the caller's rights.
func (c *call) functionField(b wire.Body, wrong problems) (*v1alpha1.Function, error) {
	id, _, problem := b.UUID("function")
	if problem != "" {
		wrong.add("function", problem)
		return nil, nil
	}
	if f, ok := c.api.Cluster.Functions.Get(c.namespace, id); ok {
		if allowed, err := c.may("get", resourceFunctions, f.Name); err != nil || allowed {
			return f, errors.Join(err, core.Decodable(f))
		}
	}
	wrong.add("function", wire.MessageNoObject(id))
	return nil, nil
}

// parametersField reads the text of a Python tuple of tuples, or an array of arrays.
func parametersField(b wire.Body, fields *writes.RunFields, wrong problems) {
	if list, ok := b.List("parameters"); ok {
		if len(list) > maxParameters {
			wrong.add("parameters", wire.MessageTooLong(maxParameters))
			return
		}
		var runtime, problem string
		if fields.Function != nil {
			runtime = fields.Function.Spec.Runtime
		}
		if fields.JSON, fields.Literal, problem = listedInputs(list, runtime); problem != "" {
			wrong.add("parameters", problem)
		}
		return
	}
	text, _, problem := b.Text("parameters", maxParameters)
	if problem != "" {
		wrong.add("parameters", problem)
		return
	}
	literal, err := parameters.ParseLiteral(text)
	switch {
	case err != nil:
		wrong.add("parameters", "This must be the text of a Python tuple of tuples: "+err.Error()+".")
	case literal.Len() == 0:
		wrong.add("parameters", "There are no inputs: use ((),) for a single call without values.")
	case !utf8.ValidString(text):
		wrong.add("parameters", wire.MessageNotText)
	}
	fields.Literal = &text
}

// baseField reads the weakest acceptable GPU.
func (c *call) baseField(b wire.Body, fields *writes.RunFields, wrong problems) {
	id, given, problem := b.UUID("base_gpu")
	switch {
	case !given, problem == wire.MessageNull: // every GPU is acceptable
		return
	case problem != "":
		wrong.add("base_gpu", problem)
		return
	case fields.Function == nil:
		return
	}
	if image, ok := c.api.Catalogue.Named(c.namespace, fields.Function.Spec.Image); ok && !image.Spec.RequiresGPU {
		wrong.add("base_gpu", "A base GPU is unnecessary because the function is not using an image that requires GPU")
		return
	}
	if fields.BaseGPU, fields.Products, problem = c.gpusFor(id); problem != "" {
		wrong.add("base_gpu", problem)
	}
}
