// Package shares divides limited capacity among callers and namespaces, so that none of them can use all of it.
//
//	limiter.go   how many requests of a kind are served at once
//	rates.go    how many requests a caller and a namespace may make in a second
//	refusal.go  the error of both: which limit was reached, and when to try again
//
// It only counts. HTTP, identity, and the choice of a limit do not belong here.
package shares
