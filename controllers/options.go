package controllers

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// Options are what an administrator decides for all functions.
type Options struct {
	// Namespace is the operator's own; the certificates live there.
	Namespace string
	// CatalogueNamespace holds the FunctionImages that every namespace may use.
	CatalogueNamespace string
	// GPUResource is the extended resource that one GPU is: nvidia.com/gpu.
	GPUResource string
	// GPUProductLabel is the label of a node that says what GPUs it has: nvidia.com/gpu.product.
	GPUProductLabel string
	// Allowed are the administrator's allow-lists, Workers the defaults for workers.
	Allowed Allowed
	Workers WorkerDefaults
	// ExchangeURL is where workers reach the work exchange: scheme, host and port, no path.
	ExchangeURL string
}

// Validate says what is wrong with the options, all at once.
func (o Options) Validate() error {
	var errs []error
	if o.Namespace == "" {
		errs = append(errs, errors.New("--namespace must name the namespace that the operator runs in"))
	}
	if o.CatalogueNamespace == "" {
		errs = append(errs, errors.New("--catalogue-namespace must name the namespace of the catalogue of images"))
	}
	if !strings.Contains(o.GPUResource, "/") {
		errs = append(errs, fmt.Errorf("--gpu-resource must be the name of an extended resource such as nvidia.com/gpu, not %q", o.GPUResource))
	}
	if wrong := validation.IsQualifiedName(o.GPUProductLabel); len(wrong) > 0 {
		errs = append(errs, fmt.Errorf("--gpu-product-label must be the name of a label such as %s, not %q", v1alpha1.DefaultGPUProductLabel, o.GPUProductLabel))
	}
	if u, err := url.Parse(o.ExchangeURL); err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		errs = append(errs, fmt.Errorf("--exchange-url must be of the form https://host:port, not %q", o.ExchangeURL))
	}
	return errors.Join(append(errs, o.Allowed.validate(), o.Workers.validate())...)
}
