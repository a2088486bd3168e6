package options

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestFlags(t *testing.T) {
	tls := []string{"--tls-cert-file=tls.crt", "--tls-private-key-file=tls.key"}
	for name, tc := range map[string]struct {
		flags []string
		// want are parts of the message; none for valid flags.
		want []string
	}{
		"the defaults, and a certificate": {flags: tls},
		"every flag": {flags: append([]string{
			"--store-path=/x/y.db", "--lease-duration=10s", "--sweep-interval=1s", "--catalogue-namespace=images", "--drain=0s",
			"--inputs-cache-mib=1", "--result-bytes=1024", "--output-bytes=1024", "--profiling", "--secure-port=9443",
			"--gpu-product-label=amd.com/gpu.product-name", "--uploads-quota-mib=0", "--results-quota-mib=1",
		}, tls...)},
		"no certificate":                {want: []string{"--tls-cert-file and --tls-private-key-file", "sharedcloud-apiserver-tls"}},
		"a certificate without its key": {flags: tls[:1], want: []string{"--tls-private-key-file"}},
		"no port":                       {flags: append([]string{"--secure-port=0"}, tls...), want: []string{"--secure-port"}},
		"a lease of zero":               {flags: append([]string{"--lease-duration=0s"}, tls...), want: []string{"--lease-duration is 0s; it must be between 1s and 1h"}},
		"a sweep without interval":      {flags: append([]string{"--sweep-interval=0s"}, tls...), want: []string{"--sweep-interval is 0s; it must be at least 1s"}},
		"an invalid namespace":          {flags: append([]string{"--catalogue-namespace=No"}, tls...), want: []string{`--catalogue-namespace is "No"`}},
		"a negative drain":              {flags: append([]string{"--drain=-1s"}, tls...), want: []string{"--drain is -1s"}},
		"no memory":                     {flags: append([]string{"--inputs-cache-mib=0"}, tls...), want: []string{"--inputs-cache-mib is 0"}},
		"more than a request can hold":  {flags: append([]string{"--result-bytes=16777217", "--output-bytes=9999999"}, tls...), want: []string{"--result-bytes is 16777217", "--output-bytes is 9999999"}},
		"an invalid label":              {flags: append([]string{"--gpu-product-label=no label"}, tls...), want: []string{`--gpu-product-label is "no label"`}},
		"invalid quotas":                {flags: append([]string{"--uploads-quota-mib=-1", "--results-quota-mib=9999999999999"}, tls...), want: []string{"--uploads-quota-mib is -1", "--results-quota-mib is 9999999999999"}},
		"no store":                      {flags: append([]string{"--store-path="}, tls...), want: []string{"--store-path must name a file"}},
		"a store by its URL":            {flags: append([]string{"--store=postgres://user@host/db?sslmode=verify-full"}, tls...)},
		"a store by a file":             {flags: append([]string{"--store-url-file=/x/url"}, tls...)},
		"two stores":                    {flags: append([]string{"--store=sqlite:///x", "--store-url-file=/x/url"}, tls...), want: []string{"give one of them"}},
		"a password in the flag":        {flags: append([]string{"--store=postgres://user:s3cret@host/db"}, tls...), want: []string{"--store contains a password", "--store-url-file"}},
		"a store of another kind":       {flags: append([]string{"--store=mysql://host/db"}, tls...), want: []string{"--store: the URL of the outcome store must begin with"}},
		"all errors at once":            {flags: []string{"--store-path=", "--drain=1h"}, want: []string{"--store-path", "--drain", "--tls-cert-file"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := New()
			flags := pflag.NewFlagSet("apiserver", pflag.ContinueOnError)
			o.AddFlags(flags)
			if err := flags.Parse(tc.flags); err != nil {
				t.Fatal(err)
			}
			err := o.Validate()
			if len(tc.want) == 0 && err != nil {
				t.Errorf("refused: %v", err)
			}
			for _, want := range tc.want {
				if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
					t.Errorf("error %v does not say %q", err, want)
				}
			}
		})
	}
}
