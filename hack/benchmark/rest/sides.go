package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"time"

	"k8s.io/client-go/rest"
)

// sides returns the same client for both sides: HTTP/1.1 over TLS with a token and keep-alive.
func sides(config *rest.Config, token string) (functionsAPI, kube side, err error) {
	certificateAuthority, err := os.ReadFile(os.Getenv("SHAREDCLOUD_CA"))
	if err != nil {
		return side{}, side{}, fmt.Errorf("reading $SHAREDCLOUD_CA (run `make bench`): %w", err)
	}
	kubeCA := config.CAData
	if len(kubeCA) == 0 {
		if kubeCA, err = os.ReadFile(config.CAFile); err != nil {
			return side{}, side{}, err
		}
	}
	functionsAPI = side{url: os.Getenv("SHAREDCLOUD_URL"), token: token, client: clientOf(certificateAuthority)}
	kube = side{url: config.Host, token: token, client: clientOf(kubeCA)}
	return functionsAPI, kube, nil
}

func clientOf(authority []byte) *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	return &http.Client{
		Timeout: 5 * time.Minute,
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			MaxIdleConnsPerHost: connections,
			DisableCompression:  true,
		},
	}
}
