// Package identity says who calls the API server, and what he may do.
//
// What lives here: the authenticator of workers' tokens, which are good for the exchange and nothing else, and the
// authenticator and authorizer of the aggregated face. What must not: anything of one face's own protocol, and decisions
// that RBAC rules can make.
package identity
