package workload

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
	// CatalogueNamespace holds the FunctionImages that every namespace may use.
	CatalogueNamespace string
	// GPUResource is the extended resource of one GPU: nvidia.com/gpu.
	GPUResource string
	// GPUProductLabel is the node label with the GPU product: nvidia.com/gpu.product.
	GPUProductLabel string
	// Allowed are the administrator's allow-lists, Workers the defaults of workers.
	Allowed Allowed
	Workers WorkerDefaults
	// ExchangeURL is where workers reach the work exchange: scheme, host and port, no path.
	ExchangeURL string
}

// Validate returns everything that is wrong with the options.
func (o Options) Validate() error {
	var errs []error
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

// CheckSettings returns why no Job may be built from the settings of a revision, or nil. It is called again whenever a Job is
// built: settings may be older than a rule, and may not have been written by the manager.
func (o Options) CheckSettings(settings Settings, priorityClass string) *Problem {
	if problem := CheckPod(settings.Pod, o.GPUResource, settings.GPUResource); problem != nil {
		return problem
	}
	return o.Allowed.Check(settings.Pod, priorityClass)
}
