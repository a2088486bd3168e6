package workload

import (
	"strconv"
	"strings"

	"sharedcloud.io/function-operator/controllers/values"
)

const (
	// A pod of an Indexed Job is named JOB-INDEX-XXXXX, and its host name JOB-INDEX must be a DNS label. Indexes have at most 4
	// digits, since a run has at most 10,000 workers.
	maxJobName = 63 - len("-9999") - len("-xxxxx")
	// A revision's name begins with that of its function, as far as it fits.
	maxFunctionPart    = 40
	shortHashLength    = 8
	revisionHashLength = 10
)

// JobName is the name of a run's k-th Job: RUN-K if that is a DNS label and leaves room for the names of pods, otherwise a
// prefix of RUN, a hash of RUN, and K. It depends on nothing else.
func JobName(run string, k int32) string {
	suffix := "-" + strconv.Itoa(int(k))
	// A run's name may contain dots, the host name of an indexed pod may not.
	if name := run + suffix; len(name) <= maxJobName && !strings.Contains(run, ".") {
		return name
	}
	suffix = "-" + values.Hash(run)[:shortHashLength] + suffix
	head := strings.ReplaceAll(run, ".", "-")
	head = head[:min(len(head), maxJobName-len(suffix))]
	return strings.TrimRight(head, "-") + suffix
}

// revisionName is the name of a revision's ConfigMap: a prefix of the function's name and a hash of the content.
func revisionName(function, contentHash string) string {
	head := function[:min(len(function), maxFunctionPart)]
	return strings.TrimRight(head, "-.") + "-" + contentHash[:revisionHashLength]
}

// HasRevisionHash reports whether a name ends with the hash of a revision.
func HasRevisionHash(name, contentHash string) bool {
	return strings.HasSuffix(name, "-"+contentHash[:revisionHashLength])
}

// InputsName is the name of the ConfigMap with the copy of a run's inputs.
func InputsName(run string) string {
	const suffix, maxLength = "-inputs", 253
	if len(run)+len(suffix) <= maxLength {
		return run + suffix
	}
	return run[:maxLength-len(suffix)-1-shortHashLength] + "-" + values.Hash(run)[:shortHashLength] + suffix
}
