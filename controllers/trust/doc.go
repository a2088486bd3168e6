// Package trust keeps the certificates with which workers and the aggregator verify the API server.
//
//   - authority.go: a certificate authority, its renewal with overlap, and the certificates that it issues; pure functions of values and a
//     time.
//   - secrets.go: how both are stored in Secrets.
//   - authority_controller.go: the reconciler of the two Secrets and of the APIServices' caBundle.
//   - bundle_controller.go: the reconciler of the bundle in each namespace that has runs.
//   - setup.go: their watches and caches.
//
// The authority is valid for years and renewed with overlap: the next one is in the bundle a day before it signs anything, and the old one
// stays in the bundle until it expires. So every bundle that was ever published verifies the current certificate. Serving certificates
// are short-lived. Only this package writes these objects; the API server and the workers read them.
package trust
