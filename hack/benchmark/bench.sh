#!/usr/bin/env bash
# Measures, side by side in one run, what the project claims about its speed, and prints ratios. Nothing here fails for
# being slow.  usage: hack/benchmark/bench.sh [exchange|store|cluster|rest|attack …]
set -euo pipefail
cd "$(dirname "$0")/../.."
(($#)) || set -- exchange store cluster rest attack

for part in "$@"; do
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "bin/bench-$part" "./hack/benchmark/$part"
done
echo "On $(nproc) cores; load before: $(cut -d' ' -f1 /proc/loadavg). Ratio: ours / theirs, smaller is better."
for part in "$@"; do
	if [[ $part == cluster || $part == rest || $part == attack ]]; then
		make --no-print-directory cluster deploy
		env=$(bin/cluster-driver env --name "${CLUSTER:-default}")
		eval "$env"
	fi
	"bin/bench-$part"
done
