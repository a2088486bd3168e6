#!/usr/bin/env bash
# Builds the operator's programs into bin/, statically linked and reproducible: the same commit gives the same binaries on every
# machine. DEBUG=1 builds them for a debugger instead, with symbols and the paths of this machine, without optimizations; the
# first such build compiles every dependency again.
# usage: hack/build.sh [NAME…]   (default: every program in cmd/)
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p bin
names=("$@")
if ((${#names[@]} == 0)); then
	for file in cmd/*/main.go; do
		names+=("$(basename "$(dirname "$file")")")
	done
fi
version=$(hack/ldflags.sh)
flags=(-trimpath -buildvcs=false -ldflags "-s -w $version")
[[ -z ${DEBUG:-} ]] || flags=(-buildvcs=false -gcflags 'all=-N -l' -ldflags "$version")
for name in "${names[@]}"; do
	start=$SECONDS
	CGO_ENABLED=0 go build "${flags[@]}" -o "bin/$name" "./cmd/$name"
	echo "built bin/$name in $((SECONDS - start)) s" >&2
done
