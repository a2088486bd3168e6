package workload

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
)

var testOptions = Options{
	CatalogueNamespace: "sharedcloud-catalogue",
	GPUResource:        "nvidia.com/gpu",
	GPUProductLabel:    "nvidia.com/gpu.product",
	ExchangeURL:        "https://sharedcloud-apiserver.sharedcloud-system.svc:443",
}

func TestOptionsValidateAllowListsAndDefaults(t *testing.T) {
	options := testOptions
	options.Allowed.PriorityClasses = []string{"batch", "system-cluster-critical"}
	if err := options.Validate(); err == nil || !strings.Contains(err.Error(), `--allowed-priority-classes names "system-cluster-critical"`) {
		t.Errorf("got %v", err)
	}
	options = testOptions
	options.Workers.MemoryRequest = resource.MustParse("-1")
	if err := options.Validate(); err == nil || !strings.Contains(err.Error(), "--default-memory-request must not be negative") {
		t.Errorf("got %v", err)
	}
}

func TestOptionsValidate(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Options)
		words  string
	}{
		{name: "the defaults are valid", change: func(*Options) {}},
		{name: "a catalogue is required", change: func(o *Options) { o.CatalogueNamespace = "" }, words: "--catalogue-namespace"},
		{name: "the resource of a GPU is an extended resource", change: func(o *Options) { o.GPUResource = "gpu" }, words: `--gpu-resource must be the name of an extended resource such as nvidia.com/gpu, not "gpu"`},
		{name: "the label of GPU products is a valid label", change: func(o *Options) { o.GPUProductLabel = "no label" }, words: `--gpu-product-label must be the name of a label such as nvidia.com/gpu.product, not "no label"`},
		{name: "the label of GPU products is required", change: func(o *Options) { o.GPUProductLabel = "" }, words: "--gpu-product-label"},
		{name: "the exchange uses TLS", change: func(o *Options) { o.ExchangeURL = "http://x:80" }, words: "--exchange-url"},
		{name: "the exchange's URL has no path", change: func(o *Options) { o.ExchangeURL = "https://x:443/api" }, words: "--exchange-url"},
		{name: "the exchange's URL has a host", change: func(o *Options) { o.ExchangeURL = "https://" }, words: "--exchange-url"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			options := testOptions
			tc.change(&options)
			err := options.Validate()
			if tc.words == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.words) {
				t.Errorf("got %v, want an error with %q", err, tc.words)
			}
		})
	}
}
