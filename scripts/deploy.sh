#!/usr/bin/env bash
# Releases to production: installs or upgrades the published chart on the DigitalOcean cluster.
#
#   scripts/deploy.sh vX.Y.Z               the values are deploy/production.yaml, deploy/registration.yaml and three secrets
#   scripts/deploy.sh --dry-run vX.Y.Z     prints the commands, runs none
#   scripts/deploy.sh --registration FILE  writes the registration with its tokens, for the homeserver
#
# The secrets DIGITALOCEAN_ACCESS_TOKEN, MATRIXBOT_ACCESS_TOKEN and MATRIXBOT_ALERT_SERVICE_ID come from the environment;
# docs/DEPLOYMENT.md explains each. They appear on no command line and in no output.
#
# KUBERNETES_CLUSTER (production), NAMESPACE (monitoring), RELEASE (pager), VALUES (deploy/production.yaml) and CHART
# (oci://ghcr.io/matrixbot/charts/matrixbot) can be set in the environment.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/pipeline.sh
source "$ROOT/scripts/lib/pipeline.sh"

KUBERNETES_CLUSTER=${KUBERNETES_CLUSTER:-production}
NAMESPACE=${NAMESPACE:-monitoring}
RELEASE=${RELEASE:-pager}
VALUES=${VALUES:-$ROOT/deploy/production.yaml}
CHART=${CHART:-oci://ghcr.io/matrixbot/charts/matrixbot}
# Longer than a rollout of a few replicas, each of which may take two minutes to stop.
TIMEOUT=15m

# registration: deploy/registration.yaml with its tokens. The hs_token is derived from the as_token, so both sides can
# write the file from one secret; the as_token cannot be derived from the hs_token.
registration() {
    local text hs_token
    [[ $MATRIXBOT_ACCESS_TOKEN =~ ^[A-Za-z0-9._~-]{32,}$ ]] ||
        die "MATRIXBOT_ACCESS_TOKEN must have at least 32 characters, all of A-Z a-z 0-9 . _ ~ -" "openssl rand -hex 32 makes one."
    hs_token=$(printf 'matrixbot hs_token %s' "$MATRIXBOT_ACCESS_TOKEN" | sha256sum | cut -d' ' -f1)
    text=$(<"$ROOT/deploy/registration.yaml")
    text=${text//AS_TOKEN/$MATRIXBOT_ACCESS_TOKEN}
    printf '%s\n' "${text//HS_TOKEN/$hs_token}"
}

write_registration() {
    local text
    require_secrets MATRIXBOT_ACCESS_TOKEN
    text=$(registration)
    (umask 077 && printf '%s\n' "$text" >"$1")
    say "$1 has the registration. Give it only to the homeserver."
}

# was_deployed: whether a revision of the release has ever been deployed, according to helm history.
was_deployed() {
    helm --namespace "$NAMESPACE" history "$RELEASE" --output json 2>"$scratch/error" >"$scratch/history" || {
        grep -qi 'not found' "$scratch/error" || die "helm history fails:" "$(<"$scratch/error")"
        return 1
    }
    grep -qE '"status": *"(deployed|superseded)"' "$scratch/history"
}

deploy() {
    local upgrade=(helm --namespace "$NAMESPACE" upgrade --install "$RELEASE" "$CHART" --version "$version"
        --create-namespace --values "$VALUES" --set-string "image.tag=$version"
        --set-file "registration.value=$scratch/registration.yaml"
        --set-file "webhookTokens.shared=$scratch/webhook-token" --history-max 10)
    run_into "$scratch/kubeconfig" doctl kubernetes cluster kubeconfig show "$KUBERNETES_CLUSTER" --expiry-seconds 3600
    export KUBECONFIG=$scratch/kubeconfig
    if [[ -n $DRY_RUN ]]; then
        shown helm --namespace "$NAMESPACE" history "$RELEASE" --output json
        printf '# the first time:\n'
        shown "${upgrade[@]}"
        printf '# afterwards:\n'
        shown "${upgrade[@]}" --atomic --timeout "$TIMEOUT"
        shown helm --namespace "$NAMESPACE" test "$RELEASE" --timeout "$TIMEOUT"
    elif was_deployed; then
        # Helm 4 also accepts this older name of --rollback-on-failure.
        run "${upgrade[@]}" --atomic --timeout "$TIMEOUT"
        run helm --namespace "$NAMESPACE" test "$RELEASE" --timeout "$TIMEOUT" ||
            die "$tag is in production, but helm test fails." "For the reason: kubectl -n $NAMESPACE logs $RELEASE-matrixbot-test"
        say "$tag is in production."
    else
        # A pod is ready when the homeserver can call it and every room is joined. Before the first installation, the
        # homeserver does not have the registration, and only a running pod creates the virtual users that people invite.
        # Pods cannot become ready before that, and --atomic would remove the release.
        run "${upgrade[@]}"
        say "$tag is installed. Its pods become ready after the steps above; later deployments wait for them."
    fi
}

tag='' file=''
while (($#)); do
    case $1 in
        -h | --help) usage "${BASH_SOURCE[0]}" && exit 0 ;;
        --dry-run) DRY_RUN=yes ;;
        --registration)
            [[ $# -ge 2 ]] || die "--registration needs a file"
            file=$2
            shift
            ;;
        -*) die "unknown option $1; see scripts/deploy.sh --help" ;;
        *) tag=$1 ;;
    esac
    shift
done
if [[ -n $file ]]; then
    write_registration "$file"
    exit 0
fi
[[ -n $tag ]] || die "Which tag? See scripts/deploy.sh --help"
version=${tag#v}
[[ -n $DRY_RUN ]] || "$ROOT/scripts/release-check.sh" "$tag"
require_secrets DIGITALOCEAN_ACCESS_TOKEN MATRIXBOT_ACCESS_TOKEN MATRIXBOT_ALERT_SERVICE_ID
tools doctl helm
if [[ -n $DRY_RUN ]]; then
    scratch=/tmp/matrixbot-deploy
else
    umask 077
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/matrixbot-deploy.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    registration >"$scratch/registration.yaml"
    printf '%s' "$MATRIXBOT_ALERT_SERVICE_ID" >"$scratch/webhook-token"
fi
deploy
