// Package strictjson reads JSON from an untrusted sender, in one pass over bytes that are already in memory.
//
//	decoder.go   Decoder: the values of one text one after the other, as the caller expects them
//	scan.go      Check and the skipping of values: depth, names, numbers, strings
//	names.go     names that an object must not have twice
//	strings.go   strings: UTF-8, escapes, surrogates
//
// encoding/json accepts what a contract must not accept: it keeps the last of two equal names, compares names without case,
// replaces half a surrogate pair and bytes that are not UTF-8, and nests 10,000 levels. It also builds what it reads before
// anything can count it. This package refuses the first kind with a sentence and lets the caller count while it reads. What
// it allocates is what the caller asks for, and some bytes for each name of an open object.
//
// Both components and package parameters use it, so it imports the standard library only.
package strictjson
