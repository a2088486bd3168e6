#!/usr/bin/env bash
# Every linter, one after the other; all of them run, whichever finds something. Bounded: a linter that hangs is ended.
set -euo pipefail
cd "$(dirname "$0")/.."

# The flags of the shipped build, so that what linters need compiled is compiled once for both.
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
# The big binary (cmd/kubernetes) only wires; to check its types would take a build of Kubernetes.
check "golangci-lint in hack/cluster" bash -c "cd hack/cluster && ../../bin/golangci-lint run -c ../../.golangci.yml ./internal/... ./cmd/cluster ./cmd/nodetool ./cmd/pause"
check "gofmt everywhere" bash -c 'out=$(git -c safe.directory="*" ls-files -z "*.go" | xargs -0 -r gofmt -l); [[ -z $out ]] || { echo "$out"; echo "run gofmt -w on these"; exit 1; }'
check "shell scripts parse" bash -c 'git -c safe.directory="*" ls-files -z "*.sh" .ci/run | xargs -0 -r -n 1 bash -n'
exit "$status"
