// Package multicall chooses one of several programs in one binary: the one
// whose name the binary was called by, or else the one that the first argument
// names. It's apart from cmd/kubernetes so that testing it takes no linking of
// Kubernetes.
package multicall

import "path/filepath"

// Choose returns the program that args ask for, and the arguments as that
// program is to see them; false if they ask for none.
func Choose[P any](programs map[string]P, args []string) (P, []string, bool) {
	var none P
	if len(args) == 0 {
		return none, nil, false
	}
	if program, ok := programs[filepath.Base(args[0])]; ok {
		return program, args, true
	}
	if len(args) > 1 {
		if program, ok := programs[args[1]]; ok {
			return program, args[1:], true
		}
	}
	return none, nil, false
}
