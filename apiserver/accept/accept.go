// Package accept evaluates the headers Accept and Accept-Encoding of a request for one content type, or for gzip.
//
// It must not contain the response to a request that accepts nothing that is served.
package accept

import (
	"mime"
	"strconv"
	"strings"

	"github.com/munnerz/goautoneg"
)

// Any reports whether the Accept headers accept the content type, by its name or by a wildcard. Without the header, or with an
// empty one, a request accepts all types.
func Any(headers []string, contentType string) bool {
	if strings.Trim(strings.Join(headers, ""), " ,") == "" {
		return true
	}
	kind, subtype, _ := strings.Cut(contentType, "/")
	return matches(headers, func(a goautoneg.Accept) bool {
		return a.Type == "*" && a.SubType == "*" || a.Type == kind && (a.SubType == subtype || a.SubType == "*")
	})
}

// Named reports whether the Accept headers name the content type itself: a wildcard asks for the default.
func Named(headers []string, contentType string) bool {
	kind, subtype, _ := strings.Cut(contentType, "/")
	return matches(headers, func(a goautoneg.Accept) bool { return a.Type == kind && a.SubType == subtype })
}

func matches(headers []string, match func(goautoneg.Accept) bool) bool {
	for _, header := range headers {
		for _, clause := range goautoneg.ParseAccept(strings.ToLower(header)) {
			if clause.Q > 0 && match(clause) {
				return true
			}
		}
	}
	return false
}

// Gzip reports whether the Accept-Encoding headers accept gzip, by its name or by "*". Handlers that compress by themselves do not know "*".
func Gzip(headers []string) bool {
	for _, header := range headers {
		for part := range strings.SplitSeq(header, ",") {
			// A coding has the form of a media type without a slash. It is returned beside the error of a malformed parameter.
			coding, parameters, _ := mime.ParseMediaType(part)
			if coding != "gzip" && coding != "*" {
				continue
			}
			if q, err := strconv.ParseFloat(parameters["q"], 64); err != nil || q > 0 {
				return true
			}
		}
	}
	return false
}
