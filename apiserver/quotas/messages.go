package quotas

import (
	"fmt"
	"math"
	"strconv"
)

// ExceededError reports that a namespace's quota has no room for what was to be stored.
type ExceededError struct {
	Room Room
	// Wanted is how many bytes were to be stored.
	Wanted int64
}

func (e *ExceededError) Error() string {
	return e.Room.Usage() + ": " + Size(e.Wanted) + " more would exceed it. " + e.Room.Remedy()
}

// Usage states the quota and how much of it is used.
func (r *Room) Usage() string {
	what := "results and output"
	if r.Kind == Uploads {
		what = "uploaded inputs"
	}
	return fmt.Sprintf("the namespace %s stores %s of %s, and its quota is %s", r.Namespace, Size(r.Used), what, Size(r.Limit))
}

// Remedy says how to free space.
func (r *Room) Remedy() string {
	raise := "ask an administrator for a larger quota (the annotation " + AnnotationOf(r.Kind) + " of the Namespace)"
	if r.Kind == Uploads {
		return "Delete runs whose inputs were uploaded (an upload is deleted a day after the last run that references it), or " + raise
	}
	return "Delete finished runs, let results expire (resultsTTLSecondsAfterFinished), or " + raise
}

// Size formats a number of bytes.
func Size(bytes int64) string {
	for _, unit := range []struct {
		shift int
		name  string
	}{{40, "TiB"}, {30, "GiB"}, {20, "MiB"}, {10, "KiB"}} {
		if one := int64(1) << unit.shift; bytes >= one {
			return strconv.FormatFloat(math.Floor(float64(bytes)/float64(one)*10)/10, 'f', -1, 64) + " " + unit.name
		}
	}
	if bytes == 1 {
		return "1 byte"
	}
	return strconv.FormatInt(bytes, 10) + " bytes"
}
