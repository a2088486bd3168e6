package controllers

import (
	"strings"
	"testing"
)

func TestOptionsValidate(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Options)
		words  string
	}{
		{name: "what the command line says by default is fine", change: func(*Options) {}},
		{name: "a namespace is needed", change: func(o *Options) { o.Namespace = "" }, words: "--namespace"},
		{name: "a catalogue is needed", change: func(o *Options) { o.CatalogueNamespace = "" }, words: "--catalogue-namespace"},
		{name: "a GPU is an extended resource", change: func(o *Options) { o.GPUResource = "gpu" }, words: `--gpu-resource must be the name of an extended resource such as nvidia.com/gpu, not "gpu"`},
		{name: "GPU products are the values of a label", change: func(o *Options) { o.GPUProductLabel = "no label" }, words: `--gpu-product-label must be the name of a label such as nvidia.com/gpu.product, not "no label"`},
		{name: "GPU products have a label", change: func(o *Options) { o.GPUProductLabel = "" }, words: "--gpu-product-label"},
		{name: "the exchange is reached over TLS", change: func(o *Options) { o.ExchangeURL = "http://x:80" }, words: "--exchange-url"},
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
