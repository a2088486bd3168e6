#!/usr/bin/env bash
# Writes everything that is generated from Go sources. What it writes is committed and never edited.
# usage: hack/generate.sh [ROOT]   (default: this checkout; verify-generated.sh passes a copy)
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
gen=$here/bin/controller-gen
cd "${1:-$here}"

"$gen" object crd applyconfiguration paths=./api/v1alpha1 output:crd:dir=config/crd/bases

# One run per program, so that the roles of the two do not merge.
role() { # role NAME OUTPUT_FILE FOLDER…
	local name=$1 file=$2
	shift 2
	local paths=() folder
	for folder in "$@"; do
		[[ -d $folder ]] && paths+=("paths=./$folder/...")
	done
	((${#paths[@]} == 0)) && return 0
	# With no marker there is no role, and controller-gen writes no file.
	"$gen" "rbac:roleName=$name,fileName=$(basename "$file")" "${paths[@]}" "output:rbac:dir=$(dirname "$file")"
}
role sharedcloud-manager config/rbac/manager_role.yaml controllers cmd/manager
role sharedcloud-apiserver config/rbac/apiserver_role.yaml apiserver cmd/apiserver
