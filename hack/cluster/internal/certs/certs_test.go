package certs

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestMake(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	now := time.Now()
	leaves := Leaves("default-node", "10.80.0.1", "10.96.0.1")
	if err := Make(dir, leaves, now); err != nil {
		t.Fatal(err)
	}
	roots := map[bool]*x509.CertPool{false: pool(t, dir, "ca"), true: pool(t, dir, "front-proxy-ca")}
	for _, leaf := range leaves {
		cert := load(t, dir, leaf.Name)
		usage := x509.ExtKeyUsageClientAuth
		if len(leaf.Hosts) > 0 {
			usage = x509.ExtKeyUsageServerAuth
		}
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots[leaf.Proxy], KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Errorf("%s: %v", leaf.Name, err)
		}
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots[!leaf.Proxy], KeyUsages: []x509.ExtKeyUsage{usage}}); err == nil {
			t.Errorf("%s: the other authority signed it too", leaf.Name)
		}
		for _, host := range leaf.Hosts {
			if err := cert.VerifyHostname(host); err != nil {
				t.Errorf("%s: %v", leaf.Name, err)
			}
		}
		if cert.Subject.CommonName != leaf.User {
			t.Errorf("%s is %s", leaf.Name, cert.Subject.CommonName)
		}
	}
}

func TestKeysAreMadeOnceButNeverHalf(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	leaves := []Leaf{{Name: "admin", User: "admin"}}
	read := func() string {
		t.Helper()
		if err := Make(dir, leaves, time.Now()); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, "admin.crt"))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	first := read()
	if read() != first {
		t.Error("a second call made new keys")
	}
	if err := os.Remove(filepath.Join(dir, "complete")); err != nil {
		t.Fatal(err)
	}
	if read() == first {
		t.Error("a folder that was never completed was taken")
	}
}

func load(t *testing.T, dir, name string) *x509.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func pool(t *testing.T, dir, name string) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	p.AddCert(load(t, dir, name))
	return p
}
