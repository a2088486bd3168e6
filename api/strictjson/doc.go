// Package strictjson reads JSON from an untrusted sender, in one pass over bytes that are already in memory.
//
//	decoder.go   Decoder: reads the values of one text in the order that the caller expects
//	scan.go      Check and the skipping of values: depth, names, numbers, strings
//	names.go     duplicate names of an object
//	strings.go   strings: UTF-8, escapes, surrogates
//
// encoding/json is too lenient for untrusted senders: it keeps the last of two equal names, compares names without case, replaces
// half a surrogate pair and bytes that are not UTF-8, and accepts 10,000 levels of nesting. It also builds all values before the
// caller can count them. This package rejects such texts with a sentence and lets the caller count while it reads. It allocates only
// what the caller asks for, and a few bytes for each name of an open object.
//
// Both components and package parameters use it, so it imports the standard library only.
package strictjson
