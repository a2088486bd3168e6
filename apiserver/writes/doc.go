// Package writes creates, changes and deletes Functions and FunctionRuns for the callers of REST and of the subresources.
//
//	writer.go     Writer and Requester; names, metadata and deletion of any object
//	functions.go  Functions: create, change by server-side apply, delete
//	runs.go       FunctionRuns: create, start, cancel, delete
//	owned.go      which fields of an object other field managers own
//
// It contains writes to the cluster, and the check that the caller may use the objects that a spec references. It must not contain HTTP, the
// check that the caller may write the object itself, which the frontends make, or look-ups (package core).
package writes
