#!/usr/bin/env bash
# Runs the manager from source against a cluster, in place of the manager in the cluster: scales its Deployment to 0, runs
# bin/manager with the flags of the Deployment, and restores the Deployment at the end. Leader election stays on, so a second
# `make run`, or a manager that is scaled up meanwhile, waits. After a kill -9, `make deploy` restores the Deployment.
# The cluster is that of KUBECONFIG or, where that is not set, the local cluster $CLUSTER.
# usage: hack/run.sh [FLAG…]   (flags of the manager; they override those of the Deployment)
set -euo pipefail
cd "$(dirname "$0")/.."
namespace=${NAMESPACE:-sharedcloud-system}
deployment=deployment/sharedcloud-controller-manager

say() { echo "run: $*" >&2; }

hack/build.sh manager
if [[ -z ${KUBECONFIG:-} ]]; then
	hack/build-cluster-driver.sh
	env=$(bin/cluster-driver env --name "${CLUSTER:-default}")
	eval "$env"
fi
PATH=$PATH:$PWD/bin
where=$(kubectl config view --minify -o 'jsonpath={.clusters[0].cluster.server}')

replicas=$(kubectl -n "$namespace" get "$deployment" -o 'jsonpath={.spec.replicas}') ||
	{ say "the operator is not on $where: run 'make deploy' first"; exit 1; }
flags=()
while IFS= read -r flag; do
	[[ -z $flag || $flag == --namespace=* ]] || flags+=("$flag")
done < <(kubectl -n "$namespace" get "$deployment" -o 'jsonpath={range .spec.template.spec.containers[0].args[*]}{@}{"\n"}{end}')

process=
# A process in the background of a script ignores SIGINT, so the manager is ended explicitly.
restore() {
	trap - EXIT INT TERM
	if [[ -n $process ]]; then
		kill "$process" 2>/dev/null || true
		wait "$process" 2>/dev/null || true
	fi
	if ((replicas > 0)); then
		say "restoring $deployment with $replicas replicas"
		kubectl -n "$namespace" scale "$deployment" --replicas="$replicas" >/dev/null
	fi
}
trap restore EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if ((replicas > 0)); then
	say "scaling $deployment to 0 on $where"
	kubectl -n "$namespace" scale "$deployment" --replicas=0 >/dev/null
else
	say "$deployment has no replicas on $where; it stays at 0"
fi

say "running the manager; Ctrl-C ends it"
bin/manager --namespace="$namespace" --metrics-bind-address=127.0.0.1:8443 --health-probe-bind-address=127.0.0.1:8081 "${flags[@]}" "$@" &
process=$!
wait "$process"
