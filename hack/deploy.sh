#!/usr/bin/env bash
# Puts what bin/ holds on the local cluster $CLUSTER: the operator's image, then config/local, then waits until it serves.
set -euo pipefail
cd "$(dirname "$0")/.."
cluster=${CLUSTER:-default}
ref=docker.io/sharedcloud/function-operator:dev
namespace=sharedcloud-system

say() { echo "deploy: $*" >&2; }

say "packing and loading the operator's image"
bin/cluster-driver image operator --name "$cluster" --ref "$ref" bin/manager bin/apiserver
env=$(bin/cluster-driver env --name "$cluster")
eval "$env"

# The image keeps its name from build to build, so the pods carry what it was built from: a new build rolls them, the
# same build does not.
build=$(cat bin/manager bin/apiserver | sha256sum | cut -c1-16)
overlay=bin/deploy
mkdir -p "$overlay"
cat >"$overlay/kustomization.yaml" <<EOF
resources:
- ../../config/local
patches:
- target: {kind: Deployment}
  patch: |
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: any
    spec:
      template:
        metadata:
          annotations:
            sharedcloud.io/build: "$build"
EOF

apply() { kubectl apply --server-side --force-conflicts --field-manager=deploy "$@"; }

# Definitions first: what is of their kinds can be applied only when they are established.
say "applying the custom resource definitions"
apply -k config/crd >/dev/null
# kubectl wait fails at once where a definition is too new to have conditions; discovery has its kind a moment after that.
established() {
	kubectl wait --for=condition=Established --timeout=60s crd/functions.sharedcloud.io crd/functionimages.sharedcloud.io crd/functionruns.sharedcloud.io >/dev/null &&
		kubectl get --ignore-not-found functions.sharedcloud.io,functionimages.sharedcloud.io,functionruns.sharedcloud.io >/dev/null
}
deadline=$((SECONDS + 60))
until said=$(established 2>&1); do
	((SECONDS < deadline)) || { say "$said"; exit 1; }
	sleep 1
done

say "applying config/local"
apply -k "$overlay" >/dev/null

say "waiting until the operator serves"
troubles() {
	say "it does not come up; this is what the cluster says of it:"
	kubectl -n "$namespace" get deployments,pods -o wide >&2 || true
	kubectl -n "$namespace" get events --sort-by=.lastTimestamp 2>/dev/null | tail -n 15 >&2 || true
	local pod
	for pod in $(kubectl -n "$namespace" get pods -o name); do
		say "the last lines of $pod:"
		kubectl -n "$namespace" logs --tail=15 "$pod" >&2 || true
	done
	say "mend the cause and run 'make deploy' again"
}
if ! kubectl -n "$namespace" rollout status --timeout=180s deployment/sharedcloud-controller-manager >/dev/null ||
	! kubectl -n "$namespace" rollout status --timeout=180s deployment/sharedcloud-apiserver >/dev/null ||
	! kubectl wait --for=condition=Available --timeout=120s apiservice/v1alpha1.subresources.sharedcloud.io apiservice/v1.rest.sharedcloud.io >/dev/null; then
	troubles
	exit 1
fi
say "the operator serves on the cluster $cluster"
