#!/usr/bin/env bash
# Installs the chart on a throw-away cluster with Postgres, Synapse and Alertmanager, runs the main job, upgrades the
# chart, runs it again, and deletes everything. Exit status 0 if every step succeeded and nothing is left.
#
#   scripts/integration-tests.sh                 needs Docker; downloads kind, kubectl and helm
#   scripts/integration-tests.sh --in-container  the same from a container beside the cluster, if you are in one
#   scripts/integration-tests.sh --local         the same story on local processes: no Docker, no cluster
#   scripts/integration-tests.sh --dry-run       prints the commands, runs none
#
# IMAGE=NAME tests an existing image instead of building one. KEEP=1 keeps the cluster for inspection.
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

create_cluster() {
    # A cluster that an interrupted run left behind.
    run kind delete cluster --name "$CLUSTER"
    cluster=created
    run kind create cluster --name "$CLUSTER" --image "$NODE_IMAGE" --kubeconfig "$scratch/kubeconfig" --wait 180s
    export KUBECONFIG=$scratch/kubeconfig
    run kind load docker-image "$image" --name "$CLUSTER"
}

delete_cluster() {
    [[ -n $cluster ]] || return 0
    if [[ -n ${KEEP:-} ]]; then
        say "The cluster stays. To use it: kind export kubeconfig --name $CLUSTER; to delete it: kind delete cluster --name $CLUSTER"
        return
    fi
    cluster=''
    run kind delete cluster --name "$CLUSTER"
}

in_namespace() { run kubectl --namespace "$NAMESPACE" "$@"; }

# --- the servers around matrixbot --------------------------------------------------------------------

start_servers() {
    run_into "$scratch/registration.yaml" docker run --rm "$image" registration --server-name example.test \
        --url "http://$RELEASE-matrixbot-appservice.$NAMESPACE.svc:9009"
    run kubectl create namespace "$NAMESPACE"
    # The chart's pods meet the strictest standard of Kubernetes; for other pods, violations are only warnings.
    run kubectl label namespace "$NAMESPACE" pod-security.kubernetes.io/warn=restricted
    in_namespace create secret generic registration --from-file "$scratch/registration.yaml"
    in_namespace create configmap story --from-file "$ROOT/scripts/story.py"
    in_namespace apply --filename "$HERE/servers.yaml"
    local server
    for server in postgres synapse alertmanager; do
        in_namespace rollout status "deployment/$server" --timeout 300s
    done
}

# in_synapse COMMAND…: Synapse's container has Python, and resolves the names of all Services.
in_synapse() { in_namespace exec deployment/synapse -- "$@"; }

create_people_and_rooms() {
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

# Without --wait: pods become ready only after the story has invited the virtual user.
install_chart() { chart install; }
upgrade_chart() { chart upgrade --set replicaCount=3 --set-string podAnnotations.upgraded=yes --atomic --timeout 600s; }
all_pods_ready() { in_namespace rollout status "deployment/$RELEASE-matrixbot" --timeout 300s; }
run_doctor() { in_namespace exec "deployment/$RELEASE-matrixbot" -- matrixbot doctor; }
# Helm deletes its pod after success, so --logs would fail.
test_chart() { in_release test "$RELEASE" --timeout 600s; }

uninstall_chart() {
    # Waits for the pods as well, not only for the Deployment.
    in_release uninstall "$RELEASE" --cascade foreground --wait --timeout 300s
    if [[ -n $DRY_RUN ]]; then
        in_namespace get all,configmap,secret,serviceaccount,networkpolicy,poddisruptionbudget \
            --selector "app.kubernetes.io/instance=$RELEASE" --output name
        return
    fi
    local left
    left=$(kubectl --namespace "$NAMESPACE" get all,configmap,secret,serviceaccount,networkpolicy,poddisruptionbudget \
        --selector "app.kubernetes.io/instance=$RELEASE" --output name)
    [[ -z $left ]] || die "The chart left these objects behind:" "$left"
}

delete_namespace() { run kubectl delete namespace "$NAMESPACE" --wait --timeout 300s; }

# --- all of it ---------------------------------------------------------------------------------------

# The state of the cluster after a failure.
show_state() {
    set +e
    title "State"
    kubectl --namespace "$NAMESPACE" get pods,jobs,events
    kubectl --namespace "$NAMESPACE" logs --selector app.kubernetes.io/name=matrixbot --all-containers --prefix --tail 100
    kubectl --namespace "$NAMESPACE" logs deployment/synapse --tail 50
} >&2

on_exit() {
    local status=$?
    trap '' INT TERM HUP
    if ((status != 0)) && [[ -n $cluster && -z $DRY_RUN ]]; then show_state; fi
    delete_cluster || status=1
    [[ -n $DRY_RUN ]] || rm -rf "$scratch"
    exit "$status"
}

everything() {
    tools kind kubectl helm
    [[ -n $DRY_RUN ]] || have docker || die "Docker is missing." "Without it, run: scripts/integration-tests.sh --local"
    cluster=''
    trap on_exit EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    [[ -n $DRY_RUN ]] || scratch=$(mktemp -d "${TMPDIR:-/tmp}/matrixbot-integration-tests.XXXXXX")
    local part
    for part in build_image create_cluster start_servers create_people_and_rooms \
        install_chart play_story all_pods_ready run_doctor test_chart \
        upgrade_chart all_pods_ready play_story test_chart \
        uninstall_chart delete_namespace delete_cluster; do
        title "${part//_/ }"
        "$part"
    done
    [[ -n $DRY_RUN ]] || say "Every step succeeded, and nothing is left."
}

# A container cannot reach the loopback of Docker's machine, where the cluster listens. A container on that machine's
# network can.
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
        # The same story on local processes, as a part of the other tests.
        --local) mode=local ;;
        *) die "unknown option $argument; see scripts/integration-tests.sh --help" ;;
    esac
done
case $mode in
    local) run "$ROOT/scripts/test.sh" story ;;
    *) "$mode" ;;
esac
