#!/usr/bin/env bash
# The demo: a Function, a FunctionRun over a sweep of inputs, its progress and its results. `make demo` has started the cluster
# $CLUSTER and deployed the operator before.
set -euo pipefail
cd "$(dirname "$0")/../.."

env=$(bin/cluster-driver env --name "${CLUSTER:-default}")
eval "$env"
CGO_ENABLED=0 go build -trimpath -buildvcs=false -o bin/demo ./hack/demo

show() { echo; echo "\$ $*"; "$@"; }

show kubectl apply --server-side -k hack/demo/digits
show kubectl wait --for=condition=Ready --timeout=60s function/digits
show kubectl get functionimages -n sharedcloud-catalogue
echo
echo "One run: it trains a neural network on the UCI handwritten digits, once for every learning rate and seed of a sweep."
bin/demo
