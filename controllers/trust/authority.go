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
	authorityLife = 10 * 365 * 24 * time.Hour
	// The next authority is made when this much of the signing one's life is left …
	authorityOverlap = 365 * 24 * time.Hour
	// … and signs when it has been in the bundle for this long: kubelets renew mounted ConfigMaps within minutes, but a
	// node may be away for some hours.
	publishedBeforeSigning = 24 * time.Hour

	leafLife = 90 * 24 * time.Hour
	// A leaf is renewed when this much of its life is left.
	leafRenewal = 30 * 24 * time.Hour

	// Clocks differ.
	backdated = 5 * time.Minute
)

// pair is a certificate with its key.
type pair struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// authority is what signs, what will sign next, and what has signed before and is still valid.
type authority struct {
	signing *pair
	next    *pair
	retired []*x509.Certificate
}

// renewed is the authority as it should be now, and whether that is another than a.
func (a authority) renewed(now time.Time) (authority, bool, error) {
	changed := false
	if a.signing == nil || !now.Before(a.signing.cert.NotAfter) {
		// None yet, or the manager has been away for years: nobody trusts the old one any more, so nothing is lost.
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

// due is when renewed will have something to do.
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

// bundle is what vouches for anything that this authority signs, has signed or will sign, PEM.
func (a authority) bundle() []byte {
	certs := []*x509.Certificate{a.signing.cert}
	if a.next != nil {
		certs = append(certs, a.next.cert)
	}
	return encodeCertificates(append(certs, a.retired...))
}

// issue makes a leaf for a server of these names.
func (a authority) issue(names []string, now time.Time) (*pair, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: names[0]},
		NotBefore:   now.Add(-backdated),
		NotAfter:    earlier(now.Add(leafLife), a.signing.cert.NotAfter),
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

// leafDue is when the leaf must be renewed: now or earlier if it is not of this authority or not for these names.
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
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
	}, nil)
}

// sign makes a key and a certificate for it, signed by parent or, without one, by itself.
func sign(template *x509.Certificate, parent *pair) (*pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	template.SerialNumber = serial.Add(serial, big.NewInt(1))
	issuer, signer := template, crypto.Signer(key)
	if parent != nil {
		issuer, signer = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate made: %w", err)
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
		_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}) // a Buffer takes everything
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

// decodePair reads a certificate and its key; it returns nil without an error where there is neither.
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
		return nil, errors.New("there is no certificate or no key")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the key cannot be read") // the parser's own words may quote the key
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(certs[0].PublicKey) {
		return nil, errors.New("the key is not the certificate's")
	}
	return &pair{cert: certs[0], key: key}, nil
}
