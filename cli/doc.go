// Package cli holds the commands of `kubectl function`.
//
//	root.go        the command and its flags, errors.go: exit codes and the sentences of errors
//	options.go     what all commands share: where the cluster is, which namespace
//	subresources.go the API server's subresources, through the cluster's own API or straight from the facade
//	inputs.go      the inputs of a run: found, and checked
//	upload.go      how they are sent, in one call or in several; spool.go: what is kept until it has arrived
//	run.go         run and rerun, wait.go: --wait and --follow, progress.go: what a person sees meanwhile
//	results.go     results, reader.go: reading on after each answer's end, render.go: table, JSON, CSV
//	log.go         log
//	list.go        list and get
//	describe.go    describe, advice.go: what is wrong, and what to do
//	control.go     cancel, suspend, resume
//	revisions.go   revisions, diff.go: diff, rollback.go: rollback
//	scaffold.go    init, try.go: test (localexchange: the exchange for one worker on this machine)
//	token.go       token, doctor.go: doctor, completion.go: names of functions and runs for the shell
//
// What lives here: commands, which speak the API as any client does. What must not: how the components do what they do.
// Decisions are pure functions of what was read; what is printed for scripts goes to stdout, what is said to people to stderr.
package cli
