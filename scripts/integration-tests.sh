#!/usr/bin/env bash
# Installs the chart on a throw-away cluster with Postgres, Synapse and Alertmanager, plays the main job through it,
# upgrades it, plays it again, and deletes everything. Exit status 0 if all of it was seen and nothing was left.
#
#   scripts/integration-tests.sh                 needs Docker; kind, kubectl and helm are fetched
#   scripts/integration-tests.sh --in-container  the same from a container beside the cluster, for whoever is in one
#   scripts/integration-tests.sh --local         the same story on local processes: no Docker, no cluster
#   scripts/integration-tests.sh --dry-run       prints the commands, runs none
#
# IMAGE=NAME tries an image that Docker has, instead of building it. KEEP=1 leaves the cluster, to look around in it.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/pipeline.sh
source "$ROOT/scripts/lib/pipeline.sh"

CLUSTER=matrixbot-integration-tests
NAMESPACE=matrixbot
RELEASE=pager
HERE=$ROOT/scripts/integration
image=${IMAGE:-matrixbot:integration-tests}
[[ ${image##*/} == *:* ]] || image+=:latest
scratch=/tmp/matrixbot-integration-tests

# --- the cluster -------------------------------------------------------------------------------------

build_image() {
    [[ -n ${IMAGE:-} ]] || run "$ROOT/scripts/image.sh" build "$image"
    run "$ROOT/scripts/image.sh" check "$image"
}

make_cluster() {
    # One that was left by a run which could not clean up.
    run kind delete cluster --name "$CLUSTER"
    cluster=made
    run kind create cluster --name "$CLUSTER" --image "$NODE_IMAGE" --kubeconfig "$scratch/kubeconfig" --wait 180s
    export KUBECONFIG=$scratch/kubeconfig
    run kind load docker-image "$image" --name "$CLUSTER"
}

delete_cluster() {
    [[ -n $cluster ]] || return 0
    if [[ -n ${KEEP:-} ]]; then
        say "The cluster stays. In it: kind export kubeconfig --name $CLUSTER; its end: kind delete cluster --name $CLUSTER"
        return
    fi
    cluster=''
    run kind delete cluster --name "$CLUSTER"
}

in_namespace() { run kubectl --namespace "$NAMESPACE" "$@"; }

# --- what matrixbot works with -----------------------------------------------------------------------

start_servers() {
    run_into "$scratch/registration.yaml" docker run --rm "$image" registration --server-name example.test \
        --url "http://$RELEASE-matrixbot-appservice.$NAMESPACE.svc:9009"
    run kubectl create namespace "$NAMESPACE"
    # The chart's pods must be let in as the strictest of Kubernetes' own standards has it; the others only just.
    run kubectl label namespace "$NAMESPACE" pod-security.kubernetes.io/warn=restricted
    in_namespace create secret generic registration --from-file "$scratch/registration.yaml"
    in_namespace create configmap story --from-file "$ROOT/scripts/story.py"
    in_namespace apply --filename "$HERE/servers.yaml"
    local server
    for server in postgres synapse alertmanager; do
        in_namespace rollout status "deployment/$server" --timeout 300s
    done
}

# in_synapse COMMAND…: Synapse's container has a Python and sees everything by its name.
in_synapse() { in_namespace exec deployment/synapse -- "$@"; }

make_people_and_rooms() {
    local person
    for person in alice bob; do
        in_synapse register_new_matrix_user --exists-ok --no-admin --user "$person" --password "$person" \
            --config /config/homeserver.yaml http://127.0.0.1:8008
    done
    in_synapse python /story/story.py rooms --homeserver http://synapse:8008
}

play_story() {
    in_synapse python /story/story.py play --homeserver http://synapse:8008 --alertmanager http://alertmanager:9093 \
        --admin "http://$RELEASE-matrixbot-admin:9011" --virtual-user @_alerts_demo:example.test --escalate-after 10
}

# --- the chart ---------------------------------------------------------------------------------------

in_release() { run helm --namespace "$NAMESPACE" "$@"; }

# chart COMMAND… [OPTION…]: an installation or an upgrade.
chart() {
    in_release "$@" "$RELEASE" "$ROOT/charts/matrixbot" --values "$HERE/values.yaml" \
        --set-file "registration.value=$scratch/registration.yaml" \
        --set-string "image.repository=${image%:*},image.tag=${image##*:}"
}

# Without --wait: pods are ready only once the story has invited the virtual user.
install_chart() { chart install; }
upgrade_chart() { chart upgrade --set replicaCount=3 --set-string podAnnotations.upgraded=yes --atomic --timeout 600s; }
all_pods_ready() { in_namespace rollout status "deployment/$RELEASE-matrixbot" --timeout 300s; }
ask_doctor() { in_namespace exec "deployment/$RELEASE-matrixbot" -- matrixbot doctor; }
# Its pod is gone when it went well, so that there are no logs to ask for.
test_chart() { in_release test "$RELEASE" --timeout 600s; }

uninstall_chart() {
    # With the pods, not only with what would have made more of them.
    in_release uninstall "$RELEASE" --cascade foreground --wait --timeout 300s
    if [[ -n $DRY_RUN ]]; then
        in_namespace get all,configmap,secret,serviceaccount,networkpolicy,poddisruptionbudget \
            --selector "app.kubernetes.io/instance=$RELEASE" --output name
        return
    fi
    local left
    left=$(kubectl --namespace "$NAMESPACE" get all,configmap,secret,serviceaccount,networkpolicy,poddisruptionbudget \
        --selector "app.kubernetes.io/instance=$RELEASE" --output name)
    [[ -z $left ]] || die "What the chart made is still there:" "$left"
}

delete_namespace() { run kubectl delete namespace "$NAMESPACE" --wait --timeout 300s; }

# --- all of it ---------------------------------------------------------------------------------------

# What people look at first when something went wrong.
tell_state() {
    set +e
    title "How it is"
    kubectl --namespace "$NAMESPACE" get pods,jobs,events
    kubectl --namespace "$NAMESPACE" logs --selector app.kubernetes.io/name=matrixbot --all-containers --prefix --tail 100
    kubectl --namespace "$NAMESPACE" logs deployment/synapse --tail 50
} >&2

on_exit() {
    local status=$?
    trap '' INT TERM HUP
    if ((status != 0)) && [[ -n $cluster && -z $DRY_RUN ]]; then tell_state; fi
    delete_cluster || status=1
    [[ -n $DRY_RUN ]] || rm -rf "$scratch"
    exit "$status"
}

everything() {
    tools kind kubectl helm
    [[ -n $DRY_RUN ]] || have docker || die "There is no Docker." "Without it: scripts/integration-tests.sh --local"
    cluster=''
    trap on_exit EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    [[ -n $DRY_RUN ]] || scratch=$(mktemp -d "${TMPDIR:-/tmp}/matrixbot-integration-tests.XXXXXX")
    local part
    for part in build_image make_cluster start_servers make_people_and_rooms \
        install_chart play_story all_pods_ready ask_doctor test_chart \
        upgrade_chart all_pods_ready play_story test_chart \
        uninstall_chart delete_namespace delete_cluster; do
        title "${part//_/ }"
        "$part"
    done
    [[ -n $DRY_RUN ]] || say "All of it was seen, and nothing is left."
}

# From within a container, what listens on the loopback of Docker's machine cannot be reached: the cluster, for one. A
# container on that machine's network can.
in_container() {
    run "$ROOT/scripts/image.sh" build "$image"
    run docker build --file "$HERE/Dockerfile" --tag matrixbot-integration-tests "$ROOT"
    run docker run --rm --network host --volume /var/run/docker.sock:/var/run/docker.sock --env "IMAGE=$image" \
        matrixbot-integration-tests
}

mode=everything
for argument in "$@"; do
    case $argument in
        -h | --help) usage "${BASH_SOURCE[0]}" && exit 0 ;;
        --dry-run) DRY_RUN=yes ;;
        --in-container) mode=in_container ;;
        # The very same story, played by the part of the tests that has local processes.
        --local) mode=local ;;
        *) die "unknown option $argument; see scripts/integration-tests.sh --help" ;;
    esac
done
case $mode in
    local) run "$ROOT/scripts/test.sh" story ;;
    *) "$mode" ;;
esac
