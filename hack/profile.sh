#!/usr/bin/env bash
# Fetches a profile of one of the operator's components into bin/profiles/ and prints the file's name. kubectl forwards a port
# to the pod; the caller is the service account sharedcloud-profiler of config/components/profiling, or the holder of $TOKEN.
# The cluster is that of KUBECONFIG or, where that is not set, the local cluster $CLUSTER.
# usage: hack/profile.sh manager|apiserver heap|profile|goroutine|allocs|block|mutex|trace
#   $SECONDS_OF_PROFILE (30) is the duration of a CPU profile or a trace
set -euo pipefail
cd "$(dirname "$0")/.."
component=${1:-} profile=${2:-heap}
namespace=${NAMESPACE:-sharedcloud-system}

say() { echo "profile: $*" >&2; }

case $component in
manager) deployment=deployment/sharedcloud-controller-manager ;;
apiserver) deployment=deployment/sharedcloud-apiserver ;;
*)
	say "COMPONENT must be manager or apiserver: make profile COMPONENT=manager"
	exit 2
	;;
esac
query=
case $profile in
profile | trace) query="?seconds=${SECONDS_OF_PROFILE:-30}" ;;
heap | goroutine | allocs | block | mutex | threadcreate) ;;
*)
	say "PROFILE is $profile; it must be heap, profile, goroutine, allocs, block, mutex or trace"
	exit 2
	;;
esac

if [[ -z ${KUBECONFIG:-} ]]; then
	hack/build-cluster-driver.sh
	env=$(bin/cluster-driver env --name "${CLUSTER:-default}")
	eval "$env"
fi
PATH=$PATH:$PWD/bin
token=${TOKEN:-}
[[ -n $token ]] || token=$(kubectl -n "$namespace" create token sharedcloud-profiler --duration=10m) ||
	{ say "there is no service account sharedcloud-profiler: apply config/components/profiling, or set TOKEN"; exit 1; }

log=$(mktemp)
kubectl -n "$namespace" port-forward --address=127.0.0.1 "$deployment" :8443 >"$log" 2>&1 &
forward=$!
cleanup() {
	kill "$forward" 2>/dev/null || true
	rm -f "$log" "${out:-}.partial"
}
trap cleanup EXIT
port=
for _ in $(seq 100); do
	port=$(sed -n 's/^Forwarding from 127\.0\.0\.1:\([0-9]*\) .*/\1/p' "$log" | head -n 1)
	[[ -z $port ]] || break
	kill -0 "$forward" 2>/dev/null || break
	sleep 0.1
done
[[ -n $port ]] || { say "kubectl port-forward failed: $(cat "$log")"; exit 1; }

mkdir -p bin/profiles
out=bin/profiles/$component-$profile-$(date -u +%Y%m%dT%H%M%SZ).pb.gz
[[ $profile != trace ]] || out=${out%.pb.gz}.trace
# kubectl reads the path, without the kubeconfig: only the token identifies the caller. The certificate of the manager is
# self-signed; the connection runs inside the forwarded one, which kubectl has authenticated.
if ! kubectl --kubeconfig=/dev/null --server="https://127.0.0.1:$port" --insecure-skip-tls-verify --token="$token" \
	get --raw "/debug/pprof/$profile$query" >"$out.partial"; then
	say "the $component refuses: it serves profiles with --profiling (config/components/profiling), to holders of the ClusterRole sharedcloud-profiler"
	exit 1
fi
mv "$out.partial" "$out"
echo "$out"
say "look at it: go tool $([[ $profile == trace ]] && echo trace || echo "pprof -http=:8000") $out"
