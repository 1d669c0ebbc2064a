#!/usr/bin/env bash
# Prints the notes of a release from CHANGELOG.md.
#
#   scripts/release-notes.sh vX.Y.Z        of this version
#   scripts/release-notes.sh Unreleased    of the next version
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

case ${1:-} in
    -h | --help) usage "${BASH_SOURCE[0]}" && exit 0 ;;
    '') die "Of which version? See scripts/release-notes.sh --help" ;;
esac
version=${1#v}

# The section of the version, without empty lines at its ends. Its headline is "## X.Y.Z", maybe followed by the date.
section() {
    local text
    text=$(awk -v version="$version" '
        /^## / { inside = ($2 == version); next }
        inside && (NF || begun) { begun = 1; print }' "$ROOT/CHANGELOG.md")
    printf '%s' "$text"
}

# A section may begin with a paragraph. It is printed as it is, with everything up to the first line of a kind.
introduction() { section | awk '/^- / && NR == 1 || /^- \[/ { exit } { print }'; }

# The lines of changes, each of which is of a kind.
changes() { section | awk '/^- / && NR == 1 || /^- \[/ { inside = 1 } inside && NF'; }

# about KIND "Headline": the lines of this kind below a headline, if there are any.
about() {
    local lines
    lines=$(changes | sed -n "s/^- \[$1\] /- /p")
    [[ -z $lines ]] || printf '## %s\n\n%s\n\n' "$2" "$lines"
}

[[ -n $(section) ]] || die "CHANGELOG.md has no section \"## $version\", or the section is empty."
unknown=$(changes | grep -vE '^- \[(CHANGE|FEATURE|ENHANCEMENT|BUGFIX)\] ' || true)
[[ -z $unknown ]] || die "Lines of CHANGELOG.md without a known kind:" "$unknown"
introduction=$(introduction)
[[ -z $introduction ]] || printf '%s\n\n' "$introduction"
# Changes that need attention come first.
about CHANGE "What works differently"
about FEATURE "What is new"
about ENHANCEMENT "What is better"
about BUGFIX "What is fixed"
if [[ $version != Unreleased ]]; then
    cat <<TEXT
## How to get it

\`\`\`sh
docker pull docker.io/matrixbot/matrixbot:$version
helm upgrade --install pager oci://ghcr.io/matrixbot/charts/matrixbot --version $version
\`\`\`
TEXT
fi
