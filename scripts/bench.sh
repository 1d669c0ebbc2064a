#!/usr/bin/env bash
# Measures what docs/PERFORMANCE.md reports, on servers of its own, and prints it as Markdown.
#
#   scripts/bench.sh             everything, about 15 minutes on two cores
#   scripts/bench.sh --quick     small sizes, to see whether it works; the figures mean nothing
#   scripts/bench.sh PART…       intake, paging, scale
#
# A private Postgres with fsync as it ships, a private Synapse and Alertmanager, all on loopback, and the
# real binary. Figures mean something only while nothing else runs: the load is printed with them.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/install.sh
source "$ROOT/scripts/lib/install.sh"

cd "$ROOT"
SERVER_NAME=example.test
ROOMS=8
SIZE=full
PARTS=()
SCRATCH=''

on_exit() {
    local status=$?
    trap '' INT TERM HUP
    stop_step
    [[ -n $SCRATCH ]] || return 0
    "$ROOT/scripts/alertmanager.sh" stop "$SCRATCH/alertmanager" || true
    "$ROOT/scripts/synapse.sh" stop "$SCRATCH/synapse" || true
    [[ ! -d $SCRATCH/postgres ]] || "$ROOT/scripts/postgres.sh" remove "$SCRATCH/postgres"
    if ((status == 0)); then rm -rf "$SCRATCH"; else say "Logs are in $SCRATCH"; fi
}

build() {
    # Apart, because what the load is built from would change what the program is built with.
    cargo build --release --bin matrixbot && cargo build --release --example load
}

registration() {
    "$BINARY" registration --url "http://127.0.0.1:$APPSERVICE_PORT" --server-name "$SERVER_NAME" \
        --output "$SCRATCH/registration.yaml"
}

# configuration FILE DATABASE: a room list for each room.
configuration() {
    local n
    {
        cat <<YAML
homeserver: {url: "http://127.0.0.1:$SYNAPSE_PORT", server_name: $SERVER_NAME}
registration: $SCRATCH/registration.yaml
database: {url: "$("$ROOT/scripts/postgres.sh" url "$SCRATCH/postgres" "$2")"}
listen:
  appservice: 127.0.0.1:$APPSERVICE_PORT
  webhook: 127.0.0.1:$WEBHOOK_PORT
  admin: 127.0.0.1:$ADMIN_PORT
room_lists:
YAML
        for ((n = 0; n < ROOMS; n++)); do
            cat <<YAML
  - name: bench$n
    webhook_token: $WEBHOOK_TOKEN
    levels: [{rooms: ["#bench$n:$SERVER_NAME"], escalate_after: 1h}]
YAML
        done
    } >"$1"
}

alertmanager_configuration() {
    cat >"$SCRATCH/alertmanager.yml" <<YAML
route: {receiver: matrixbot, group_by: [alertname], group_wait: 1s, group_interval: 5s, repeat_interval: 4h}
receivers:
  - name: matrixbot
    webhook_configs:
      - url: http://127.0.0.1:$WEBHOOK_PORT/webhook/bench0
        http_config: {authorization: {credentials: "$WEBHOOK_TOKEN"}}
YAML
}

# load PART DATABASE: measures one part with a database of its own.
load() {
    local database
    database=$("$ROOT/scripts/postgres.sh" url "$SCRATCH/postgres" "$2")
    configuration "$SCRATCH/$1.yaml" "$2"
    "${CARGO_TARGET_DIR:-target}/release/examples/load" "$1" --size "$SIZE" --binary "$BINARY" --config "$SCRATCH/$1.yaml" \
        --database "$database" --pgbench "$(postgres_bin)/pgbench" --rooms "$ROOMS" --server-name "$SERVER_NAME" \
        --homeserver "127.0.0.1:$SYNAPSE_PORT" --appservice "127.0.0.1:$APPSERVICE_PORT" \
        --webhook "127.0.0.1:$WEBHOOK_PORT" --admin "127.0.0.1:$ADMIN_PORT" \
        --alertmanager "127.0.0.1:$ALERTMANAGER_PORT" --webhook-token "$WEBHOOK_TOKEN" \
        --as-token "$(token as_token)" --hs-token "$(token hs_token)"
}

token() { sed -n "s/^$1: *\"\{0,1\}\([^\"]*\)\"\{0,1\}$/\1/p" "$SCRATCH/registration.yaml"; }

intake() {
    PGPASSWORD=$(<"$SCRATCH/postgres/password") "$(postgres_bin)/psql" -qX \
        "$("$ROOT/scripts/postgres.sh" url "$SCRATCH/postgres" bench_intake)" \
        -c 'CREATE TABLE bench_row (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text NOT NULL)'
    load intake bench_intake
}

paging() {
    step "Starting Synapse" "$ROOT/scripts/synapse.sh" start "$SCRATCH/synapse" --server-name "$SERVER_NAME" \
        --port "$SYNAPSE_PORT" --registration "$SCRATCH/registration.yaml"
    step "Making alice" "$ROOT/scripts/synapse.sh" user "$SCRATCH/synapse" alice alice
    alertmanager_configuration
    step "Starting Alertmanager" "$ROOT/scripts/alertmanager.sh" start "$SCRATCH/alertmanager" \
        --config "$SCRATCH/alertmanager.yml" --port "$ALERTMANAGER_PORT"
    load paging bench_paging
}

scale() {
    load scale bench_scale
}

size() {
    local bytes
    bytes=$(stat -c %s "$BINARY")
    printf '\nBinary, stripped: %s MB. Machine: %s cores, %s. Kernel %s. Postgres %s.\n' \
        "$(awk -v bytes="$bytes" 'BEGIN { printf "%.1f", bytes / 1e6 }')" "$(nproc)" \
        "$(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1)" "$(uname -r)" \
        "$("$(postgres_bin)/postgres" --version | cut -d' ' -f3)"
}

while (($#)); do
    case $1 in
        --quick) SIZE=quick ;;
        intake | paging | scale) PARTS+=("$1") ;;
        -h | --help) usage "${BASH_SOURCE[0]}" && exit ;;
        *) die "unknown argument $1; see scripts/bench.sh --help" ;;
    esac
    shift
done
((${#PARTS[@]})) || PARTS=(intake paging scale)
trap on_exit EXIT
trap 'exit 130' INT TERM HUP
BINARY=${CARGO_TARGET_DIR:-$ROOT/target}/release/matrixbot
export SQLX_OFFLINE=true

ensure rust python postgres
[[ " ${PARTS[*]} " != *" paging "* ]] || ensure alertmanager synapse
step "Building" build
umask 077
SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/matrixbot-bench.XXXXXX")
chmod 711 "$SCRATCH"
SYNAPSE_PORT=$(free_port) ALERTMANAGER_PORT=$(free_port) APPSERVICE_PORT=$(free_port)
WEBHOOK_PORT=$(free_port) ADMIN_PORT=$(free_port) WEBHOOK_TOKEN=$(random_secret)
step "Starting Postgres" "$ROOT/scripts/postgres.sh" start "$SCRATCH/postgres"
step "Writing registration.yaml" registration
for part in "${PARTS[@]}"; do "$part"; done
size
