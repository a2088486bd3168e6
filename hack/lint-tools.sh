#!/usr/bin/env bash
# Puts eslint, flake8 and shellcheck into bin/: from Debian packages that are downloaded and unpacked, without root and
# without installing anything. They run with the machine's own node and python3.
set -euo pipefail
cd "$(dirname "$0")/.."

# What of the packages' dependencies is unpacked. The rest (nodejs, python3, libc6) is on the machine already.
wanted='^(eslint|node-[^_]*|libjs-[^_]*|flake8|python3-(flake8|mccabe|pycodestyle|pyflakes)|shellcheck|libgmp10|libffi[0-9]*)$'

# eslint only recommends what its usual report needs.
packages=(eslint node-chalk node-text-table node-strip-ansi flake8 shellcheck)

start=$SECONDS
echo "downloading the linters eslint, flake8 and shellcheck from Debian packages (once) …" >&2
compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null || apt-get -qq update

root=$PWD/bin/lint
rm -rf "$root"
mkdir -p "$root/debs"
specs=()
# Against an empty list of installed packages, apt names everything that is needed.
while read -r file; do
	IFS=_ read -r name version _ <<<"$file"
	[[ $name =~ $wanted ]] && specs+=("$name=${version//%3a/:}")
done < <(apt-get -qq -o Dir::State::status=/dev/null --no-install-recommends --print-uris install "${packages[@]}" | awk '{ print $2 }')
((${#specs[@]})) || { echo "apt does not offer ${packages[*]}: run apt-get update" >&2; exit 1; }

# apt drops to a user of its own for a download, who may not write here.
(cd "$root/debs" && apt-get -qq -o APT::Sandbox::User=root download "${specs[@]}")
for deb in "$root"/debs/*.deb; do
	dpkg-deb --extract "$deb" "$root"
done
rm -rf "$root/debs"

wrapper() { # wrapper NAME < SCRIPT
	{
		echo '#!/bin/sh'
		echo '# Written by hack/lint-tools.sh.'
		# shellcheck disable=SC2016 # expanded when the wrapper runs
		echo 'root=$(cd "$(dirname "$0")/lint" && pwd)'
		cat
	} >"bin/$1"
	chmod +x "bin/$1"
}
wrapper flake8 <<'SH'
export PYTHONPATH="$root/usr/lib/python3/dist-packages"
exec python3 -m flake8 "$@"
SH
wrapper shellcheck <<'SH'
export LD_LIBRARY_PATH="$(echo "$root"/usr/lib/*-linux-gnu)"
exec "$root/usr/bin/shellcheck" "$@"
SH
# The last one: make takes its existence as that of all three.
wrapper eslint <<'SH'
export NODE_PATH="$root/usr/share/nodejs:$root/usr/lib/nodejs"
exec node "$root/usr/share/nodejs/eslint/bin/eslint.js" "$@"
SH

for tool in eslint flake8 shellcheck; do
	"bin/$tool" --version >/dev/null || { echo "bin/$tool does not run" >&2; exit 1; }
done
echo "unpacked ${#specs[@]} packages into bin/lint in $((SECONDS - start)) s" >&2
