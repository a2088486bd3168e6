// Package bodies limits the memory and the time of request bodies, for all frontends.
//
//	budget.go   Budget: bytes that have arrived, in total and for each key (a caller, a namespace, a pod)
//	body.go     Body: a body with a size limit, a deadline, a minimum rate and a budget
//	drain.go    Drain: reads the rest of a rejected body
//	metrics.go  metrics of the budgets
//	headers.go  requests that no frontend accepts: an upgrade, a compressed body, an ambiguous path
//
// What must not be here: the content of bodies, and the wording of a frontend's errors.
package bodies
