package wire

import (
	"strings"

	"sharedcloud.io/function-operator/apiserver/uuids"
)

// Path is a parsed path below the API's prefix.
type Path struct {
	// Resource is the first segment.
	Resource string
	// HasID: there is a second segment. ID is that segment in lower case, or "" if it is not a uuid.
	HasID bool
	ID    string
	// Slash: the path ends with a slash, which selects the dialect.
	Slash bool
}

// ParsePath parses a path; false if it is not below the prefix.
func ParsePath(path, prefix string) (Path, bool) {
	path, ok := strings.CutPrefix(path, prefix+"/")
	if !ok {
		return Path{}, false
	}
	var p Path
	path, p.Slash = strings.CutSuffix(path, "/")
	p.Resource, path, p.HasID = strings.Cut(path, "/")
	p.ID, _ = uuids.Canonical(path)
	return p, true
}
