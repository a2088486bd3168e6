#!/usr/bin/env bash
# Deploys the operator and waits until it serves.
# usage: hack/deploy.sh [IMAGE]
#   without IMAGE  on the local cluster $CLUSTER: packs bin/manager and bin/apiserver into an image, loads it, applies config/local
#   with IMAGE     on the cluster that kubectl reaches (KUBECONFIG): applies config/default with that image, which the nodes must
#                  be able to pull or must have; the catalogue of images for functions is left as it is
# $COMPONENT (manager or apiserver) limits it to the objects of that component; the other one keeps running. A change of the API
# types, of roles or of policies needs a deployment of both.
set -euo pipefail
cd "$(dirname "$0")/.."
image=${1:-}
cluster=${CLUSTER:-default}
component=${COMPONENT:-}
namespace=sharedcloud-system
manager=deployment/sharedcloud-controller-manager
apiserver=deployment/sharedcloud-apiserver

say() { echo "deploy: $*" >&2; }

case $component in
"") deployments=("$manager" "$apiserver") selector=() ;;
manager) deployments=("$manager") selector=(-l app.kubernetes.io/component=controller-manager) ;;
apiserver) deployments=("$apiserver") selector=(-l app.kubernetes.io/component=apiserver) ;;
*)
	say "COMPONENT is $component; it must be manager or apiserver"
	exit 2
	;;
esac

if [[ -z $image ]]; then
	for name in manager apiserver; do
		[[ -x bin/$name ]] || hack/build.sh "$name" # the image holds both
	done
	say "packing and loading the operator's image"
	bin/cluster-driver image operator --name "$cluster" --ref docker.io/sharedcloud/function-operator:dev bin/manager bin/apiserver
	env=$(bin/cluster-driver env --name "$cluster")
	eval "$env"
	overlay=bin/deploy base=config/local where="the local cluster $cluster"
	# The image keeps its name, so the pods carry the digest of their program: a new build replaces the pods, the same one does not.
	build() { sha256sum "bin/$1" | cut -c1-16; }
else
	# Programs of the checkout come after those of the machine.
	PATH=$PATH:$PWD/bin
	command -v kubectl >/dev/null || { say "kubectl is not on PATH: install it, or run 'make cluster' once, which builds one"; exit 1; }
	where=$(kubectl config view --minify -o 'jsonpath={.clusters[0].cluster.server}')
	[[ -n $where ]] || { say "kubectl has no cluster: set KUBECONFIG"; exit 1; }
	overlay=bin/deploy-remote base=config/default
	# The contents of the image are not known here, so every deployment replaces the pods.
	now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
	build() { echo "$now"; }
fi

# patch NAME BUILD prints a patch that puts the build into the pods' annotations.
patch() {
	cat <<END
- target: {kind: Deployment, name: $1}
  patch: |
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: any
    spec:
      template:
        metadata:
          annotations:
            sharedcloud.io/build: "$2"
END
}

# images prints the part of the kustomization that replaces the image's name.
images() {
	[[ -n $image ]] || return 0
	local name=$image tag="" digest=""
	if [[ $name == *@* ]]; then digest=${name#*@} name=${name%%@*}; fi
	if [[ ${name##*/} == *:* ]]; then tag=${name##*:} name=${name%:*}; fi
	echo "images:"
	echo "- name: docker.io/sharedcloud/function-operator"
	echo "  newName: $name"
	if [[ -n $digest ]]; then echo "  digest: $digest"; else echo "  newTag: ${tag:-latest}"; fi
}

mkdir -p "$overlay"
{
	echo "resources:"
	echo "- ../../$base"
	# config/local has the component already.
	[[ -z $image ]] || printf 'components:\n- ../../config/components/profiling\n'
	images
	echo "patches:"
	patch sharedcloud-controller-manager "$(build manager)"
	patch sharedcloud-apiserver "$(build apiserver)"
} >"$overlay/kustomization.yaml"

apply() { kubectl apply --server-side --force-conflicts --field-manager=deploy "$@"; }

# kubectl wait fails at once for a definition that has no conditions yet; discovery has the new kind a moment after them.
established() {
	kubectl wait --for=condition=Established --timeout=60s crd/functions.sharedcloud.io crd/functionimages.sharedcloud.io crd/functionruns.sharedcloud.io >/dev/null &&
		kubectl get --ignore-not-found functions.sharedcloud.io,functionimages.sharedcloud.io,functionruns.sharedcloud.io >/dev/null
}

if [[ -z $component ]]; then
	# First, because objects of these kinds can be applied only when the definitions are established.
	say "applying the custom resource definitions to $where"
	apply -k config/crd >/dev/null
	deadline=$((SECONDS + 60))
	until said=$(established 2>&1); do
		((SECONDS < deadline)) || { say "$said"; exit 1; }
		sleep 1
	done
fi

say "applying $base to $where"
apply -k "$overlay" "${selector[@]}" >/dev/null

# report prints why the operator does not serve.
report() {
	say "the operator does not serve. The state of the cluster:"
	kubectl -n "$namespace" get deployments,pods -o wide >&2 || true
	kubectl -n "$namespace" get events --sort-by=.lastTimestamp 2>/dev/null | tail -n 15 >&2 || true
	local pod
	for pod in $(kubectl -n "$namespace" get pods -o name); do
		say "the last lines of $pod:"
		kubectl -n "$namespace" logs --tail=15 "$pod" >&2 || true
	done
	say "fix the cause and run 'make deploy' again"
}

say "waiting until the operator serves"
for deployment in "${deployments[@]}"; do
	kubectl -n "$namespace" rollout status --timeout=180s "$deployment" >/dev/null || { report; exit 1; }
done
if [[ $component != manager ]]; then
	kubectl wait --for=condition=Available --timeout=120s apiservice/v1alpha1.subresources.sharedcloud.io apiservice/v1.rest.sharedcloud.io >/dev/null || { report; exit 1; }
fi
say "the operator serves on $where"
