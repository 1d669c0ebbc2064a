# shellcheck shell=bash
# Shared by the scripts of the pipeline: printing and running commands, secrets, and tools of fixed versions.
# Sourced after common.sh, never run.

# shellcheck source=scripts/lib/versions.sh
source "$ROOT/scripts/lib/versions.sh"

DRY_RUN=''

# --- secrets -----------------------------------------------------------------------------------------

# The secrets of the pipeline; docs/DEPLOYMENT.md explains where each comes from.
SECRETS=(DIGITALOCEAN_ACCESS_TOKEN MATRIXBOT_ACCESS_TOKEN MATRIXBOT_ALERT_SERVICE_ID GITHUB_BOT_TOKEN DOCKER_USER
    DOCKER_PASSWORD)

secret_purpose() {
    case $1 in
        DIGITALOCEAN_ACCESS_TOKEN) printf 'the token of the DigitalOcean API for the production cluster' ;;
        MATRIXBOT_ACCESS_TOKEN) printf "the appservice's as_token, which matrixbot sends to the homeserver" ;;
        MATRIXBOT_ALERT_SERVICE_ID) printf 'the webhook token, which Alertmanager sends' ;;
        GITHUB_BOT_TOKEN) printf 'the token that publishes the chart and the release' ;;
        DOCKER_USER) printf 'the account that publishes the image' ;;
        DOCKER_PASSWORD) printf "that account's password or access token" ;;
    esac
}

# require_secrets NAME…: dies with a list of all that are missing. A dry run needs none.
require_secrets() {
    local name missing=()
    for name in "$@"; do
        if [[ -n ${!name:-} ]]; then continue; fi
        if [[ -n $DRY_RUN ]]; then printf -v "$name" '%s' "\$$name"; fi
        missing+=("$name: $(secret_purpose "$name")")
    done
    if [[ -n $DRY_RUN ]] || ((${#missing[@]} == 0)); then return; fi
    die "Missing in the environment:" "${missing[@]}" "docs/DEPLOYMENT.md explains where each comes from."
}

# --- commands -----------------------------------------------------------------------------------------

# shown WORD…: a command as one would type it, with the names of secrets instead of their values.
shown() {
    local word name line=''
    for word in "$@"; do
        for name in "${SECRETS[@]}"; do
            [[ -z ${!name:-} || $word != "${!name}" ]] || word="\$$name"
        done
        if [[ $word =~ ^\$[A-Z_]+$ ]]; then
            line+=" \"$word\""
        elif [[ $word =~ ^[A-Za-z0-9_./:=@,%+-]+$ ]]; then line+=" $word"; else line+=" '${word//\'/\'\\\'\'}'"; fi
    done
    printf '%s\n' "${line# }"
}

# run COMMAND…: prints it, then runs it; with --dry-run only prints it.
run() {
    if [[ -n $DRY_RUN ]]; then
        shown "$@"
    else
        say "+ $(shown "$@")"
        "$@"
    fi
}

# run_with TEXT COMMAND…: the same with TEXT on its standard input, which is not printed: it may be a secret.
run_with() {
    local text=$1
    shift
    if [[ -n $DRY_RUN ]]; then
        printf '%s <<<…\n' "$(shown "$@")"
    else
        say "+ $(shown "$@") <<<…"
        "$@" <<<"$text"
    fi
}

# run_into FILE COMMAND…: the same with its output in FILE, which only the owner can read.
run_into() {
    local file=$1
    shift
    if [[ -n $DRY_RUN ]]; then
        printf '%s >%s\n' "$(shown "$@")" "$(shown "$file")"
    else
        say "+ $(shown "$@") >$(shown "$file")"
        (umask 077 && "$@" >"$file")
    fi
}

# --- tools -------------------------------------------------------------------------------------------

# tools NAME…: adds these to the PATH, in the versions of versions.sh, and downloads those that are not in the cache.
tools() {
    if [[ -n $DRY_RUN ]]; then return; fi
    # Tests have stand-ins on their PATH.
    if [[ -n ${MATRIXBOT_TOOLS:-} ]]; then
        PATH=$MATRIXBOT_TOOLS:$PATH
        return
    fi
    local name architecture dir
    case $(uname -m) in
        x86_64) architecture=amd64 ;;
        aarch64 | arm64) architecture=arm64 ;;
        *) die "There are no tools for $(uname -m) here." ;;
    esac
    for name in "$@"; do
        dir=$CACHE/tools/$name-$(tool_version "$name")
        [[ -x $dir/$name ]] || step "Fetching $name $(tool_version "$name")" fetch_tool "$name" "$architecture" "$dir"
        PATH=$dir:$PATH
    done
}

# fetch_tool NAME ARCHITECTURE DIR: leaves the complete tool with the expected checksum, or nothing.
fetch_tool() {
    local name=$1 architecture=$2 dir=$3 sum unpacked
    sum=$(tool_sum "$name" "$architecture")
    [[ -n $sum ]] || die "There is no checksum of $name for $architecture in scripts/lib/versions.sh."
    mkdir -p "$(dirname "$dir")"
    unpacked=$(mktemp -d "$dir.XXXXXX")
    if curl --fail --silent --show-error --location --retry 3 --output "$unpacked/download" "$(tool_url "$name" "$architecture")" &&
        sha256sum --check --quiet <<<"$sum  $unpacked/download" &&
        case $name in
            helm | doctl)
                tar -xzf "$unpacked/download" -C "$unpacked"
                [[ $name != helm ]] || mv "$unpacked/linux-$architecture/helm" "$unpacked/helm"
                ;;
            *) mv "$unpacked/download" "$unpacked/$name" ;;
        esac && chmod 755 "$unpacked/$name"; then
        rm -rf "$dir"
        mv "$unpacked" "$dir"
    else
        rm -rf "$unpacked"
        return 1
    fi
}
