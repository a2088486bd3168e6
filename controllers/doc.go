// Package controllers reconciles the custom resources: it writes revisions, Jobs, conditions and events.
//
//   - function_*.go, functionimage_*.go, functionrun_*.go, revision_controller.go, identity_controller.go: the reconcilers. Each reads
//     its object, runs a checklist of early returns, and writes the status once.
//   - workload/: what a Function and its runs execute, as pure functions. status/: the contents of statuses, as pure functions. values/: small
//     functions that all of them share.
//   - revision_reader.go, references.go: reads of revisions, which are validated because a ConfigMap may hold anything, and the check
//     that the policies for references are in force.
//   - setup.go, cache.go, indexes.go, watches.go: what the manager's cache holds, and which change triggers which reconciler.
//   - undecodable.go: the conditions of objects whose content cannot be decoded.
//   - events.go, metrics.go: what follows a successful write. rbac.go: the manager's permissions, as markers.
//   - policies/: the ValidatingAdmissionPolicies that check what objects name. trust/: the certificates between workers, API server and
//     aggregator.
//
// What must not be here: the outcome store, HTTP and the API server. The custom resources are the only channel to the API server, which
// writes status.progress; the controllers write everything else of a status, and all Jobs.
package controllers
