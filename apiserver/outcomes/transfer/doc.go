// Package transfer exports, imports and copies whole outcome stores, for the command `apiserver store`.
//
//	export.go  which tables and columns a store has; Export and Copy
//	import.go  Import: rows get new numbers in the store, and those of runs that are there already are left out
//
// It reads an outcomes.Snapshot and writes an outcomes.Sink.
//
// What must not be here: engines and their SQL (package outcomes has them), what a row means, and anything that a server needs.
package transfer
