// Package identity says who calls the API server, and what a caller may do.
//
// What lives here: the authenticators of workers' tokens, which are valid for the exchange only, and of people's tokens, with the
// budget for reviews of unknown tokens; certificate authorities of clients; tenants of namespaces; the authorizer of the aggregated
// API; and the check of what a spec refers to. What must not be here: the protocol of one frontend, and decisions that RBAC rules can
// make.
package identity
