package apiserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// serverVariable makes this program run as an API server.
const serverVariable = "SHAREDCLOUD_SPECS_SERVE"

// serverName is the name in the certificate.
const serverName = serviceName + "." + systemNamespace + ".svc"

// server is an API server in a separate process.
type server struct {
	folder  string
	port    int
	serving pair
	// gate is between the server and the Kubernetes API.
	gate    *gate
	process *exec.Cmd
	exited  chan error
	// more are additional arguments.
	more []string
	// program is run instead of this program when it is set; said receives the log of the process.
	program string
	said    io.Writer
}

func newServer(folder string) *server {
	s := &server{folder: folder, port: freePort()}
	s.serving = pki.server(filepath.Join(folder, "serving"), serverName, net.ParseIP(serviceAddress))
	s.gate = newGate(restConfig.Host)
	DeferCleanup(s.gate.stop)
	kubeconfig, err := s.user().KubeConfig()
	Expect(err).NotTo(HaveOccurred())
	Expect(os.WriteFile(filepath.Join(folder, "kubeconfig"), kubeconfig, 0o600)).To(Succeed())
	return s
}

// user is the server's service account. It connects to the API through the gate.
func (s *server) user() *envtest.AuthenticatedUser {
	config := *restConfig
	config.Host = s.gate.address
	user, err := environment.ControlPlane.AddUser(envtest.User{Name: serverUser}, &config)
	Expect(err).NotTo(HaveOccurred())
	user.Config().Host = s.gate.address
	return user
}

func freePort() int {
	listener, err := net.Listen("tcp", serviceAddress+":0")
	Expect(err).NotTo(HaveOccurred())
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func (s *server) storePath() string { return filepath.Join(s.folder, "store", "outcomes.db") }

func (s *server) url() string { return fmt.Sprintf("https://%s:%d", serviceAddress, s.port) }

// start starts the process and does not wait until it is ready.
func (s *server) start() {
	GinkgoHelper()
	program, err := os.Executable()
	Expect(err).NotTo(HaveOccurred())
	args := append([]string{
		"--bind-address=" + serviceAddress,
		"--secure-port=" + strconv.Itoa(s.port),
		"--kubeconfig=" + filepath.Join(s.folder, "kubeconfig"),
		"--tls-cert-file=" + s.serving.certFile,
		"--tls-private-key-file=" + s.serving.keyFile,
		"--store-path=" + s.storePath(),
		"--lease-duration=3s",
		"--sweep-interval=1s",
		"--drain=0s",
		"--rest-writes-per-second=10000",
	}, s.more...)
	if s.program != "" {
		program = s.program
	}
	s.process = exec.Command(program, args...)
	s.process.Env = append(os.Environ(), serverVariable+"=1")
	s.process.Stdout, s.process.Stderr = GinkgoWriter, GinkgoWriter
	if s.said != nil {
		s.process.Stdout, s.process.Stderr = s.said, s.said
	}
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	Expect(s.process.Start()).To(Succeed())
	exited, process := make(chan error, 1), s.process
	s.exited = exited
	go func() { exited <- process.Wait() }()
}

// kill kills the process as a crash of the machine would.
func (s *server) kill() {
	GinkgoHelper()
	if s.process == nil {
		return
	}
	Expect(s.process.Process.Kill()).To(Succeed())
	Eventually(s.exited).Should(Receive(HaveOccurred()))
	s.process = nil
}

// stop stops the process as Kubernetes would, and expects a clean exit.
func (s *server) stop() {
	GinkgoHelper()
	Expect(s.process.Process.Signal(syscall.SIGTERM)).To(Succeed())
	Eventually(s.exited).Should(Receive(BeNil()))
	s.process = nil
}

// restart kills the process and starts another.
func (s *server) restart() {
	GinkgoHelper()
	s.kill()
	s.start()
	s.waitReady()
}

// restartWith kills the process and starts another with more arguments until the spec ends.
func (s *server) restartWith(more ...string) {
	GinkgoHelper()
	s.more = more
	s.restart()
	DeferCleanup(func() {
		s.more = nil
		s.restart()
	})
}

func (s *server) waitReady() {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		status, body := get(s.client(), s.url()+"/readyz?verbose")
		g.Expect(status).To(Equal(http.StatusOK), body)
	}).WithTimeout(3 * time.Minute).Should(Succeed())
}

// client verifies the server by its name.
func (s *server) client() *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(pki.ca)
	return &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: roots, ServerName: serverName, MinVersion: tls.VersionTLS12},
			DisableKeepAlives: true,
		},
	}
}

// get reads an address without credentials; 0 when there is no response.
func get(c *http.Client, address string) (int, string) {
	response, err := c.Get(address)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(body)
}

// register creates the Service and the APIService by which the aggregator finds the server.
func register(ctx context.Context, s *server) {
	GinkgoHelper()
	Expect(k8s.Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: serviceName, Namespace: systemNamespace},
		Spec: corev1.ServiceSpec{
			ClusterIP: serviceAddress,
			Ports:     []corev1.ServicePort{{Name: "https", Port: int32(s.port), TargetPort: intstr.FromInt(s.port)}},
		},
	})).To(Succeed())
	// Only its existence counts: the connection goes to the cluster IP.
	Expect(k8s.Create(ctx, &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: serviceName + "-1", Namespace: systemNamespace,
			Labels: map[string]string{discoveryv1.LabelServiceName: serviceName},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"192.0.2.1"}}},
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("https"), Port: ptr.To(int32(s.port))}},
	})).To(Succeed())
	for group, version := range map[string]string{"subresources.sharedcloud.io": "v1alpha1", "rest.sharedcloud.io": "v1"} {
		Expect(k8s.Create(ctx, &apiregistrationv1.APIService{
			ObjectMeta: metav1.ObjectMeta{Name: version + "." + group},
			Spec: apiregistrationv1.APIServiceSpec{
				Group: group, Version: version,
				GroupPriorityMinimum: 10, VersionPriority: 10,
				CABundle: pki.caPEM,
				Service:  &apiregistrationv1.ServiceReference{Name: serviceName, Namespace: systemNamespace, Port: ptr.To(int32(s.port))},
			},
		})).To(Succeed())
	}
}

// retrying repeats requests while the aggregator still considers the server unavailable. A check that falls into the time when
// a spec has stopped the server makes the aggregator refuse until its next check, which may be seconds after the server is ready.
type retrying struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (p retrying) RoundTrip(r *http.Request) (*http.Response, error) {
	for {
		response, err := p.next.RoundTrip(r)
		if err != nil || response.StatusCode != http.StatusServiceUnavailable {
			return response, err
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			return nil, err
		}
		// A response of the server itself is JSON.
		if string(body) != "service unavailable\n" || r.Body != nil && r.GetBody == nil {
			response.Body = io.NopCloser(bytes.NewReader(body))
			return response, nil
		}
		again := r.Clone(r.Context())
		if r.Body != nil {
			if again.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
		r = again
		select {
		case <-r.Context().Done():
			return nil, fmt.Errorf("the aggregator still says that the service is unavailable: %w", r.Context().Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// discovered waits until an API is served through the aggregator, and returns its resources. An available APIService is not
// enough: the proxy in the aggregator observes it later, and answers 503 until then.
func discovered(ctx context.Context, group, version string) *metav1.APIResourceList {
	GinkgoHelper()
	var list *metav1.APIResourceList
	Eventually(func(g Gomega) {
		service := &apiregistrationv1.APIService{}
		g.Expect(k8s.Get(ctx, client.ObjectKey{Name: version + "." + group}, service)).To(Succeed())
		g.Expect(available(service)).To(BeEmpty())
		var err error
		list, err = clientset.Discovery().ServerResourcesForGroupVersion(group + "/" + version)
		g.Expect(err).NotTo(HaveOccurred())
	}).WithContext(ctx).WithTimeout(time.Minute).Should(Succeed())
	return list
}

// available is the reason why an APIService is not available; "" when it is.
func available(service *apiregistrationv1.APIService) string {
	for _, condition := range service.Status.Conditions {
		if condition.Type == apiregistrationv1.Available {
			if condition.Status == apiregistrationv1.ConditionTrue {
				return ""
			}
			return condition.Reason + ": " + condition.Message
		}
	}
	return "nothing is known yet"
}

// copyStore copies the file of a store that is in use, with its write-ahead log.
func copyStore(g Gomega, path string) string {
	folder := GinkgoT().TempDir()
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + suffix)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(os.WriteFile(filepath.Join(folder, "outcomes.db"+suffix), data, 0o600)).To(Succeed())
	}
	return filepath.Join(folder, "outcomes.db")
}
