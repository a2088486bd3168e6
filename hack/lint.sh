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
check "kube-api-linter on api/" bin/golangci-lint-kube-api-linter run --config .golangci-api.yml ./api/...
for module in hack/cluster; do
	[[ -f $module/go.mod ]] || continue
	check "gofmt in $module" bash -c "out=\$(gofmt -l '$module'); [[ -z \$out ]] || { echo \"\$out: run gofmt -w on these\"; exit 1; }"
done
exit "$status"
