#!/usr/bin/env bash
# Builds a development tool into bin/.
# usage: hack/build-tool.sh MODULE_FOLDER NAME PACKAGE
set -euo pipefail
cd "$(dirname "$0")/.."
module=$1 name=$2 package=$3

start=$SECONDS
echo "building the tool $name (once; the first build takes up to some minutes) …" >&2
mkdir -p bin
out=$PWD/bin/$name
(cd "$module" && CGO_ENABLED=0 GOWORK=off go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$out" "$package")
# make compares times, and go does not touch a program that is up to date.
touch "$out"
echo "built bin/$name in $((SECONDS - start)) s" >&2
