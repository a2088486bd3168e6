package v1alpha1

// The maxima of the schema. Code that uses a value enforces them too, because an object may have been stored before a maximum
// existed or without validation.
const (
	MaxInputs         int32 = 100_000_000
	MaxWorkers        int32 = 10_000
	MaxGPUs           int32 = 64
	MaxTimeoutSeconds int32 = 604_800
	MaxBatchSize      int32 = 256
	MaxRetries        int32 = 100
	MaxSizeLimitMiB   int64 = 1 << 30
	MaxJobNumber      int32 = 1_000_000_000
	MaxHistoryLimit   int32 = 100
	// MaxCount is the greatest integer that every JSON decoder reads exactly. It limits generations and revision numbers.
	MaxCount int64 = 1<<53 - 1
)
