#!/usr/bin/env bash
# Prints the notes of a release, drawn from CHANGELOG.md.
#
#   scripts/release-notes.sh vX.Y.Z        of this version
#   scripts/release-notes.sh Unreleased    of what is to come
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

case ${1:-} in
    -h | --help) usage "${BASH_SOURCE[0]}" && exit 0 ;;
    '') die "Of which version? See scripts/release-notes.sh --help" ;;
esac
version=${1#v}

# The lines of its section. Its headline is "## X.Y.Z", with the date behind it or not.
section() {
    awk -v version="$version" '
        /^## / { inside = ($2 == version); next }
        inside && NF' "$ROOT/CHANGELOG.md"
}

# about KIND "Headline": the lines of this kind under their headline, if there are any.
about() {
    local lines
    lines=$(section | sed -n "s/^- \[$1\] /- /p")
    [[ -z $lines ]] || printf '## %s\n\n%s\n\n' "$2" "$lines"
}

[[ -n $(section) ]] || die "CHANGELOG.md has no section \"## $version\", or nothing is in it."
strange=$(section | grep -vE '^- \[(CHANGE|FEATURE|ENHANCEMENT|BUGFIX)\] ' || true)
[[ -z $strange ]] || die "Lines of CHANGELOG.md that are of no kind:" "$strange"
# What asks for attention first.
about CHANGE "What works differently"
about FEATURE "What there is to use"
about ENHANCEMENT "What is better"
about BUGFIX "What is mended"
if [[ $version != Unreleased ]]; then
    cat <<TEXT
## How to get it

\`\`\`sh
docker pull docker.io/matrixbot/matrixbot:$version
helm upgrade --install pager oci://ghcr.io/matrixbot/charts/matrixbot --version $version
\`\`\`
TEXT
fi
