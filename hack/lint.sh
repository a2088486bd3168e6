#!/usr/bin/env bash
# Runs every linter, one after the other, also after one has found something. A linter that hangs is ended after 20 minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

# The flags of the shipped build, so that packages are compiled once for builds and linters.
export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:+$GOFLAGS }-trimpath"

status=0
check() { # check WHAT COMMAND…
	local what=$1 start=$SECONDS
	shift
	echo "── $what"
	if timeout --foreground 1200 "$@"; then
		echo "   clean, $((SECONDS - start)) s"
	else
		status=1
		echo "   NOT clean, $((SECONDS - start)) s"
	fi
}

check "golangci-lint" bin/golangci-lint run ./...
check "kube-api-linter on api/v1alpha1" bin/golangci-lint-kube-api-linter run --config .golangci-api.yml ./api/v1alpha1/...
# The large binary (cmd/kubernetes) only wires; to check its types would take a build of Kubernetes.
check "golangci-lint in hack/cluster" bash -c "cd hack/cluster && ../../bin/golangci-lint run -c ../../.golangci.yml ./internal/... ./cmd/cluster ./cmd/nodetool ./cmd/pause"

# tracked PATTERN…: the tracked files of these names, one a line.
tracked() { git -c safe.directory='*' ls-files "$@"; }

mapfile -t go_files < <(tracked '*.go')
check "gofmt everywhere" bash -c "out=\$(gofmt -l \"\$@\"); [[ -z \$out ]] || { echo \"\$out\"; echo 'run gofmt -w on these'; exit 1; }" bash "${go_files[@]}"
# Scripts without the suffix are known by their first line.
mapfile -t shell_files < <(git -c safe.directory='*' grep -lE '^#!.*\b(bash|sh)$')
check "shellcheck" bin/shellcheck "${shell_files[@]}"
mapfile -t python_files < <(tracked '*.py')
check "flake8" bin/flake8 "${python_files[@]}"
# runtimes/node/runner.js is joined from runtimes/node/src, which is checked.
mapfile -t node_files < <(tracked '*.js' ':!runtimes/node/runner.js')
check "eslint" bin/eslint --report-unused-disable-directives --max-warnings 0 "${node_files[@]}"
exit "$status"
