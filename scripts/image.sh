#!/usr/bin/env bash
# Builds, checks and publishes the image. Needs Docker with buildx.
#
#   scripts/image.sh build NAME [PLATFORM]   builds it for this machine, or for linux/amd64 or linux/arm64
#   scripts/image.sh check NAME              checks that it is small, has no shell, does not run as root and is read-only
#   scripts/image.sh publish NAME VERSION    builds it for amd64 and arm64 and pushes NAME:VERSION, NAME:X.Y and NAME:latest
#   scripts/image.sh --dry-run COMMAND…      prints the commands, runs none
#
# The same commit gives the same image: its times are the commit's (SOURCE_DATE_EPOCH), and SNAPSHOT=20261101T000000Z
# selects Debian's packages of that time.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/pipeline.sh
source "$ROOT/scripts/lib/pipeline.sh"

# 25 MB, in bytes.
LIMIT=25000000

commit() { git -C "$ROOT" log -1 --format="$1" 2>/dev/null; }

# build_arguments VERSION: writes to the array `arguments`.
build_arguments() {
    local revision
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(commit %ct || printf 0)}
    export SOURCE_DATE_EPOCH
    revision=${REVISION:-$(commit %h || printf unknown)}
    arguments=(--build-arg "VERSION=$1" --build-arg "REVISION=$revision"
        --build-arg "CREATED=$(date --utc --date "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)"
        --build-arg "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH")
    [[ -z ${SNAPSHOT:-} ]] || arguments+=(--build-arg "SNAPSHOT=$SNAPSHOT")
}

build() {
    local arguments
    build_arguments "$(sed -n 's/^version = "\(.*\)"$/\1/p' "$ROOT/Cargo.toml" | head -n 1)"
    [[ -z ${2:-} ]] || arguments+=(--platform "$2")
    run docker buildx build "${arguments[@]}" --load --tag "$1" "$ROOT"
}

# fails_or_dies MESSAGE COMMAND…: dies with MESSAGE if COMMAND succeeds.
fails_or_dies() { ! "${@:2}" >/dev/null 2>&1 || die "$1"; }

check() {
    local name=$1 size user
    local hardened=(docker run --rm --read-only --cap-drop ALL --security-opt no-new-privileges --network none)
    run "${hardened[@]}" "$name" --version
    if [[ -n $DRY_RUN ]]; then
        run docker image inspect --format '{{.Size}} {{.Config.User}}' "$name"
        return
    fi
    read -r size user < <(docker image inspect --format '{{.Size}} {{.Config.User}}' "$name")
    ((size <= LIMIT)) || die "$name has $size bytes, more than $LIMIT."
    [[ $user == 65532:65532 ]] || die "$name runs as ${user:-root}, not as 65532:65532."
    fails_or_dies "$name has a shell." "${hardened[@]}" --entrypoint /bin/sh "$name" -c true
    say "$name: $size bytes, runs as $user on a read-only root, and has no shell."
}

publish() {
    local name=$1 version=$2 arguments status=0
    build_arguments "$version"
    # Docker's default builder builds only for its own platform.
    run docker buildx create --name matrixbot --driver docker-container --use
    run docker buildx build "${arguments[@]}" --platform linux/amd64,linux/arm64 --provenance mode=max --sbom true \
        --output type=image,push=true,rewrite-timestamp=true \
        --tag "$name:$version" --tag "$name:${version%.*}" --tag "$name:latest" "$ROOT" || status=$?
    run docker buildx rm matrixbot
    ((status == 0)) || exit "$status"
    run docker buildx imagetools inspect "$name:$version"
}

if [[ ${1:-} == --dry-run ]]; then
    DRY_RUN=yes
    shift
fi
command=${1:-help}
case $command in
    build | check) [[ $# -ge 2 ]] || die "$command needs the name of an image" ;;
    publish) [[ $# -eq 3 ]] || die "publish needs the name of an image and its version" ;;
esac
case $command in
    build) build "${@:2}" ;;
    check) check "$2" ;;
    publish) publish "$2" "$3" ;;
    -h | --help | help) usage "${BASH_SOURCE[0]}" ;;
    *) die "unknown command $command; see scripts/image.sh --help" ;;
esac
