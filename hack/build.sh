#!/usr/bin/env bash
# Builds the operator's programs into bin/: static, and the same from the same sources wherever they are built.
# usage: hack/build.sh [NAME…]   (default: every program in cmd/)
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p bin
names=("$@")
if ((${#names[@]} == 0)); then
	for folder in cmd/*/; do
		names+=("$(basename "$folder")")
	done
fi
for name in "${names[@]}"; do
	start=$SECONDS
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o "bin/$name" "./cmd/$name"
	echo "built bin/$name in $((SECONDS - start)) s" >&2
done
