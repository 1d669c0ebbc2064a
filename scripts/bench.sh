#!/usr/bin/env bash
# Measures the figures of docs/PERFORMANCE.md on servers of its own, and prints them as Markdown.
#
#   scripts/bench.sh [OPTION…] [PART…]   parts: intake, paging, scale; all of them take about 15 minutes on two cores
#   scripts/bench.sh --against COMMIT    compares this tree with COMMIT: intake and paging of both builds in turns,
#                                        A B A B …; prints both medians, the ratio of every pair, the median ratio and
#                                        its 95 % interval
#
# Options:
#   --quick                 small sizes, to see whether it works; the figures mean nothing
#   --pairs N               so many pairs, 9 by default; fewer than 6 give no interval
#   --binary-against FILE   the matrixbot to compare with, instead of building COMMIT
#   --synapse-postgres      Synapse on the private Postgres instead of SQLite
#
# A private Postgres with fsync as it ships, a private Synapse and Alertmanager, all on loopback, and the release build;
# MATRIXBOT_BENCH_PROFILE=dev measures debug builds, to try the script. COMMIT is built in .cache/bench/. Figures mean
# something only while nothing else runs: the load is printed with them.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/install.sh
source "$ROOT/scripts/lib/install.sh"

cd "$ROOT"
SERVER_NAME=example.test
ROOMS=8
SIZE=full
PROFILE=${MATRIXBOT_BENCH_PROFILE:-release}
PAIRS=9
AGAINST='' BINARY_AGAINST=''
SYNAPSE_OPTIONS=()
SYNAPSE_DATABASE=SQLite
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
    # One after the other: features that only the load needs would change the program.
    cargo build --locked --profile "$PROFILE" --bin matrixbot && cargo build --locked --profile "$PROFILE" --example load
}

# built FOLDER: where cargo puts a build of the profile.
built() { printf '%s/%s\n' "$1" "${PROFILE/#dev/debug}"; }

# build_against: builds COMMIT in a folder of its own, with a build directory that all commits share.
build_against() {
    local sources
    [[ ! -x $BINARY_AGAINST ]] || return 0
    sources=$(mktemp -d "$CACHE/bench/sources.XXXXXX")
    git archive "$AGAINST" | tar -x -C "$sources"
    (cd "$sources" && CARGO_TARGET_DIR=$CACHE/bench/target cargo build --locked --profile "$PROFILE" --bin matrixbot) || return 1
    cp "$(built "$CACHE/bench/target")/matrixbot" "$BINARY_AGAINST"
    rm -rf "$sources"
}

registration() {
    "$BINARY" registration --url "http://127.0.0.1:$APPSERVICE_PORT" --server-name "$SERVER_NAME" \
        --output "$SCRATCH/registration.yaml"
}

# configuration FILE DATABASE BINARY: a room list for each room. Pages are counted one by one: without digests, which a build
# before them does not know. The list storm has the default digest.
configuration() {
    local n digest=''
    [[ $("$3" check --schema) != *'"digest"'* ]] || digest='    digest: none'
    {
        cat <<YAML
homeserver: {url: "http://127.0.0.1:$SYNAPSE_PORT", server_name: $SERVER_NAME}
registration: $SCRATCH/registration.yaml
database: {url: "$(database "$2")"}
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
$digest
YAML
        done
        cat <<YAML
  - name: storm
    webhook_token: $WEBHOOK_TOKEN
    levels: [{rooms: ["#storm:$SERVER_NAME"], escalate_after: 1h}]
YAML
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

# load PART DATABASE: measures one part with a database of its own; when comparing, with one for each build.
load() {
    local options=()
    configuration "$SCRATCH/$1.yaml" "$2" "$BINARY"
    if [[ -n $AGAINST ]]; then
        configuration "$SCRATCH/$1-against.yaml" "$2_against" "$BINARY_AGAINST"
        options=(--against "$AGAINST" --pairs "$PAIRS" --against-binary "$BINARY_AGAINST"
            --against-config "$SCRATCH/$1-against.yaml" --against-database "$(database "$2_against")")
    fi
    "$(built "${CARGO_TARGET_DIR:-target}")/examples/load" "$1" --size "$SIZE" --binary "$BINARY" \
        --config "$SCRATCH/$1.yaml" --database "$(database "$2")" --pgbench "$(postgres_bin)/pgbench" \
        --rooms "$ROOMS" --server-name "$SERVER_NAME" \
        --homeserver "127.0.0.1:$SYNAPSE_PORT" --appservice "127.0.0.1:$APPSERVICE_PORT" \
        --webhook "127.0.0.1:$WEBHOOK_PORT" --admin "127.0.0.1:$ADMIN_PORT" \
        --alertmanager "127.0.0.1:$ALERTMANAGER_PORT" --webhook-token "$WEBHOOK_TOKEN" \
        --as-token "$(token as_token)" --hs-token "$(token hs_token)" "${options[@]}"
}

database() { "$ROOT/scripts/postgres.sh" url "$SCRATCH/postgres" "$1"; }

token() { sed -n "s/^$1: *\"\{0,1\}\([^\"]*\)\"\{0,1\}$/\1/p" "$SCRATCH/registration.yaml"; }

intake() {
    PGPASSWORD=$(<"$SCRATCH/postgres/password") "$(postgres_bin)/psql" -qX "$(database bench_intake)" \
        -c 'CREATE TABLE bench_row (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text NOT NULL)'
    load intake bench_intake
}

paging() {
    step "Starting Synapse" "$ROOT/scripts/synapse.sh" start "$SCRATCH/synapse" --server-name "$SERVER_NAME" \
        --port "$SYNAPSE_PORT" --registration "$SCRATCH/registration.yaml" "${SYNAPSE_OPTIONS[@]}"
    step "Creating alice" "$ROOT/scripts/synapse.sh" user "$SCRATCH/synapse" alice alice
    alertmanager_configuration
    step "Starting Alertmanager" "$ROOT/scripts/alertmanager.sh" start "$SCRATCH/alertmanager" \
        --config "$SCRATCH/alertmanager.yml" --port "$ALERTMANAGER_PORT"
    load paging bench_paging
}

scale() {
    load scale bench_scale
}

# machine: what the figures were measured on.
machine() {
    local against=''
    [[ -z $AGAINST ]] || against="; $AGAINST: $(megabytes "$BINARY_AGAINST")"
    printf '\nBinary (%s): %s%s. Machine: %s cores, %s. Kernel %s. Postgres %s. Synapse on %s.\n' "$PROFILE" \
        "$(megabytes "$BINARY")" "$against" "$(nproc)" "$(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1)" \
        "$(uname -r)" "$("$(postgres_bin)/postgres" --version | cut -d' ' -f3)" "$SYNAPSE_DATABASE"
}

megabytes() { awk -v bytes="$(stat -c %s "$1")" 'BEGIN { printf "%.1f MB", bytes / 1e6 }'; }

while (($#)); do
    case $1 in
        --quick) SIZE=quick ;;
        --synapse-postgres) SYNAPSE_DATABASE=Postgres ;;
        --against | --binary-against | --pairs)
            [[ $# -ge 2 ]] || die "$1 needs a value"
            case $1 in
                --against) AGAINST=$2 ;;
                --binary-against) BINARY_AGAINST=$(realpath -e "$2") ;;
                --pairs) PAIRS=$2 ;;
            esac
            shift
            ;;
        intake | paging | scale) PARTS+=("$1") ;;
        -h | --help) usage "${BASH_SOURCE[0]}" && exit ;;
        *) die "unknown argument $1; see scripts/bench.sh --help" ;;
    esac
    shift
done
[[ $PAIRS =~ ^[1-9][0-9]*$ ]] || die "--pairs needs a number greater than zero, not $PAIRS"
[[ -z $BINARY_AGAINST || -n $AGAINST ]] || AGAINST=${BINARY_AGAINST##*/}
if [[ -z $AGAINST ]]; then
    ((${#PARTS[@]})) || PARTS=(intake paging scale)
else
    ((${#PARTS[@]})) || PARTS=(intake paging)
    # The load program has the library of this tree in it.
    [[ " ${PARTS[*]} " != *" scale "* ]] || die "scale measures the library of this tree and cannot compare two builds"
fi
if [[ -n $AGAINST && -z $BINARY_AGAINST ]]; then
    mkdir -p "$CACHE/bench"
    AGAINST=$(git rev-parse --short --verify "$AGAINST^{commit}") || die "There is no such commit."
    BINARY_AGAINST=$CACHE/bench/matrixbot-$AGAINST-$PROFILE
fi
trap on_exit EXIT
trap 'exit 130' INT TERM HUP
BINARY=$(built "${CARGO_TARGET_DIR:-$ROOT/target}")/matrixbot
export SQLX_OFFLINE=true

ensure rust python postgres
[[ " ${PARTS[*]} " != *" paging "* ]] || ensure alertmanager synapse
step "Building" build
[[ -z $AGAINST ]] || step "Building $AGAINST" build_against
umask 077
SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/matrixbot-bench.XXXXXX")
chmod 711 "$SCRATCH"
SYNAPSE_PORT=$(free_port) ALERTMANAGER_PORT=$(free_port) APPSERVICE_PORT=$(free_port)
WEBHOOK_PORT=$(free_port) ADMIN_PORT=$(free_port) WEBHOOK_TOKEN=$(random_secret)
step "Starting Postgres" "$ROOT/scripts/postgres.sh" start "$SCRATCH/postgres"
[[ $SYNAPSE_DATABASE != Postgres ]] || SYNAPSE_OPTIONS=(--postgres "$(database synapse)")
step "Writing registration.yaml" registration
for part in "${PARTS[@]}"; do "$part"; done
machine
