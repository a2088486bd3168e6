// Package transfer exports, imports and copies whole outcome stores, for the command `apiserver store`.
//
//	export.go  the tables of a store; Export and Copy
//	import.go  Import: rows get new ids, and runs that the store already has are skipped
//
// It reads an outcomes.Snapshot and writes an outcomes.Sink.
//
// What must not be here: engines and SQL (package outcomes), the meaning of rows, and anything that a server needs.
package transfer
