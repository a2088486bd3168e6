// Package parameters reads and counts the inputs of a run.
//
//	literal.go   ParseLiteral: the text of a Python tuple of tuples, and the positions of its inner tuples
//	walker.go    the grammar: brackets, commas, signs, dict keys
//	scanner.go   the words of a text: white space, names, and the positions of errors
//	strings.go   string and bytes literals
//	numbers.go   numbers
//	stream.go    Reader: inputs one after the other from a text of any length, in any format
//	json.go      the formats JSON and NDJSON (splitter.go: the elements of an array of any length)
//	csv.go       the format CSV
//	spec.go      FromSpec and Count: the inputs of a FunctionRun in any form
//	cache.go     DropInputs and CachedCount: what informer caches keep in place of the inputs
//
// Both components use it, so of this module it imports only api. It reads neither the cluster nor the store and evaluates nothing:
// it validates a literal and splits it, and the Python interpreter of the handler builds the values.
package parameters
