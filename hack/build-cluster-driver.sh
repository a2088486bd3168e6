#!/usr/bin/env bash
# Builds the program that drives the local cluster. It is small; the big one is built by it, when first needed.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$PWD/bin/cluster-driver
[[ -x $out ]] || echo "building the local cluster's driver …" >&2
mkdir -p bin
cd hack/cluster
CGO_ENABLED=0 GOWORK=off go build -trimpath -buildvcs=false -o "$out" ./cmd/cluster
