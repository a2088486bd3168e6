#!/usr/bin/env bash
# Builds bin/cluster-driver, the program that manages the local cluster. The driver builds Kubernetes when it is first needed.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$PWD/bin/cluster-driver
[[ -x $out ]] || echo "building the driver of the local cluster …" >&2
mkdir -p bin
cd hack/cluster
CGO_ENABLED=0 GOWORK=off go build -trimpath -buildvcs=false -o "$out" ./cmd/cluster
