package rest

import "regexp"

// The function contract: code must define handler(event).
var (
	pythonHandler = regexp.MustCompile(`(?m)^[ \t]*(?:async[ \t]+)?def[ \t]+handler[ \t]*\([ \t\r\n]*event[ \t\r\n]*[,:=)]`)
	nodeHandler   = regexp.MustCompile(`(?m)(?:^|[^\w$.])(?:async\s+)?function\s+handler\s*\(\s*event\s*[,=)]`)
)

// signatureProblem returns the error of code without the signature, or "".
func signatureProblem(language, code string) string {
	switch language {
	case "python":
		if !pythonHandler.MatchString(code) {
			return "The code needs to have the following signature: def handler(event):"
		}
	case "node":
		if !nodeHandler.MatchString(code) {
			return "The code needs to have the following signature: function handler(event) { ... }"
		}
	}
	return ""
}
