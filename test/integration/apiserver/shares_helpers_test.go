package apiserver

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
)

// name is the user name of the caller's token.
func (c *caller) name() string {
	GinkgoHelper()
	parts := strings.Split(c.token, ".")
	Expect(parts).To(HaveLen(3))
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	Expect(err).NotTo(HaveOccurred())
	var claims struct {
		Subject string `json:"sub"`
	}
	Expect(json.Unmarshal(payload, &claims)).To(Succeed())
	return claims.Subject
}

// transportTo connects to the Kubernetes API with only a token.
func transportTo(token string) (http.RoundTripper, error) {
	config := rest.AnonymousClientConfig(restConfig)
	config.BearerToken = token
	return rest.TransportFor(config)
}

// tokenReviews is the number of TokenReviews that the Kubernetes API has answered.
func tokenReviews(ctx context.Context) int {
	GinkgoHelper()
	data, err := clientset.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	Expect(err).NotTo(HaveOccurred())
	total := 0
	for line := range strings.Lines(string(data)) {
		if !strings.HasPrefix(line, "apiserver_request_total{") || !strings.Contains(line, `resource="tokenreviews"`) {
			continue
		}
		number, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndex(line, " "):]), 64)
		Expect(err).NotTo(HaveOccurred())
		total += int(number)
	}
	return total
}
