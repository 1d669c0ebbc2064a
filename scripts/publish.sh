#!/usr/bin/env bash
# Publishes a release: the image, the chart, and on GitHub its notes and the files of artifacts/, from
# scripts/debian-package.sh and scripts/supply-chain.sh.
#
#   scripts/publish.sh vX.Y.Z              to docker.io/matrixbot/matrixbot, oci://ghcr.io/matrixbot/charts and GitHub
#   scripts/publish.sh --dry-run vX.Y.Z    prints the commands, runs none
#
# It can be repeated after a failure. IMAGE, CHARTS, REPOSITORY and ARTIFACTS select other places. The secrets
# DOCKER_USER, DOCKER_PASSWORD and GITHUB_BOT_TOKEN come from the environment and appear on no command line.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/pipeline.sh
source "$ROOT/scripts/lib/pipeline.sh"

IMAGE=${IMAGE:-docker.io/matrixbot/matrixbot}
CHARTS=${CHARTS:-oci://ghcr.io/matrixbot/charts}
REPOSITORY=${REPOSITORY:-matrixbot/matrixbot}
ARTIFACTS=${ARTIFACTS:-$ROOT/artifacts}

# json TEXT: as a JSON string.
json() {
    local text=${1//\\/\\\\}
    text=${text//\"/\\\"}
    text=${text//$'\t'/\\t}
    printf '"%s"' "${text//$'\n'/\\n}"
}

publish_image() {
    run_with "$DOCKER_PASSWORD" docker login --username "$DOCKER_USER" --password-stdin "${IMAGE%%/*}"
    "$ROOT/scripts/image.sh" ${DRY_RUN:+--dry-run} publish "$IMAGE" "$version"
}

publish_chart() {
    local registry=${CHARTS#oci://}
    run helm package "$ROOT/charts/matrixbot" --destination "$scratch"
    # GitHub identifies the account by its token.
    run_with "$GITHUB_BOT_TOKEN" helm registry login "${registry%%/*}" --username matrixbot --password-stdin
    run helm push "$scratch/matrixbot-$version.tgz" "$CHARTS"
}

# api METHOD URL [OPTION…]: GitHub's answer. curl reads the token from its standard input.
api() {
    local url=$2
    run_with "header = \"Authorization: Bearer $GITHUB_BOT_TOKEN\"" curl --config - --fail --silent --show-error \
        --retry 3 --header "Accept: application/vnd.github+json" --request "$1" "${@:3}" "$url"
}

# publish_notes: leaves GitHub's answer about the release in $scratch/release.json.
publish_notes() {
    local releases=https://api.github.com/repos/$REPOSITORY/releases
    if [[ -n $DRY_RUN ]]; then
        api POST "$releases" --data "@$scratch/request.json" --output "$scratch/release.json"
        return
    fi
    if api GET "$releases/tags/$tag" --output "$scratch/release.json" 2>"$scratch/error"; then
        say "The release $tag already exists."
        return
    fi
    grep -q ' 404' "$scratch/error" || die "GitHub's API fails:" "$(<"$scratch/error")"
    "$ROOT/scripts/release-notes.sh" "$tag" >"$scratch/notes.md"
    printf '{"tag_name": %s, "name": %s, "body": %s}\n' "$(json "$tag")" "$(json "matrixbot $version")" \
        "$(json "$(<"$scratch/notes.md")")" >"$scratch/request.json"
    api POST "$releases" --data "@$scratch/request.json" --output "$scratch/release.json"
}

# publish_artifacts: the files that the release does not have yet, and their checksums.
publish_artifacts() {
    local uploads file name
    if [[ -n $DRY_RUN ]]; then
        api POST "https://uploads.github.com/repos/$REPOSITORY/releases/ID/assets?name=FILE" --data-binary "@$ARTIFACTS/FILE"
        return
    fi
    uploads=$(sed -n 's/.*"upload_url": *"\(https:[^"{]*\).*/\1/p' "$scratch/release.json")
    [[ -n $uploads ]] || die "GitHub's answer about $tag has no upload_url:" "$(<"$scratch/release.json")"
    (cd "$ARTIFACTS" && sha256sum -- *) >"$scratch/SHA256SUMS"
    for file in "$ARTIFACTS"/* "$scratch/SHA256SUMS"; do
        name=${file##*/}
        if grep -qF "\"$name\"" "$scratch/release.json"; then
            say "The release already has $name."
        else
            api POST "$uploads?name=$name" --header "Content-Type: application/octet-stream" --data-binary "@$file" \
                --output "$scratch/uploaded.json"
        fi
    done
}

tag=''
for argument in "$@"; do
    case $argument in
        -h | --help) usage "${BASH_SOURCE[0]}" && exit 0 ;;
        --dry-run) DRY_RUN=yes ;;
        -*) die "unknown option $argument; see scripts/publish.sh --help" ;;
        *) tag=$argument ;;
    esac
done
[[ -n $tag ]] || die "Which tag? See scripts/publish.sh --help"
[[ -n $DRY_RUN ]] || "$ROOT/scripts/release-check.sh" "$tag"
require_secrets DOCKER_USER DOCKER_PASSWORD GITHUB_BOT_TOKEN
[[ -n $DRY_RUN ]] || compgen -G "$ARTIFACTS/*.deb" >/dev/null ||
    die "There is no Debian package in $ARTIFACTS. Create it with: scripts/debian-package.sh --output $ARTIFACTS"
version=${tag#v}
tools helm
scratch=/tmp/matrixbot-publish
if [[ -z $DRY_RUN ]]; then
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/matrixbot-publish.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
fi

publish_image
publish_chart
publish_notes
publish_artifacts
[[ -n $DRY_RUN ]] || say "$tag is published."
