// Package controllers turns the custom resources into revisions, Jobs and conditions.
//
// The map:
//
//   - function_controller.go, functionimage_controller.go, functionrun_controller.go, revision_controller.go,
//     identity_controller.go: the reconcilers. Each is a shell (get, decide, one write of the status) around a checklist of early returns.
//   - revision.go, job.go, names.go: pure builders. revisionFor makes the immutable ConfigMap that says what is executed,
//     jobFor makes a run's Job from it.
//   - revision_reader.go, settings.go: what is read back is compared with the digest in a status, and looked at as hostile input.
//   - conditions.go, function_status.go, run_status.go, pods.go: pure decisions about what the conditions say.
//   - cache.go, indexes.go, watches.go, setup.go: what the manager's cache holds and what wakes which reconciler.
//   - undecodable.go: the conditions of objects whose content cannot be decoded, by merge patch. bounds.go: numbers from what
//     is stored, within bounds.
//   - apply.go: a status as the apply configuration of the fields that these controllers own.
//   - events.go, metrics.go: what is told after a write succeeded.
//   - rbac.go: what the manager may do, as markers; config/rbac/manager_role.yaml is made from them.
//   - trust/: the certificates between workers, API server and aggregator.
//
// What must not be here: anything of the outcome store, of HTTP or of the API server. The custom resource is the only
// channel to it: it writes status.progress, these controllers write everything else of a status. Jobs are written here
// alone.
package controllers
