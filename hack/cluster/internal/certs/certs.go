// Package certs creates a cluster's keys: one authority that all components trust,
// one for the aggregation layer's front proxy (a separate authority, because a
// client with its certificates may impersonate any user), a leaf for each
// component, and the key that signs service account tokens. They are created once
// per cluster and stay valid for its lifetime.
package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lifetime is far beyond that of a local cluster.
const lifetime = 5 * 365 * 24 * time.Hour

// Leaf is one certificate to make: Name.crt and Name.key.
type Leaf struct {
	Name   string
	User   string   // common name
	Groups []string // organizations
	Hosts  []string // names and addresses it serves; none: a client's
	Proxy  bool     // signed by the front proxy's authority
}

// Leaves are the certificates of a cluster whose node has that name and
// address; serviceIP is that of the Service "kubernetes".
func Leaves(node, nodeIP, serviceIP string) []Leaf {
	return []Leaf{
		{Name: "apiserver", User: "kube-apiserver", Hosts: []string{
			"127.0.0.1", "localhost", nodeIP, serviceIP,
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		}},
		{Name: "apiserver-kubelet-client", User: "kube-apiserver-kubelet-client", Groups: []string{"system:masters"}},
		{Name: "front-proxy-client", User: "front-proxy-client", Proxy: true},
		{Name: "admin", User: "admin", Groups: []string{"system:masters"}},
		{Name: "controller-manager", User: "system:kube-controller-manager"},
		{Name: "scheduler", User: "system:kube-scheduler"},
		{Name: "proxy", User: "system:kube-proxy"},
		{Name: "coredns", User: "system:coredns"},
		{Name: "kubelet", User: "system:node:" + node, Groups: []string{"system:nodes"}},
		{Name: "kubelet-serving", User: "system:node:" + node, Groups: []string{"system:nodes"}, Hosts: []string{node, nodeIP}},
	}
}

// Make fills dir with what is missing. A folder that was filled only halfway is
// filled anew: leaves of a lost authority are worth nothing.
func Make(dir string, leaves []Leaf, now time.Time) error {
	complete := filepath.Join(dir, "complete")
	if _, err := os.Stat(complete); err == nil {
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	main, err := newAuthority(dir, "ca", "sharedcloud-local", now)
	if err != nil {
		return err
	}
	proxy, err := newAuthority(dir, "front-proxy-ca", "sharedcloud-local-front-proxy", now)
	if err != nil {
		return err
	}
	for _, leaf := range leaves {
		by := main
		if leaf.Proxy {
			by = proxy
		}
		if err := by.issue(dir, leaf, now); err != nil {
			return fmt.Errorf("making the certificate %s: %w", leaf.Name, err)
		}
	}
	if err := makeTokenKey(dir); err != nil {
		return err
	}
	return os.WriteFile(complete, nil, 0o600)
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(dir, file, name string, now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := template(name, nil, now)
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert: cert, key: key}, write(dir, file, der, key)
}

func (a *authority) issue(dir string, leaf Leaf, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t := template(leaf.User, leaf.Groups, now)
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(leaf.Hosts) > 0 {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	for _, host := range leaf.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return err
	}
	return write(dir, leaf.Name, der, key)
}

func template(name string, groups []string, now time.Time) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err) // the system's random source never fails
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name, Organization: groups},
		NotBefore:    now.Add(-time.Hour), // clocks differ a little
		NotAfter:     now.Add(lifetime),
	}
}

// makeTokenKey makes the pair that signs and checks service account tokens.
func makeTokenKey(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	return errors.Join(
		writeKey(filepath.Join(dir, "service-account.key"), key),
		writePEM(filepath.Join(dir, "service-account.pub"), "PUBLIC KEY", public, 0o644),
	)
}

func write(dir, name string, der []byte, key *ecdsa.PrivateKey) error {
	return errors.Join(
		writePEM(filepath.Join(dir, name+".crt"), "CERTIFICATE", der, 0o644),
		writeKey(filepath.Join(dir, name+".key"), key),
	)
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, "EC PRIVATE KEY", der, 0o600)
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}
