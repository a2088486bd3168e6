// Package status decides the contents of the statuses of Functions, FunctionImages and FunctionRuns.
//
// Its functions are pure: they take objects and a time and change or return values, without a client, a context or a clock.
//
//   - conditions.go: the conditions that every kind has, for kstatus. run.go: those of a run.
//   - workers.go: a summary of the pods of a run's Job. running.go: the condition state of a run whose Job exists.
//   - function.go: whether a run may use a Function. digest.go: the digest of an image, from the pods that run it.
//   - undecodable.go: the conditions of an object whose content cannot be decoded.
//   - apply.go: a status as the apply configuration of the fields that the controllers own.
//
// What must not be here: how revisions and Jobs are built (package workload), and any access to the cluster.
package status
