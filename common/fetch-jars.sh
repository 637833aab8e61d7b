#!/usr/bin/env bash
# Fill a folder with a component's jars, as pinned in its pom.xml and locked in its jars.sha256: fetch-jars.sh COMPONENT FOLDER
# A component that has to change its jars has a patch_jars.py, which gets the folder before the check.
set -euo pipefail

fail() { echo "$1" >&2; exit 1; }

[[ $# -eq 2 ]] || fail "Usage: $0 COMPONENT FOLDER"
common=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
component=$(cd "$common/../$1" && pwd) || fail "There was no component called $1."
mkdir -p "$2" && target=$(cd "$2" && pwd) || fail "The folder $2 could not be made."

settings=$(mktemp) # of its owner only: it may hold a proxy's password
trap 'rm -f "$settings"' EXIT
"${PYTHON:-python3.11}" "$common/maven_settings.py" >"$settings"
"${MVN:-mvn}" -gs "$settings" -B -q -ntp -f "$component/pom.xml" generate-resources "-Dtarget=$target" >&2 ||
    fail "Maven could not fetch the jars of $1 (see above); check the network and try again."
if [[ -f $component/patch_jars.py ]]; then
    "${PYTHON:-python3.11}" "$component/patch_jars.py" "$target" || fail "The jars of $1 could not be patched (see above)."
fi
cd "$target"
sha256sum --check --quiet "$component/jars.sha256" >&2 ||
    fail "The jars of $1 in $target were not the ones its jars.sha256 names."
