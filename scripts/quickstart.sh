#!/usr/bin/env bash
# Sets up all servers on this machine and runs the main job: alerts fire, rooms are paged, people acknowledge, an
# incident escalates, an alert resolves.
#
#   scripts/quickstart.sh           runs the story, then keeps everything running until Ctrl-C
#   scripts/quickstart.sh --storm   fires forty alerts at once into the quickstart that runs in another terminal
#   scripts/quickstart.sh --once    runs the story, then stops everything; exit status 0 if every step was seen
#   scripts/quickstart.sh --clean   removes .quickstart/ and .cache/
#   scripts/quickstart.sh --help
#
# It installs missing programs (Debian's postgresql and prometheus-alertmanager; Synapse in .cache/), builds the release
# binary and starts a private Postgres, Synapse, Alertmanager and matrixbot on loopback in .quickstart/. Existing servers
# are not touched. The next start needs only seconds and keeps rooms and accounts.
#
# Ports can be chosen with SYNAPSE_PORT (8008), ALERTMANAGER_PORT (9093), APPSERVICE_PORT (9009),
# WEBHOOK_PORT (9010) and ADMIN_PORT (9011); Postgres uses a free one.
set -euo pipefail

ports=("${SYNAPSE_PORT:-8008}" "${ALERTMANAGER_PORT:-9093}" "${APPSERVICE_PORT:-9009}" "${WEBHOOK_PORT:-9010}"
    "${ADMIN_PORT:-9011}")

# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/install.sh
source "$ROOT/scripts/lib/install.sh"
# shellcheck source=scripts/lib/stack.sh
source "$ROOT/scripts/lib/stack.sh"

STACK_DIR=$ROOT/.quickstart
STACK_BINARY=${CARGO_TARGET_DIR:-$ROOT/target}/release/matrixbot
read -r SYNAPSE_PORT ALERTMANAGER_PORT APPSERVICE_PORT WEBHOOK_PORT ADMIN_PORT <<<"${ports[*]}"

on_exit() {
    local status=$?
    trap '' INT TERM HUP
    stop_step
    if [[ -n $LOG_OF_FAILURE && $status -ne 0 && -s $LOG_OF_FAILURE ]]; then
        warn "The last lines of $LOG_OF_FAILURE:"
        tail -n 20 "$LOG_OF_FAILURE" | sed 's/^/  | /' >&2
    fi
    if [[ -n $started ]]; then say "Stopping everything."; fi
    stack_stop
    rm -f "$STACK_DIR/quickstart.pid"
    exit "$status"
}
LOG_OF_FAILURE='' started=''

claim_directory() {
    local pid
    if pid=$(process_id quickstart "$STACK_DIR"); then
        die "A quickstart is already running here (process $pid)." "Stop it with Ctrl-C in its terminal, or: kill $pid"
    fi
    mkdir -p "$STACK_DIR"
    printf '%s %s\n' $$ "$(process_start $$)" >"$STACK_DIR/quickstart.pid"
    trap on_exit EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    # Stops servers that a killed quickstart left behind.
    stack_stop
}

require_ports() {
    local change='Free it, or choose another one, for example: %s=%s scripts/quickstart.sh'
    local name what
    while read -r name what; do
        # shellcheck disable=SC2059 # The format is a constant.
        require_port "${!name}" "$what" "$(printf "$change" "$name" "$((${!name} + 10000))")"
    done <<'LIST'
SYNAPSE_PORT Synapse
ALERTMANAGER_PORT Alertmanager
APPSERVICE_PORT matrixbot's listener for the homeserver
WEBHOOK_PORT matrixbot's listener for Alertmanager
ADMIN_PORT matrixbot's probes and metrics
LIST
}

build() { cd "$ROOT" && cargo build --release --locked --bin matrixbot; }

clean() {
    local pid
    if pid=$(process_id quickstart "$STACK_DIR"); then die "A quickstart is still running (process $pid)." "Stop it first."; fi
    stack_stop
    if [[ -d $STACK_DIR/postgres ]]; then "$ROOT/scripts/postgres.sh" remove "$STACK_DIR/postgres"; fi
    rm -rf "$STACK_DIR" "$ROOT/.cache"
    say "Removed .quickstart/ and .cache/. Debian packages stay installed; cargo clean removes what was built."
}

summary() {
    cat <<TEXT

${BOLD}Everything is running.${PLAIN}
  Matrix         http://127.0.0.1:$SYNAPSE_PORT   log in with any client as alice / alice or bob / bob
  Rooms          #first-line, #second-line, #fallback (all on $STACK_SERVER_NAME)
  Alertmanager   http://127.0.0.1:$ALERTMANAGER_PORT
  matrixbot      webhook http://127.0.0.1:$WEBHOOK_PORT/webhook/$STACK_ROOM_LIST, metrics http://127.0.0.1:$ADMIN_PORT/metrics
  Files          $STACK_DIR: config.yaml, registration.yaml, matrixbot.log

${BOLD}Fire an alert yourself${PLAIN}
  amtool --alertmanager.url=http://127.0.0.1:$ALERTMANAGER_PORT alert add MyAlert severity=critical instance=web-1 \\
    --annotation=summary='Something is wrong'
  Then, in #first-line: react to the message, or write  ack NUMBER  or  help.
  If nobody acknowledges within $STACK_ESCALATE_AFTER s, it escalates to #second-line; a minute later it notifies #fallback.

${BOLD}Or forty alerts at once${PLAIN}
  scripts/quickstart.sh --storm

Ctrl-C stops everything.
TEXT
}

stay() {
    local name
    while sleep 1; do
        if name=$(stack_dead); then
            LOG_OF_FAILURE=$STACK_DIR/$name/$name.log
            [[ $name != matrixbot ]] || LOG_OF_FAILURE=$STACK_DIR/matrixbot.log
            die "$name has ended unexpectedly."
        fi
    done
}

storm() {
    process_id quickstart "$STACK_DIR" >/dev/null ||
        die "No quickstart is running here." "Start it in another terminal: scripts/quickstart.sh"
    ensure python
    stack_play storm || die "A step of the storm failed."
}

once=''
case ${1:-} in
    '') ;;
    --once) once=yes ;;
    --storm)
        storm
        exit 0
        ;;
    --clean)
        clean
        exit 0
        ;;
    -h | --help)
        usage "${BASH_SOURCE[0]}"
        exit 0
        ;;
    *) die "unknown option $1; see scripts/quickstart.sh --help" ;;
esac

title "Setting up"
claim_directory
require_ports
ensure rust python postgres alertmanager synapse
step "Building the release binary" build

title "Starting"
started=yes
LOG_OF_FAILURE=$STACK_DIR/matrixbot.log
stack_start
stack_play || die "A step of the story failed."
LOG_OF_FAILURE=''
if [[ -z $once ]]; then
    summary
    trap 'exit 0' INT
    stay
fi
