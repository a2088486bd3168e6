// Package identity authenticates and authorizes the callers of the API server.
//
// It contains the authenticator of workers' tokens, which are valid for the exchange only; the authenticator of all other
// tokens, with a budget for reviews of unknown tokens; the namespaces of callers; the authorizer of the aggregated API; and
// the repeated authorization of long requests. The protocol of a frontend, and decisions that RBAC rules can make, do not
// belong here.
package identity
