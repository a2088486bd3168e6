package trust

import (
	"bytes"
	"crypto"
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
	"slices"
	"time"
)

const (
	authorityLifetime = 10 * 365 * 24 * time.Hour
	// authorityOverlap is the remaining lifetime of the signing authority at which the next one is created.
	authorityOverlap = 365 * 24 * time.Hour
	// publishedBeforeSigning is how long the next authority is in the bundle before it signs: kubelets renew mounted ConfigMaps within
	// minutes, but a node may be offline for some hours.
	publishedBeforeSigning = 24 * time.Hour

	leafLifetime = 90 * 24 * time.Hour
	// leafRenewal is the remaining lifetime at which a leaf is renewed.
	leafRenewal = 30 * 24 * time.Hour

	// backdated allows for differences between clocks.
	backdated = 5 * time.Minute
)

// pair is a certificate with its key.
type pair struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// authority is the signing certificate, the next one, and earlier ones that are still valid.
type authority struct {
	signing *pair
	next    *pair
	retired []*x509.Certificate
}

// renewed is the authority as it should be now. changed reports whether it differs from a.
func (a authority) renewed(now time.Time) (renewed authority, changed bool, err error) {
	if a.signing == nil || !now.Before(a.signing.cert.NotAfter) {
		// There is none yet, or it expired while no manager ran: no client accepts it any more.
		signing := a.next
		if signing == nil || !now.Before(signing.cert.NotAfter) {
			made, err := newAuthority(now)
			if err != nil {
				return a, false, err
			}
			signing = made
		}
		a.signing, a.next, changed = signing, nil, true
	}
	if a.next == nil && a.signing.cert.NotAfter.Sub(now) < authorityOverlap {
		next, err := newAuthority(now)
		if err != nil {
			return a, false, err
		}
		a.next, changed = next, true
	}
	if a.next != nil && now.Sub(a.next.cert.NotBefore.Add(backdated)) >= publishedBeforeSigning {
		a.retired = append(slices.Clone(a.retired), a.signing.cert)
		a.signing, a.next, changed = a.next, nil, true
	}
	valid := slices.DeleteFunc(slices.Clone(a.retired), func(c *x509.Certificate) bool { return !now.Before(c.NotAfter) })
	if len(valid) != len(a.retired) {
		a.retired, changed = valid, true
	}
	return a, changed, nil
}

// due is when the authority changes next.
func (a authority) due() time.Time {
	due := a.signing.cert.NotAfter.Add(-authorityOverlap)
	if a.next != nil {
		due = a.next.cert.NotBefore.Add(backdated + publishedBeforeSigning)
	}
	for _, cert := range a.retired {
		if cert.NotAfter.Before(due) {
			due = cert.NotAfter
		}
	}
	return due
}

// bundle has the certificates that verify everything that this authority signs, has signed or will sign, PEM.
func (a authority) bundle() []byte {
	certs := []*x509.Certificate{a.signing.cert}
	if a.next != nil {
		certs = append(certs, a.next.cert)
	}
	return encodeCertificates(append(certs, a.retired...))
}

// issue creates a leaf for a server with these names.
func (a authority) issue(names []string, now time.Time) (*pair, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: names[0]},
		NotBefore:   now.Add(-backdated),
		NotAfter:    earlier(now.Add(leafLifetime), a.signing.cert.NotAfter),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
			continue
		}
		template.DNSNames = append(template.DNSNames, name)
	}
	return sign(template, a.signing)
}

// leafDue is when the leaf must be renewed: now or earlier if another authority issued it or if it lacks one of the names.
func (a authority) leafDue(leaf *pair, names []string, now time.Time) time.Time {
	if leaf == nil || leaf.cert.CheckSignatureFrom(a.signing.cert) != nil {
		return now
	}
	for _, name := range names {
		if leaf.cert.VerifyHostname(name) != nil {
			return now
		}
	}
	return leaf.cert.NotAfter.Add(-leafRenewal)
}

func newAuthority(now time.Time) (*pair, error) {
	return sign(&x509.Certificate{
		Subject:               pkix.Name{CommonName: "sharedcloud " + now.UTC().Format("2006-01-02 15:04:05")},
		NotBefore:             now.Add(-backdated),
		NotAfter:              now.Add(authorityLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
	}, nil)
}

// sign creates a key and a certificate for it, signed by parent or, without one, by itself.
func sign(template *x509.Certificate, parent *pair) (*pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("creating a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("creating a serial number: %w", err)
	}
	template.SerialNumber = serial.Add(serial, big.NewInt(1))
	issuer, signer := template, crypto.Signer(key)
	if parent != nil {
		issuer, signer = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("creating a certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parsing the created certificate: %w", err)
	}
	return &pair{cert: cert, key: key}, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func encodeCertificates(certs []*x509.Certificate) []byte {
	var out bytes.Buffer
	for _, cert := range certs {
		_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}) // writes to a Buffer do not fail
	}
	return out.Bytes()
}

func decodeCertificates(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		block, data = pem.Decode(data)
		if block == nil {
			return certs, nil
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading a certificate: %w", err)
		}
		certs = append(certs, cert)
	}
}

func (p *pair) encode() (cert, key []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding a key: %w", err)
	}
	return encodeCertificates([]*x509.Certificate{p.cert}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// decodePair reads a certificate and its key. It returns nil without an error if there is neither.
func decodePair(certPEM, keyPEM []byte) (*pair, error) {
	if len(certPEM) == 0 && len(keyPEM) == 0 {
		return nil, nil
	}
	certs, err := decodeCertificates(certPEM)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(keyPEM)
	if len(certs) == 0 || block == nil {
		return nil, errors.New("the certificate or the key is missing")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the key cannot be read") // the parser's error may quote the key
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(certs[0].PublicKey) {
		return nil, errors.New("the key does not match the certificate")
	}
	return &pair{cert: certs[0], key: key}, nil
}
