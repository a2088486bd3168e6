package controllers

import (
	"cmp"
	"fmt"
	"math"
	"strconv"

	"k8s.io/utils/ptr"

	"sharedcloud.io/function-operator/api/v1alpha1"
)

// The schema bounds every number, and what is stored may be older than the schema, or in a ConfigMap, which has none. So
// numbers are bounded once more where they are used.

// within is the value, or the bound that it is beyond.
func within[T cmp.Ordered](value, least, most T) T { return min(max(value, least), most) }

// numberOf reads an integer from an annotation; 0 where it is none, or not between 0 and most.
func numberOf(annotations map[string]string, key string, most int64) int64 {
	number, err := strconv.ParseInt(annotations[key], 10, 64)
	if err != nil || number < 0 || number > most {
		return 0
	}
	return number
}

// bounded says what is wrong with settings that a revision holds. What does not fit the types was refused when they were
// decoded, quantities among it.
func (s *Settings) bounded() error {
	for _, field := range []struct {
		name              string
		value, least, max int64
	}{
		{"gpus", int64(s.GPUs), 0, int64(v1alpha1.MaxGPUs)},
		{"workers", int64(s.Workers), 1, int64(v1alpha1.MaxWorkers)},
		{"timeoutSeconds", int64(s.TimeoutSeconds), 1, int64(v1alpha1.MaxTimeoutSeconds)},
		{"retries", int64(s.Retries), 0, int64(v1alpha1.MaxRetries)},
		{"batchSize", int64(ptr.Deref(s.BatchSize, 1)), 1, int64(v1alpha1.MaxBatchSize)},
		{"retryDelaySeconds", int64(ptr.Deref(s.RetryDelaySeconds, 0)), 0, int64(v1alpha1.MaxRetryDelaySeconds)},
		{"maxFailures", int64(ptr.Deref(s.MaxFailures, 0)), 0, math.MaxInt32},
		{"activeDeadlineSeconds", int64(ptr.Deref(s.ActiveDeadlineSeconds, 1)), 1, math.MaxInt32},
		{"files", int64(len(s.Files)), 0, mostFiles},
		{"command", int64(len(s.Command)), 0, mostFiles},
	} {
		if field.value < field.least || field.value > field.max {
			return fmt.Errorf("%s is %d and must be between %d and %d", field.name, field.value, field.least, field.max)
		}
	}
	return nil
}
