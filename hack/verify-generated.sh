#!/usr/bin/env bash
# Generates again, in a copy, and shows what differs from what is here. The checkout is not touched.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp go.mod go.sum "$copy/"
for folder in api cli cmd controllers apiserver exchange parameters runtimes config docs hack test; do
	[[ -d $folder ]] && cp -r "$folder" "$copy/"
done
hack/generate.sh "$copy"

differs=0
for folder in api config/crd config/policy config/rbac docs; do
	[[ -d $copy/$folder ]] || continue
	diff -ruN "$root/$folder" "$copy/$folder" || differs=1
done
if ((differs)); then
	echo "generated files are not what their sources say: run 'make generate' and commit what it writes" >&2
	exit 1
fi
echo "generated files are what their sources say"
