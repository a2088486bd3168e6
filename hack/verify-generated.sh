#!/usr/bin/env bash
# Generates into a copy of the checkout and prints the differences. The checkout is not changed.
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
for folder in api config/crd config/policy config/rbac docs runtimes/node; do
	[[ -d $copy/$folder ]] || continue
	diff -ruN "$root/$folder" "$copy/$folder" || differs=1
done
if ((differs)); then
	echo "generated files are out of date: run 'make generate' and commit the result" >&2
	exit 1
fi
echo "generated files are up to date"
