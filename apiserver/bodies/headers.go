package bodies

import (
	"net/http"
	"strings"
)

// Encoded is the coding that a body comes in, such as gzip; "" for one that is sent as it is. No frontend inflates a body.
func ContentCoding(header http.Header) string {
	for _, header := range header.Values("Content-Encoding") {
		for coding := range strings.SplitSeq(header, ",") {
			if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
				return coding
			}
		}
	}
	return ""
}

// Upgrades says whether the request asks for another protocol on its connection. No frontend speaks one.
func Upgrades(r *http.Request) bool { return len(r.Header.Values("Upgrade")) > 0 }

// Odd says whether a path is written in a way that two programs might understand differently: with dots for segments, with
// empty segments, with an escaped slash, backslash, percent sign or control character, or with one that is not text.
func AmbiguousPath(r *http.Request) bool {
	path := r.URL.Path
	raw := strings.ToLower(r.URL.EscapedPath())
	for _, part := range []string{"%2f", "%5c", "%25", "\\", "//"} {
		if strings.Contains(raw, part) {
			return true
		}
	}
	for _, c := range path {
		if c < ' ' || c == 0x7f || c == '\ufffd' {
			return true
		}
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}
