#!/usr/bin/env bash
# Long trials on real servers, apart from the tests. Each ends on its own, prints its figures, and fails when a promise
# was broken.
#
#   scripts/soak.sh kills [--minutes N]   10 minutes by default, and one or two more until everything has settled
#
# kills: two processes of matrixbot on one database, of which one after the other is killed (SIGKILL) and started again.
# Groups are posted meanwhile, some of them to both at once, and people acknowledge half of the pages by reaction and by
# command. Afterwards an ordinary member reads the rooms: every page exactly once, every escalation exactly once, every
# acknowledgement shown.
#
#   scripts/soak.sh hostile [--minutes N] [--without-speed]   the tests play a minute of it without judging its speed
#
# hostile: half of the time in peace, then as long beside a room list whose owner does what they can: a body of 8 MiB
# every 5 s, 40 rooms on a homeserver that takes 3 s for each request, events with invalid ids and power levels, and ten
# commands a second. The other lists must not notice: nothing lost, doubled or late, and the p95 from the webhook to the
# room below twice that in peace.
#
#   scripts/soak.sh memory
#
# memory: one list posts webhooks of 3.5 MB and 8 MiB, many at once, while another posts small ones. Needs no homeserver.
#
#   scripts/soak.sh truth [--minutes N] [--seed N] [--alertmanager 0.28|0.33]   10 minutes by default, and three until all has settled
#
# truth: seeded sources report outages to a pair of Alertmanagers, with silences, inhibitions, restarts of a peer without its
# storage, edits of the routes, and matrixbot away for up to 90 s. People acknowledge some pages. A referee that knows what
# was firing and held back when reads the rooms: every outage notified in time, every incident resolved in time, no page for
# what did not fire. The Alertmanager is this machine's, or that of a newer Debian.
#
#   scripts/soak.sh polls
#
# polls: what the polls of an Alertmanager with 10 000 alerts cost while nothing changes. Needs no homeserver.
#
# MATRIXBOT_BINARY, or the debug build, is tried. All servers are private and on loopback; .test/soak.* has their logs.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/install.sh
source "$ROOT/scripts/lib/install.sh"
# shellcheck source=scripts/lib/stack.sh
source "$ROOT/scripts/lib/stack.sh"

cd "$ROOT"
MINUTES=10
SEED=1
NEWER_ALERTMANAGER=''
SPEED=()
FAILED=yes

on_exit() {
    trap '' INT TERM HUP
    stop_step
    stack_stop
    [[ ! -d $STACK_DIR/postgres ]] || "$ROOT/scripts/postgres.sh" remove "$STACK_DIR/postgres"
    if [[ -z $FAILED ]]; then rm -rf "$STACK_DIR"; else say "Logs are in $STACK_DIR"; fi
}

# instance NAME: the configuration of one process, with ports of its own.
instance() {
    local APPSERVICE_PORT WEBHOOK_PORT ADMIN_PORT
    APPSERVICE_PORT=$(free_port) WEBHOOK_PORT=$(free_port) ADMIN_PORT=$(free_port)
    stack_config "$STACK_DIR/$1.yaml"
    # The referee counts pages one by one.
    sed -i 's|^    fallback_rooms:|    digest: none\n&|' "$STACK_DIR/$1.yaml"
    printf '%s %s %s\n' "$APPSERVICE_PORT" "$WEBHOOK_PORT" "$ADMIN_PORT" >"$STACK_DIR/$1.ports"
}

kills() {
    # What is not acknowledged within this time escalates.
    STACK_ESCALATE_AFTER=30
    STACK_LAST_LEVEL=1h
    SYNAPSE_PORT=$(free_port) APPSERVICE_PORT=$(free_port) ALERTMANAGER_PORT=$(free_port)
    stack_servers
    instance a
    instance b
    "$(python_bin)" -B "$ROOT/scripts/soak.py" kills --minutes "$MINUTES" --binary "$STACK_BINARY" --folder "$STACK_DIR" \
        --homeserver "http://127.0.0.1:$SYNAPSE_PORT" --appservice "$APPSERVICE_PORT" --room-list "$STACK_ROOM_LIST" \
        --virtual-user "@_alerts_$STACK_ROOM_LIST:$STACK_SERVER_NAME" --escalate-after "$STACK_ESCALATE_AFTER"
}

# hostile_list FILE: adds the hostile room list, and puts the slow homeserver in front of the real one.
hostile_list() {
    local number rooms=''
    for number in {0..39}; do rooms+=", \"#slow-$number:$STACK_SERVER_NAME\""; done
    sed -i "s|^  url: http://127.0.0.1:$SYNAPSE_PORT\$|  url: http://127.0.0.1:$SLOW_PORT|" "$1"
    cat >>"$1" <<YAML
  - name: hostile
    webhook_token_file: $STACK_DIR/hostile_token
    levels:
      - rooms: ["#hostile:$STACK_SERVER_NAME"$rooms]
        escalate_after: 1h
  - name: stock
    webhook_token_file: $STACK_DIR/webhook_token
    levels:
      - rooms: ["#stock:$STACK_SERVER_NAME"]
        escalate_after: 1h
YAML
}

hostile() {
    STACK_ESCALATE_AFTER=15
    STACK_LAST_LEVEL=1h
    SYNAPSE_PORT=$(free_port) APPSERVICE_PORT=$(free_port) ALERTMANAGER_PORT=$(free_port) SLOW_PORT=$(free_port)
    stack_servers
    step "Creating mallory" "$ROOT/scripts/synapse.sh" user "$STACK_DIR/synapse" mallory mallory
    random_secret >"$STACK_DIR/hostile_token"
    instance a
    instance b
    hostile_list "$STACK_DIR/a.yaml"
    hostile_list "$STACK_DIR/b.yaml"
    "$(python_bin)" -B "$ROOT/scripts/soak.py" hostile --minutes "$MINUTES" --binary "$STACK_BINARY" --folder "$STACK_DIR" \
        --homeserver "http://127.0.0.1:$SYNAPSE_PORT" --appservice "$APPSERVICE_PORT" --room-list "$STACK_ROOM_LIST" \
        --virtual-user "@_alerts_$STACK_ROOM_LIST:$STACK_SERVER_NAME" --escalate-after "$STACK_ESCALATE_AFTER" \
        --slow-homeserver "$SLOW_PORT" "${SPEED[@]}"
}

memory() {
    local WEBHOOK_PORT name
    WEBHOOK_PORT=$(free_port)
    step "Starting Postgres" "$ROOT/scripts/postgres.sh" start "$STACK_DIR/postgres"
    "$STACK_BINARY" registration --url http://127.0.0.1:1 --server-name "$STACK_SERVER_NAME" >"$STACK_DIR/registration.yaml"
    cat >"$STACK_DIR/memory.yaml" <<YAML
homeserver: {url: http://127.0.0.1:1, server_name: $STACK_SERVER_NAME}
registration: $STACK_DIR/registration.yaml
database: {url: "$("$ROOT/scripts/postgres.sh" url "$STACK_DIR/postgres")"}
listen: {appservice: 127.0.0.1:$(free_port), webhook: 127.0.0.1:$WEBHOOK_PORT, admin: 127.0.0.1:$(free_port)}
room_lists:
YAML
    for name in large other; do
        random_secret >"$STACK_DIR/${name}_token"
        cat >>"$STACK_DIR/memory.yaml" <<YAML
  - name: $name
    webhook_token_file: $STACK_DIR/${name}_token
    levels: [{rooms: ["#$name:$STACK_SERVER_NAME"], escalate_after: 1h}]
YAML
    done
    # As in the image and the package.
    MALLOC_ARENA_MAX=2 MALLOC_TRIM_THRESHOLD_=131072 MALLOC_MMAP_THRESHOLD_=65536 "$(python_bin)" -B "$ROOT/scripts/memory.py" \
        --binary "$STACK_BINARY" --folder "$STACK_DIR" --webhook "$WEBHOOK_PORT"
}

polls() {
    WEBHOOK_PORT=$(free_port) ALERTMANAGER_PORT=$(free_port)
    step "Starting Postgres" "$ROOT/scripts/postgres.sh" start "$STACK_DIR/postgres"
    stack_sql postgres -qc "ALTER SYSTEM SET log_statement = 'all'" -c "SELECT pg_reload_conf()" >"$STACK_DIR/psql.log"
    printf 'route: {receiver: nobody, group_by: [alertname]}\nreceivers: [{name: nobody}]\n' >"$STACK_DIR/alertmanager.yml"
    step "Starting Alertmanager" "$ROOT/scripts/alertmanager.sh" start "$STACK_DIR/alertmanager" \
        --config "$STACK_DIR/alertmanager.yml" --port "$ALERTMANAGER_PORT"
    "$STACK_BINARY" registration --url http://127.0.0.1:1 --server-name "$STACK_SERVER_NAME" >"$STACK_DIR/registration.yaml"
    random_secret >"$STACK_DIR/large_token"
    cat >"$STACK_DIR/polls.yaml" <<YAML
homeserver: {url: http://127.0.0.1:1, server_name: $STACK_SERVER_NAME}
registration: $STACK_DIR/registration.yaml
database: {url: "$(stack_database matrixbot)"}
listen: {appservice: 127.0.0.1:$(free_port), webhook: 127.0.0.1:$WEBHOOK_PORT, admin: 127.0.0.1:$(free_port)}
alertmanagers: [{name: main, url: http://127.0.0.1:$ALERTMANAGER_PORT}]
room_lists:
  - name: large
    webhook_token_file: $STACK_DIR/large_token
    levels: [{rooms: ["#large:$STACK_SERVER_NAME"], escalate_after: 1h}]
YAML
    # As in the image and the package.
    MALLOC_ARENA_MAX=2 MALLOC_TRIM_THRESHOLD_=131072 MALLOC_MMAP_THRESHOLD_=65536 "$(python_bin)" -B "$ROOT/scripts/polls.py" \
        --binary "$STACK_BINARY" --folder "$STACK_DIR" --webhook "$WEBHOOK_PORT" --alertmanager "http://127.0.0.1:$ALERTMANAGER_PORT" \
        --postgres-log "$(<"$STACK_DIR/postgres/home")/postgres.log"
}

# words WORD…: them, as a list in JSON.
words() { "$(python_bin)" -c 'import json, sys; print(json.dumps(sys.argv[1:]))' "$@"; }

truth() {
    local command
    STACK_ESCALATE_AFTER=60
    SYNAPSE_PORT=$(free_port) APPSERVICE_PORT=$(free_port) WEBHOOK_PORT=$(free_port) ADMIN_PORT=$(free_port)
    ALERTMANAGER_PORT=$(free_port) STACK_PEER_PORT=$(free_port)
    command=("$(alertmanager_bin)")
    [[ -z $NEWER_ALERTMANAGER ]] || mapfile -t command < <(newer_debian_command "$NEWER_ALERTMANAGER")
    stack_servers
    stack_config "$STACK_DIR/a.yaml"
    printf '%s %s %s\n' "$APPSERVICE_PORT" "$WEBHOOK_PORT" "$ADMIN_PORT" >"$STACK_DIR/a.ports"
    # A short reopen_window: a new outage opens an incident of its own. The referee reads pages, not digests.
    sed -i -e 's|^    fallback_rooms:|    digest: none\n    reopen_window: 30s\n    reopen_min_interval: 10s\n&|' "$STACK_DIR/a.yaml"
    "$(python_bin)" -B "$ROOT/scripts/truth.py" --minutes "$MINUTES" --seed "$SEED" --binary "$STACK_BINARY" --folder "$STACK_DIR" \
        --homeserver "http://127.0.0.1:$SYNAPSE_PORT" --room-list "$STACK_ROOM_LIST" --admin "http://127.0.0.1:$ADMIN_PORT" \
        --virtual-user "@_alerts_$STACK_ROOM_LIST:$STACK_SERVER_NAME" --alertmanager "$(words "${command[@]}")" \
        --alertmanager-ports "$ALERTMANAGER_PORT" "$(free_port)" "$STACK_PEER_PORT" "$(free_port)" || {
        "$(postgres_bin)/pg_dump" "$(stack_database matrixbot)" >"$STACK_DIR/database.sql"
        return 1
    }
}

trial=''
while (($#)); do
    case $1 in
        --minutes)
            [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || die "--minutes needs a number greater than zero"
            MINUTES=$2
            shift
            ;;
        --seed)
            [[ ${2:-} =~ ^[0-9]+$ ]] || die "--seed needs a number"
            SEED=$2
            shift
            ;;
        --alertmanager)
            case ${2:-} in
                0.28) NEWER_ALERTMANAGER=prometheus-alertmanager ;;
                0.33) NEWER_ALERTMANAGER=prometheus-alertmanager_forky ;;
                *) die "--alertmanager knows only 0.28 and 0.33" ;;
            esac
            shift
            ;;
        --without-speed) SPEED=(--without-speed) ;;
        kills | hostile | memory | polls | truth) trial=$1 ;;
        -h | --help) usage "${BASH_SOURCE[0]}" && exit 0 ;;
        *) die "unknown argument $1; see scripts/soak.sh --help" ;;
    esac
    shift
done
[[ -n $trial ]] || die "Which trial? See scripts/soak.sh --help"
ensure rust python postgres synapse
if [[ $trial == truth || $trial == polls ]]; then
    if [[ -n $NEWER_ALERTMANAGER ]]; then install_newer_debian "$NEWER_ALERTMANAGER"; else ensure alertmanager; fi
fi
STACK_BINARY=$(matrixbot_bin)
if [[ -z $STACK_BINARY ]]; then
    step "Building matrixbot" "${BUILD_FOR_TESTS[@]}"
    STACK_BINARY=$(matrixbot_bin)
fi
umask 022
mkdir -p .test
STACK_DIR=$(mktemp -d "$ROOT/.test/soak.XXXXXX")
chmod 711 "$STACK_DIR"
trap on_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
"$trial"
FAILED=''
