#!/usr/bin/env bash
# Measures the operator and a plain way of doing the same side by side, and prints ratios. No result is a failure.
# usage: hack/benchmark/bench.sh [exchange|store|cluster|rest|attack …]
set -euo pipefail
cd "$(dirname "$0")/../.."
(($#)) || set -- exchange store cluster rest attack

for part in "$@"; do
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "bin/bench-$part" "./hack/benchmark/$part"
done
echo "On $(nproc) cores, load average $(cut -d' ' -f1 /proc/loadavg). A ratio is ours / theirs: smaller is better."
for part in "$@"; do
	if [[ $part == cluster || $part == rest || $part == attack ]]; then
		make --no-print-directory cluster deploy IMAGE= COMPONENT=
		env=$(bin/cluster-driver env --name "${CLUSTER:-default}")
		eval "$env"
	fi
	[[ $part != store ]] || hack/postgresql.sh
	"bin/bench-$part"
done
