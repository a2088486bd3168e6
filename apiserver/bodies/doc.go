// Package bodies bounds what the bodies of requests take: memory and time, on every frontend.
//
//	budget.go   Budget: bytes that have arrived, in all and for each key (a caller, a namespace, a pod)
//	body.go     Body: a body that is read under a limit, a deadline, a minimum rate and a budget
//	pass.go     Pass: the rest of a body that is refused
//	metrics.go  what the budgets hold, and refuse
//	headers.go  what a request may not ask for at all: an upgrade, a body that is compressed
//
// What must not be here: what a body says, and how a frontend words its refusals.
package bodies
