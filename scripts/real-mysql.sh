#!/usr/bin/env bash
# Unpacks a real MySQL server (not MariaDB) and its libraries from Debian unstable into a folder, beside the system and
# never installed into it: some 270 MB, fetched once. Needs Debian with apt-get; the tests start what is in the folder.
#   scripts/real-mysql.sh [DIR]     default: var/mysql-server
set -euo pipefail

target=${1:-var/mysql-server}
marker=$target/.complete
[[ -e $marker ]] && exit 0

sources=/etc/apt/sources.list.d/debian.sources
if ! command -v apt-get >/dev/null || [[ ! -r $sources ]]; then
  echo "A real MySQL is unpacked from Debian's packages, and this system has no apt-get with $sources." >&2
  echo "Set WAREHOUSE_TEST_MYSQL_URL to a MySQL server of yours instead." >&2
  exit 1
fi

mkdir -p "$target"
target=$(cd "$target" && pwd)
work=$(mktemp -d "$target/.fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{sources,debs,state/partial,cache/archives/partial}

# The system's own mirror and keys, with another suite; its list of installed packages is hidden, so that the newer C
# library and all else comes along.
awk 'NF == 0 { exit } { sub(/^Suites:.*/, "Suites: sid"); print }' "$sources" >"$work/sources/mysql.sources"
options=(
  -qq
  -o "Dir::Etc::SourceList=/dev/null"
  -o "Dir::Etc::SourceParts=$work/sources"
  -o "Dir::State::Lists=$work/state"
  -o "Dir::State::Status=/dev/null"
  -o "Dir::Cache=$work/cache"
  -o "APT::Sandbox::User="
)
apt-get "${options[@]}" update

unneeded='^(adduser|debconf|dpkg|init-system-helpers|libpam.*|libperl.*|login.*|lsb-base|passwd|perl.*|psmisc|systemd.*|tar)$'
mapfile -t packages < <(
  apt-cache "${options[@]}" depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
    --no-enhances mysql-server-core |
    grep -E '^[a-z0-9][^:]*$' | grep -vE "$unneeded" | sort -u
)
(cd "$work/debs" && apt-get "${options[@]}" download "${packages[@]}")
for package in "$work"/debs/*.deb; do
  dpkg-deb --extract "$package" "$target"
done
touch "$marker"
