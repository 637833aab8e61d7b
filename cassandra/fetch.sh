#!/usr/bin/env bash
# Fill a folder with this component's jars, as pinned in pom.xml and locked in jars.sha256: fetch.sh FOLDER
set -euo pipefail

component=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
fail() { echo "$1" >&2; exit 1; }

[[ $# -eq 1 ]] || fail "Usage: $0 FOLDER"
mkdir -p "$1" && target=$(cd "$1" && pwd) || fail "The folder $1 could not be made."

"${MVN:-mvn}" -B -q -ntp -f "$component/pom.xml" generate-resources "-Dtarget=$target" >&2 ||
    fail "Maven could not fetch the jars of $(basename "$component") (see above); check the network and try again."
cd "$target"
sha256sum --check --quiet "$component/jars.sha256" >&2 ||
    fail "The jars of $(basename "$component") in $target were not the ones its jars.sha256 names."
