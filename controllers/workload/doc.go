// Package workload decides what a Function and its runs execute: the revision of a Function, and the Job of a run.
//
// Its functions are pure: they take values and return values, without a client, a context or a clock.
//
//   - options.go, allowed.go, worker_defaults.go: what an administrator decides for all functions.
//   - settings.go: what shapes the pods of a run. settings_validation.go checks settings that were read back from a revision,
//     which may hold anything.
//   - code.go, revision.go, revision_number.go: a Function's code, and the immutable ConfigMap that holds it with its settings.
//   - pin.go, inputs.go: what a run pins of its Function, and the copy of its inputs.
//   - job.go, pod.go, volumes.go: the Job of a run. job_state.go: what a Job's annotations and size mean.
//   - problem.go, pod_problems.go: why a revision or a Job cannot be built, in words for a user.
//   - names.go: names of Jobs, revisions and copies of inputs.
//
// What must not be here: conditions and events (package status and the reconcilers), and any access to the cluster.
package workload
