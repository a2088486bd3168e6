// Package report synchronizes the outcome store and the custom resources.
//
//	Reporter  writes the progress of runs into status.progress, closes runs that a controller wants ended, and deletes
//	          results whose time to live has passed (retention.go)
//	Sweeper   deletes the outcomes of runs that were deleted
//
// Both are level-triggered loops that compare both sides and correct the difference, so a missed event is not lost.
// Decisions about inputs, and writes to anything but status.progress, do not belong here.
package report
