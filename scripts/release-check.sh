#!/usr/bin/env bash
# Checks that a tag can be released: all versions agree, and the changelog has a section for it.
#
#   scripts/release-check.sh vX.Y.Z            tag = crate = chart = appVersion = compose.yaml, and CHANGELOG.md has X.Y.Z
#   scripts/release-check.sh vX.Y.Z --secrets  and every secret of the pipeline is set
#
# It lists every problem at once.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/pipeline.sh
source "$ROOT/scripts/lib/pipeline.sh"

# value FILE KEY: the plain value of a key at the top of a YAML file.
value() { sed -n "s/^$2: *\"\{0,1\}\([^\"#]*[^\"# ]\)\"\{0,1\} *\(#.*\)\{0,1\}$/\1/p" "$ROOT/$1" | head -n 1; }

crate_version() { sed -n '/^\[package\]/,/^\[/{s/^version = "\(.*\)"$/\1/p}' "$ROOT/Cargo.toml"; }
locked_version() { sed -n '/^name = "matrixbot"$/{n;s/^version = "\(.*\)"$/\1/p}' "$ROOT/Cargo.lock"; }
compose_version() { sed -n 's/.*MATRIXBOT_VERSION:-\([^}]*\)}.*/\1/p' "$ROOT/compose.yaml" | head -n 1; }
in_changelog() { grep -qE "^## ${1//./\\.}( |$)" "$ROOT/CHANGELOG.md"; }

tag='' secrets=''
for argument in "$@"; do
    case $argument in
        -h | --help) usage "${BASH_SOURCE[0]}" && exit 0 ;;
        --secrets) secrets=yes ;;
        -*) die "unknown option $argument; see scripts/release-check.sh --help" ;;
        *) tag=$argument ;;
    esac
done
[[ -n $tag ]] || die "Which tag? See scripts/release-check.sh --help"
[[ $tag =~ ^v[0-9]+\.[0-9]+\.[0-9]+$ ]] || die "$tag is not of the form vX.Y.Z."
version=${tag#v}

wrong=()
# says WHAT FOUND: FOUND must be this version.
says() { [[ $2 == "$version" ]] || wrong+=("$1 says ${2:-nothing}, not $version"); }
says "Cargo.toml, version," "$(crate_version)"
says "Cargo.lock, matrixbot's version," "$(locked_version)"
says "charts/matrixbot/Chart.yaml, version," "$(value charts/matrixbot/Chart.yaml version)"
says "charts/matrixbot/Chart.yaml, appVersion," "$(value charts/matrixbot/Chart.yaml appVersion)"
says "compose.yaml, MATRIXBOT_VERSION," "$(compose_version)"
in_changelog "$version" || wrong+=("CHANGELOG.md has no section \"## $version\"")
if [[ -n $secrets ]]; then
    for name in "${SECRETS[@]}"; do
        [[ -n ${!name:-} ]] || wrong+=("$name is missing in the environment: $(secret_purpose "$name")")
    done
fi
((${#wrong[@]} == 0)) || die "$tag cannot be released:" "${wrong[@]}"
say "$tag can be released."
