// Package checks holds tests of the repository as a whole: which package may import which, and what no tracked file may
// name. There is no code here; tests of a package belong beside it.
package checks
