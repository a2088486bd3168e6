package rest

// The function contract: code must define handler(event). Only as much of the code is read as is needed to tell code from comments and
// strings. The syntax is not judged: the version of the interpreter is not known here, and code with a syntax error is accepted, as the
// contract says; its jobs fail.

// signatureProblem returns the error of code without the signature, or "".
func signatureProblem(language, code string) string {
	switch language {
	case "python":
		if !definesPythonHandler(code) {
			return "The code needs to have the following signature: def handler(event):"
		}
	case "node":
		if !definesNodeHandler(code) {
			return "The code needs to have the following signature: function handler(event) { ... }"
		}
	}
	return ""
}
