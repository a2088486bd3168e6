package bodies

import (
	"net/http"
	"strings"
)

// ContentCoding returns the content coding of a body, such as gzip; "" for none. No frontend decompresses a body.
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

// Upgrades reports whether the request asks for another protocol on its connection. No frontend supports one.
func Upgrades(r *http.Request) bool { return len(r.Header.Values("Upgrade")) > 0 }

// AmbiguousPath reports whether two programs might interpret the path differently: it has dot segments, empty segments, an
// escaped slash, backslash, percent sign or control character, or is not valid UTF-8.
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
