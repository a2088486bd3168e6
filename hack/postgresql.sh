#!/usr/bin/env bash
# Fetches PostgreSQL for the tests from Debian packages into bin/postgresql, where the machine has none. Nothing is installed and
# no root is needed: apt-get downloads, and dpkg unpacks. The package apiserver/outcomes/postgrestest finds it there.
# usage: hack/postgresql.sh [--force]   (--force: although the machine has one)
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD/bin/postgresql

say() { echo "postgresql: $*" >&2; }

if [[ ${1:-} != --force ]]; then
	compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && exit 0
	command -v initdb >/dev/null && exit 0
fi
[[ ! -d $root ]] || exit 0
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
	say "the tests need PostgreSQL 13 or later, and this machine has no apt-get to fetch it with: install it, so that initdb is on PATH"
	exit 1
fi

say "fetching PostgreSQL into bin/postgresql (once) …"
debs=$PWD/bin/debs/postgresql
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
wanted=$(apt --no-install-recommends --print-uris install postgresql) ||
	{ say "apt-get does not know the package postgresql: run apt-get update"; exit 1; }

# The server, its client programs and their libraries. The machine has libc; just-in-time compilation (LLVM) and Perl are not used.
specs=()
while read -r _ file _; do
	name=${file%%_*}
	case $name in
	libc6 | libgcc-s1 | libllvm* | libz3-* | libperl* | *-perl | libedit2 | libpam-*) continue ;;
	postgresql-[0-9]* | postgresql-client-[0-9]* | lib*) ;;
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
rm -rf "$debs" "$root.partial"/usr/share/{doc,locale,man,lintian,bug} "$root.partial"/usr/lib/postgresql/*/lib/bitcode
# Readable for the account that the tests run the server as: PostgreSQL refuses to run as root.
chmod -R a+rX "$root.partial"
mv "$root.partial" "$root"
say "fetched $(basename "$(dirname "$(dirname "$(ls -d "$root"/usr/lib/postgresql/*/bin/initdb)")")")"
