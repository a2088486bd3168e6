package trust

import (
	"bytes"
	"crypto/x509"
	"testing"
	"time"
)

var (
	testStart = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	testNames = ServerNames("sharedcloud-apiserver", "sharedcloud-system")
)

const day = 24 * time.Hour

func mustRenew(t *testing.T, a authority, now time.Time) (authority, bool) {
	t.Helper()
	renewed, changed, err := a.renewed(now)
	if err != nil {
		t.Fatal(err)
	}
	return renewed, changed
}

func mustIssue(t *testing.T, a authority, now time.Time) *pair {
	t.Helper()
	leaf, err := a.issue(testNames, now)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// trusts reports whether a client with this bundle accepts the leaf.
func trusts(t *testing.T, bundle []byte, leaf *pair, name string, now time.Time) bool {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		t.Fatal("the bundle holds no certificate")
	}
	_, err := leaf.cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return err == nil
}

func TestLeafIsValidForEveryNameOfTheServer(t *testing.T) {
	a, _ := mustRenew(t, authority{}, testStart)
	leaf := mustIssue(t, a, testStart)
	for _, name := range []string{"sharedcloud-apiserver.sharedcloud-system.svc", "sharedcloud-apiserver.sharedcloud-system.svc.cluster.local", "localhost", "127.0.0.1"} {
		if !trusts(t, a.bundle(), leaf, name, testStart) {
			t.Errorf("the certificate is not valid for %s", name)
		}
	}
	if trusts(t, a.bundle(), leaf, "another.sharedcloud-system.svc", testStart) {
		t.Error("the certificate is valid for another name")
	}
	if !leaf.cert.NotAfter.Equal(testStart.Add(leafLifetime)) {
		t.Errorf("the certificate expires at %v", leaf.cert.NotAfter)
	}
}

// A client with the bundle of today or of yesterday verifies the current certificate: a node may take a day to renew its bundle. The test
// covers 25 years, day by day.
func TestEveryPublishedBundleVerifiesTheServer(t *testing.T) {
	a, changed := mustRenew(t, authority{}, testStart)
	if !changed {
		t.Fatal("the first authority is not a change")
	}
	leaf := mustIssue(t, a, testStart)
	authorities, leaves := 1, 1
	yesterday := a.bundle()
	for now := testStart; now.Before(testStart.Add(25 * 365 * day)); now = now.Add(day) {
		signing := a.signing
		a, _ = mustRenew(t, a, now)
		if a.signing != signing {
			authorities++
		}
		if !now.Before(a.leafDue(leaf, testNames, now)) {
			leaf = mustIssue(t, a, now)
			leaves++
		}
		for what, bundle := range map[string][]byte{"today's": a.bundle(), "yesterday's": yesterday} {
			if !trusts(t, bundle, leaf, testNames[0], now) {
				t.Fatalf("after %d days %s bundle does not verify the certificate", int(now.Sub(testStart)/day), what)
			}
		}
		if n := bytes.Count(a.bundle(), []byte("BEGIN CERTIFICATE")); n > 3 {
			t.Fatalf("after %d days the bundle has %d certificates", int(now.Sub(testStart)/day), n)
		}
		yesterday = a.bundle()
	}
	if authorities != 3 {
		t.Errorf("%d authorities in 25 years, want 3: each signs for 9 years", authorities)
	}
	if want := 25 * 365 / 60; leaves < want-3 || leaves > want+3 {
		t.Errorf("%d leaves in 25 years, want about %d: each is renewed after 60 days", leaves, want)
	}
}

func TestRenewed(t *testing.T) {
	first, _ := mustRenew(t, authority{}, testStart)
	nearEnd := testStart.Add(authorityLifetime - authorityOverlap + day)
	announced, _ := mustRenew(t, first, nearEnd)
	tests := []struct {
		name        string
		authority   authority
		now         time.Time
		wantChanged bool
		check       func(a authority) bool
	}{
		{name: "a new authority is kept", authority: first, now: testStart.Add(day), check: func(a authority) bool { return a.signing == first.signing && a.next == nil }},
		{name: "a year before its expiry the next authority is published and does not sign", authority: first, now: nearEnd, wantChanged: true,
			check: func(a authority) bool { return a.signing == first.signing && a.next != nil }},
		{name: "nothing changes for a day", authority: announced, now: nearEnd.Add(23 * time.Hour),
			check: func(a authority) bool { return a.signing == first.signing && a.next == announced.next }},
		{name: "after a day the next authority signs and the old one stays in the bundle", authority: announced, now: nearEnd.Add(day), wantChanged: true,
			check: func(a authority) bool {
				return a.signing == announced.next && a.next == nil && len(a.retired) == 1 && a.retired[0] == first.signing.cert
			}},
		{name: "an authority that expired while no manager ran is replaced", authority: first, now: testStart.Add(authorityLifetime + day), wantChanged: true,
			check: func(a authority) bool { return a.signing != first.signing && len(a.retired) == 0 }},
		{name: "an expired authority is replaced by the published next one", authority: announced, now: testStart.Add(authorityLifetime + day), wantChanged: true,
			check: func(a authority) bool { return a.signing == announced.next }},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, changed := mustRenew(t, tc.authority, tc.now)
			if changed != tc.wantChanged {
				t.Errorf("changed %v, want %v", changed, tc.wantChanged)
			}
			if !tc.check(got) {
				t.Errorf("the authority is %+v", got)
			}
			if !got.due().After(tc.now) {
				t.Errorf("it is due at %v, which is not after %v: a pass would follow a pass", got.due(), tc.now)
			}
		})
	}
}

func TestLeafDue(t *testing.T) {
	a, _ := mustRenew(t, authority{}, testStart)
	other, _ := mustRenew(t, authority{}, testStart)
	leaf := mustIssue(t, a, testStart)
	now := testStart.Add(day)
	tests := []struct {
		name  string
		leaf  *pair
		names []string
		want  time.Time
	}{
		{name: "a missing certificate is due now", names: testNames, want: now},
		{name: "a certificate of another authority is due now", leaf: mustIssue(t, other, testStart), names: testNames, want: now},
		{name: "a certificate without one of the names is due now", leaf: leaf, names: append([]string{"example.org"}, testNames...), want: now},
		{name: "a valid certificate is due 30 days before its expiry", leaf: leaf, names: testNames, want: testStart.Add(leafLifetime - 30*day)},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := a.leafDue(tc.leaf, tc.names, now); !got.Equal(tc.want) {
				t.Errorf("due at %v, want %v", got, tc.want)
			}
		})
	}
}

func TestSecretsStoreAnAuthority(t *testing.T) {
	first, _ := mustRenew(t, authority{}, testStart)
	announced, _ := mustRenew(t, first, testStart.Add(authorityLifetime-authorityOverlap+day))
	switched, _ := mustRenew(t, announced, testStart.Add(authorityLifetime-authorityOverlap+3*day))
	for name, a := range map[string]authority{"one": first, "one and the next": announced, "one and a retired one": switched} {
		t.Run(name, func(t *testing.T) {
			secret, err := secretOfAuthority("ns", a)
			if err != nil {
				t.Fatal(err)
			}
			got, err := authorityIn(secret)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.bundle(), a.bundle()) {
				t.Error("the bundle differs")
			}
			if !got.signing.cert.Equal(a.signing.cert) || (got.next == nil) != (a.next == nil) || len(got.retired) != len(a.retired) {
				t.Errorf("read %+v, stored %+v", got, a)
			}
			late := testStart.Add(authorityLifetime - authorityOverlap + 4*day)
			if !trusts(t, a.bundle(), mustIssue(t, got, late), testNames[0], late) {
				t.Error("a certificate of the stored authority is not trusted")
			}
		})
	}
}

func TestSecretsThatCannotBeReadAreNotReplaced(t *testing.T) {
	a, _ := mustRenew(t, authority{}, testStart)
	b, _ := mustRenew(t, authority{}, testStart)
	tests := map[string]func(data map[string][]byte){
		"a key without a certificate": func(d map[string][]byte) { delete(d, "tls.crt") },
		"the key of another certificate": func(d map[string][]byte) {
			_, key, err := b.signing.encode()
			if err != nil {
				t.Fatal(err)
			}
			d["tls.key"] = key
		},
		"an invalid key": func(d map[string][]byte) {
			d["tls.key"] = []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
		},
		"an invalid certificate": func(d map[string][]byte) {
			d["tls.crt"] = []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
		},
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			secret, err := secretOfAuthority("ns", a)
			if err != nil {
				t.Fatal(err)
			}
			spoil(secret.Data)
			if _, err := authorityIn(secret); err == nil {
				t.Error("it was read as an authority")
			}
		})
	}
}
