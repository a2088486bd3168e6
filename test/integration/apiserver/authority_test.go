package apiserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/gomega"
)

// authority is a certificate authority in a folder.
type authority struct {
	folder, caFile string
	ca             *x509.Certificate
	caPEM          []byte
	key            *ecdsa.PrivateKey
	serial         int64
}

// pair is a certificate with its key.
type pair struct{ certFile, keyFile string }

func newAuthority(folder string) *authority {
	a := &authority{folder: folder, caFile: filepath.Join(folder, "ca.crt")}
	a.key = newKey()
	template := a.template("the specs' authority")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	Expect(err).NotTo(HaveOccurred())
	a.ca, err = x509.ParseCertificate(der)
	Expect(err).NotTo(HaveOccurred())
	a.caPEM = writePEM(a.caFile, "CERTIFICATE", der)
	return a
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Expect(err).NotTo(HaveOccurred())
	return key
}

func (a *authority) template(name string) *x509.Certificate {
	a.serial++
	return &x509.Certificate{
		SerialNumber: big.NewInt(a.serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
}

// client issues a client certificate.
func (a *authority) client(name string) pair {
	template := a.template(name)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return a.issue(template, filepath.Join(a.folder, name))
}

// server issues a serving certificate, in the files base.crt and base.key.
func (a *authority) server(base, name string, ip net.IP) pair {
	template := a.template(name)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.DNSNames, template.IPAddresses = []string{name}, []net.IP{ip}
	return a.issue(template, base)
}

func (a *authority) issue(template *x509.Certificate, base string) pair {
	key := newKey()
	der, err := x509.CreateCertificate(rand.Reader, template, a.ca, key.Public(), a.key)
	Expect(err).NotTo(HaveOccurred())
	keyDER, err := x509.MarshalECPrivateKey(key)
	Expect(err).NotTo(HaveOccurred())
	issued := pair{base + ".crt", base + ".key"}
	writePEM(issued.keyFile, "EC PRIVATE KEY", keyDER)
	writePEM(issued.certFile, "CERTIFICATE", der)
	return issued
}

// writePEM replaces a file atomically, as the kubelet replaces a mounted Secret.
func writePEM(path, kind string, der []byte) []byte {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	Expect(os.WriteFile(path+".new", text, 0o600)).To(Succeed())
	Expect(os.Rename(path+".new", path)).To(Succeed())
	return text
}
