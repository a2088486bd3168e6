package apiserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("The server", func() {
	It("serves a renewed certificate without a restart", func(ctx SpecContext) {
		before := servedSerial(api)
		pki.server(filepath.Join(api.folder, "serving"), serverName, net.ParseIP(serviceAddress))
		Eventually(func(g Gomega) {
			g.Expect(servedSerial(api)).NotTo(Equal(before))
		}).WithContext(ctx).WithTimeout(80 * time.Second).WithPolling(200 * time.Millisecond).Should(Succeed())
	}, SpecTimeout(2*time.Minute))

	It("serves discovery while another server holds the store, and takes over when that stops", func(ctx SpecContext) {
		second := newServer(GinkgoT().TempDir())
		// The last of two flags counts.
		second.more = []string{"--store-path=" + api.storePath()}
		second.start()
		DeferCleanup(second.kill)
		Eventually(func(g Gomega) {
			status, body := get(second.client(), second.url()+"/livez")
			g.Expect(status).To(Equal(http.StatusOK), body)
		}).WithContext(ctx).Should(Succeed())
		code, text := asAggregator(ctx, second, "/apis/subresources.sharedcloud.io/v1alpha1")
		Expect(code).To(Equal(http.StatusOK), text)
		status, body := get(second.client(), second.url()+"/readyz")
		Expect(status).To(Equal(http.StatusInternalServerError), body)
		Expect(body).To(Equal("not ok"))
		_, text = asAggregator(ctx, second, "/readyz?verbose")
		Expect(text).To(MatchRegexp(`\[-\]outcome-store failed: .*another`))

		api.stop()
		second.waitReady()
		second.stop()
		api.start()
		api.waitReady()
	}, SpecTimeout(timeout))

	It("answers the calls that it keeps open when it is stopped", func(ctx SpecContext) {
		api.restartWith("--lease-duration=10m") // no lease of the busy worker expires
		run := newRun(ctx, newNamespace(ctx), 3)
		job := start(ctx, run, 1)
		busy, idle := newWorker(ctx, run, job, 0), newWorker(ctx, run, job, 1)
		Expect(busy.call(ctx, "", true).indexes()).To(Equal([]int{0}))
		// One of the two inputs that it holds may be handed back: another worker may wait for it.
		short := succeeded(0, 0)
		short["durationMicros"] = 1000
		Expect(busy.call(ctx, "", true, short).indexes()).To(Equal([]int{1, 2}))
		type reply struct {
			status int
			said   answer
		}
		replies := make(chan reply, 1)
		go func() {
			status, said := idle.post(ctx, run.Name, map[string]any{"protocol": 1, "sequence": 1, "held": "", "want": true, "waitSeconds": 20})
			replies <- reply{status, said}
		}()
		Eventually(func(g Gomega) {
			g.Expect(inFlight(ctx, g)).To(BeNumerically(">=", 1))
		}).WithContext(ctx).Should(Succeed())
		Consistently(replies).ShouldNot(Receive())
		began := time.Now()
		api.stop()
		Expect(time.Since(began)).To(BeNumerically("<", 18*time.Second), "without being let go it is kept for 20 seconds")
		var got reply
		Eventually(replies).Should(Receive(&got))
		Expect(got.status).To(Equal(http.StatusOK), got.said.Error)
		Expect(got.said.Action).To(Equal("wait"))
		api.start()
		api.waitReady()
	}, SpecTimeout(timeout))
})

// servedSerial is the serial number of the certificate that a server presents.
func servedSerial(s *server) string {
	GinkgoHelper()
	roots := x509.NewCertPool()
	roots.AddCert(pki.ca)
	conn, err := tls.Dial("tcp", net.JoinHostPort(serviceAddress, strconv.Itoa(s.port)),
		&tls.Config{RootCAs: roots, ServerName: serverName, MinVersion: tls.VersionTLS12})
	Expect(err).NotTo(HaveOccurred())
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// asAggregator reads a path directly, with the front proxy's certificate.
func asAggregator(ctx context.Context, s *server, path string) (int, string) {
	GinkgoHelper()
	certificate, err := tls.LoadX509KeyPair(filepath.Join(pki.folder, "front-proxy-client.crt"), filepath.Join(pki.folder, "front-proxy-client.key"))
	Expect(err).NotTo(HaveOccurred())
	c := s.client()
	transport, ok := c.Transport.(*http.Transport)
	Expect(ok).To(BeTrue())
	transport.TLSClientConfig.Certificates = []tls.Certificate{certificate}
	c.Transport = asMaster{transport}
	return get(c, s.url()+path)
}

// asMaster adds the headers of the front proxy.
type asMaster struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (a asMaster) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Remote-User", "system:kube-aggregator")
	r.Header.Set("X-Remote-Group", "system:masters")
	return a.next.RoundTrip(r)
}

// inFlight is the number of open worker calls in the server's metrics.
func inFlight(ctx context.Context, g Gomega) float64 {
	return metric(ctx, g, "sharedcloud_exchange_requests_in_flight")
}

// metric reads a metric without labels of the server; 0 if it is not reported.
func metric(ctx context.Context, g Gomega, name string) float64 {
	status, body := asAggregator(ctx, api, "/metrics")
	g.Expect(status).To(Equal(http.StatusOK))
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			g.Expect(err).NotTo(HaveOccurred())
			return n
		}
	}
	return 0
}
