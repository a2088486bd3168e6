package wire

import (
	"strings"

	"sharedcloud.io/function-operator/apiserver/uuids"
)

// Path is what a path below the API's prefix names.
type Path struct {
	// Resource is its first part.
	Resource string
	// HasID: it has a second part. ID is that, in lower case, or "" where it is no uuid: then it names nothing.
	HasID bool
	ID    string
	// Slash: it ends with one, which chooses the dialect.
	Slash bool
}

// ParsePath takes a path apart; false where it is not below the prefix.
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
