package sandbox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"sharedcloud.io/function-operator/hack/cluster/internal/node"
)

// Init is the first process in the namespaces: it makes them a machine and
// keeps the cluster's components running until it is stopped.
func Init(dir string) error {
	spec, err := node.Read(dir)
	if err != nil {
		return err
	}
	if err := furnish(spec); err != nil {
		return err
	}
	for _, own := range []string{"logs", "home", "etcd", "volume-plugins"} {
		if err := os.MkdirAll(spec.Path(own), 0o700); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	stages := map[node.Stage]<-chan struct{}{
		node.AtOnce:     closed(),
		node.EtcdUp:     when(ctx, 20*time.Millisecond, func() bool { return answers("127.0.0.1:2379") }),
		node.APIServing: when(ctx, 100*time.Millisecond, apiReady(spec)),
	}
	children := newReaper()
	for _, component := range spec.Components() {
		s := &supervised{component: component, spec: spec, children: children}
		go s.keepRunning(ctx, stages[component.After])
	}
	go children.run()
	<-ctx.Done()
	return nil // and the kernel ends all the others
}

// when returns a channel that is closed once ready has said yes.
func when(ctx context.Context, every time.Duration, ready func() bool) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		for !ready() {
			select {
			case <-ctx.Done():
				return
			case <-time.After(every):
			}
		}
		close(done)
	}()
	return done
}

func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func answers(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// apiReady asks the API server's readiness, which anyone may read.
func apiReady(spec node.Spec) func() bool {
	roots := x509.NewCertPool()
	if ca, err := os.ReadFile(spec.PKI("ca.crt")); err == nil {
		roots.AppendCertsFromPEM(ca)
	}
	client := &http.Client{
		Timeout:   2 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
	}
	url := fmt.Sprintf("https://%s/readyz", net.JoinHostPort(node.IP, node.APIPort))
	return func() bool {
		response, err := client.Get(url)
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	}
}
