// Package trust keeps the certificates by which workers and the aggregator know the API server.
//
// The map:
//
//   - authority.go: a certificate authority and its renewal with overlap, leaves; pure functions of values and a time.
//   - secrets.go: how both are kept in Secrets.
//   - authority_controller.go: the reconciler that owns the two Secrets and the APIService's caBundle.
//   - bundle_controller.go: the reconciler that writes the bundle into each namespace that has runs.
//
// The authority lives long and is renewed with overlap: the next one is published in the bundle a day before it signs
// anything, and the old one stays in the bundle until it expires, so that whoever holds a bundle of any moment trusts what is
// served. Leaves live short. Nobody else writes these objects; the API server and the workers read them.
package trust
