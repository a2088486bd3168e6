package controllers

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"sharedcloud.io/function-operator/api/printable"
)

const (
	// A pod of an Indexed Job is named JOB-INDEX-XXXXX, and its host name JOB-INDEX must be a DNS label. Indexes have
	// at most 4 digits, since workers are at most 10,000.
	longestJobName = 63 - len("-9999") - len("-xxxxx")
	// A revision's name shows the function it was made from, as far as that fits.
	longestFunctionPart = 40
	shortHash           = 8
	revisionHash        = 10
)

// jobName is the name of a run's k-th Job: RUN-K where that is a DNS label and leaves room for the names of pods, else
// the beginning of RUN, a hash of all of it, and K. The same run and k give the same name, always.
func jobName(run string, k int32) string {
	suffix := "-" + strconv.Itoa(int(k))
	// A run's name may contain dots, the host name of an indexed pod may not.
	if name := run + suffix; len(name) <= longestJobName && !strings.Contains(run, ".") {
		return name
	}
	suffix = "-" + hashOf(run)[:shortHash] + suffix
	head := strings.ReplaceAll(run, ".", "-")
	head = head[:min(len(head), longestJobName-len(suffix))]
	return strings.TrimRight(head, "-") + suffix
}

// revisionName is the name of the ConfigMap that holds a revision: the beginning of the function's name and a hash of
// everything that is in it.
func revisionName(function, contentHash string) string {
	head := function[:min(len(function), longestFunctionPart)]
	return strings.TrimRight(head, "-.") + "-" + contentHash[:revisionHash]
}

// hasRevisionHash says whether a revision of this hash may have the name.
func hasRevisionHash(name, contentHash string) bool {
	return strings.HasSuffix(name, "-"+contentHash[:revisionHash])
}

// inputsName is the name of the ConfigMap with the copy of a run's inputs. A name that is longer than a run's may be is cut.
func inputsName(run string) string {
	const suffix, longest = "-inputs", 253
	if len(run)+len(suffix) <= longest {
		return run + suffix
	}
	return run[:longest-len(suffix)-1-shortHash] + "-" + hashOf(run)[:shortHash] + suffix
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// cut shortens foreign text to at most limit bytes.
func cut(text string, limit int) string { return printable.Cut(text, limit) }
