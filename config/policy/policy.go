// Package policy has the manifests of the ValidatingAdmissionPolicies of this version of the operator, so that the plugin can compare
// them with those of a cluster.
package policy

import "embed"

// Manifests are the files of this directory with policies and their bindings, and its kustomization.
//
//go:embed *.yaml
var Manifests embed.FS
