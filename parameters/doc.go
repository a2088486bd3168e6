// Package parameters says what a run's inputs are: how many inputs, and which.
//
//	literal.go   ParseLiteral: the text of a Python tuple of tuples, and where in it each inner tuple lies
//	walker.go    the grammar: brackets, commas, signs, what may be a key
//	scanner.go   the words of a text: white space, names, and the lines and columns of errors
//	strings.go   string and bytes literals
//	numbers.go   numbers
//	stream.go    Reader: inputs one after the other out of a text of any length, in any format
//	json.go      the formats JSON and NDJSON (splitter.go: the elements of an array of any length)
//	csv.go       the format CSV
//	spec.go      FromSpec and Count: the inputs of a FunctionRun, whichever way they are given
//	cache.go     DropInputs and CachedCount: what the informer caches keep in place of the inputs
//
// Both components use it, so it imports nothing of ours but api, reads no cluster and no store, and evaluates nothing:
// a literal is checked and cut into pieces, and the handler's own Python builds the values.
package parameters
