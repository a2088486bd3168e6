// Package shares divides what is limited among those who ask for it, so that no caller and no namespace takes all of it.
//
//	places.go   how many requests of a kind are served at once
//	rates.go    how many requests a caller and a namespace may make in a second
//	refusal.go  the one error of both: which limit was met, and when to try again
//
// What lives here: counting. What must not be here: HTTP, identity, and which limit applies to what.
package shares
