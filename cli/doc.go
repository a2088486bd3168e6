// Package cli implements the commands of `kubectl function`. They use the API of the cluster as any client does; how the operator's
// components work is not their concern.
//
//	root.go          the root command; errors.go: exit codes and messages of errors
//	options.go       what all commands share: streams, flags, the client of the cluster
//	subresources.go  the client of the operator's subresources
//	inputs.go        the inputs of a run: flags, formats, validation
//	upload.go        sending inputs in one or several requests; spool.go: the buffer of inputs that are not acknowledged
//	run.go           run and rerun; wait.go: --wait and --follow; progress.go: the progress bar
//	results.go       results; reader.go: reading outcomes across responses and failures; render.go: table, JSON, CSV
//	log.go           log
//	list.go          list and get
//	describe.go      describe, with describe_function.go; advice.go: problems and what to do about them; sentences.go: sentences that count inputs
//	control.go       cancel, suspend, resume
//	revisions.go     revisions; diff.go: diff; rollback.go: rollback
//	scaffold.go      init
//	localtest.go     test; source.go: finding the code; kustomization.go: building kustomizations (package localexchange: the
//	                 exchange for one worker on this machine; package guard: ends what a test has started)
//	token.go         token
//	doctor.go        doctor; doctor_policies.go: its checks of the admission policies; doctor_smoke.go: --smoke
//	completion.go    shell completion of names
//
// Decisions are pure functions of what was read. Output for scripts goes to stdout, messages for users go to stderr.
package cli
