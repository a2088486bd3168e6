// Package identity says who calls the API server, and what he may do.
//
// What lives here: the authenticators of workers' tokens, which are good for the exchange and nothing else, and of people's, with the
// budget that reviews of unknown tokens have; the authorizer of the aggregated face; and the repeated authorization of what takes long. What must not: anything of one face's own protocol, and decisions
// that RBAC rules can make.
package identity
