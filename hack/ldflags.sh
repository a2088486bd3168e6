#!/usr/bin/env bash
# Prints the linker flags that stamp the version into the operator's programs. They set the variables of
# k8s.io/component-base/version, from which --version, /version, `kubectl function version` and the metric
# sharedcloud_build_info read.
#
# The values follow from the commit alone, so that one commit always gives the same binaries. The build date is
# SOURCE_DATE_EPOCH where that is set, otherwise the commit's date. Without git (a source archive) nothing is printed.
set -euo pipefail
cd "${VERSION_ROOT:-$(dirname "$0")/..}"

git() { command git -c safe.directory='*' "$@"; }
commit=$(git rev-parse --verify --quiet HEAD 2>/dev/null) || exit 0

state=clean
[[ -z $(git status --porcelain --untracked-files=no) ]] || state=dirty
if ! version=$(git describe --tags --match 'v[0-9]*' --abbrev=12 2>/dev/null); then
	# Before the first release.
	version=v0.0.0-$(git rev-list --count HEAD)-g${commit:0:12}
fi
[[ $state == clean ]] || version+=-dirty
numbers=${version#v}
major=${numbers%%.*}
minor=${numbers#*.}
minor=${minor%%.*}
date=$(date -u -d "@${SOURCE_DATE_EPOCH:-$(git show -s --format=%ct HEAD)}" +%Y-%m-%dT%H:%M:%SZ)

flags=()
for value in gitVersion="$version" gitMajor="$major" gitMinor="$minor" gitCommit="$commit" gitTreeState="$state" buildDate="$date"; do
	flags+=("-X k8s.io/component-base/version.$value")
done
echo "${flags[*]}"
