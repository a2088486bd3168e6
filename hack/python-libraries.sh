#!/usr/bin/env bash
# Fetches numpy, pandas and torch for the tests of the Python runner, with the interpreter that they are built for, from Debian
# packages into bin/python-libraries. Nothing is installed and no root is needed: apt-get downloads, and dpkg unpacks. Nothing is
# fetched where python3 has all three. The tests in runtimes/libraries_test.go find them here, and no image contains them.
# usage: hack/python-libraries.sh [--force]   (--force: although python3 has them)
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD/bin/python-libraries

say() { echo "python-libraries: $*" >&2; }

if [[ ${1:-} != --force ]] && python3 -c 'import numpy, pandas, torch' 2>/dev/null; then
	exit 0
fi
[[ ! -d $root ]] || exit 0
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
	say "the tests need numpy, pandas and torch, and this machine has no apt-get to fetch them with: install them for python3"
	exit 1
fi

say "fetching numpy, pandas and torch into bin/python-libraries (once; about 230 MB) …"
start=$SECONDS
debs=$PWD/bin/debs/python-libraries
mkdir -p "$debs/cache/archives/partial" "$debs/lists/partial"
# Against an empty list of installed packages apt names all that is needed, whatever the machine has.
options=(-qq -o Dir::State::status=/dev/null -o Dir::Cache="$debs/cache" -o Debug::NoLocking=1)
((EUID != 0)) || options+=(-o APT::Sandbox::User=root)
apt() { LC_ALL=C apt-get "${options[@]}" "$@"; }
if ! compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null; then
	# The machine's lists are empty, as in a container, and only root may fill them.
	options+=(-o Dir::State::Lists="$debs/lists")
	apt update >&2
fi
wanted=$(apt --no-install-recommends --print-uris install python3-numpy python3-pandas python3-torch) ||
	{ say "apt-get does not know python3-numpy, python3-pandas or python3-torch: run apt-get update"; exit 1; }

# The interpreter, the libraries, and the shared objects that they are linked with. The machine has libc; drivers for displays and
# their compiler are loaded at run time, and the tests do not use them.
specs=()
while read -r _ file _; do
	name=${file%%_*}
	case $name in
	libc6 | libllvm* | libz3-* | libgl1-mesa-dri | libtorch-test | libpam-* | libperl*) continue ;;
	python3* | lib* | ocl-icd-*) ;;
	*) continue ;;
	esac
	version=${file#*_}
	version=${version%%_*}
	specs+=("$name=${version//%3a/:}")
done <<<"$wanted"
(cd "$debs" && apt download "${specs[@]}" >&2)

rm -rf "$root.partial"
mkdir -p "$root.partial"
for spec in "${specs[@]}"; do
	for file in "$debs/${spec%%=*}"_*.deb; do
		dpkg-deb -x "$file" "$root.partial"
	done
done
rm -rf "$debs" "$root.partial"/usr/share "$root.partial"/usr/include "$root.partial"/usr/lib/*/*.a
find "$root.partial" \( -name tests -o -name test \) -path '*/dist-packages/*' -prune -exec rm -rf {} +
chmod -R a+rX "$root.partial"

# The interpreter finds its own standard library beside itself. The alternatives of BLAS are in folders of their own.
cat >"$root.partial/python3" <<'SH'
#!/bin/sh
# Written by hack/python-libraries.sh.
root=$(cd "$(dirname "$0")" && pwd)
libraries=
for folder in "$root"/lib/*-linux-gnu "$root"/usr/lib "$root"/usr/lib/*-linux-gnu "$root"/usr/lib/*-linux-gnu/blas "$root"/usr/lib/*-linux-gnu/lapack; do
	[ ! -d "$folder" ] || libraries=$libraries:$folder
done
export LD_LIBRARY_PATH="${libraries#:}"
for interpreter in "$root"/usr/bin/python3.[0-9]*; do
	exec "$interpreter" "$@"
done
SH
chmod +x "$root.partial/python3"
"$root.partial/python3" -c 'import numpy, pandas, torch' || { say "the unpacked libraries cannot be imported"; exit 1; }
mv "$root.partial" "$root"
say "fetched $(du -sm "$root" | cut -f1) MB in $((SECONDS - start)) s"
