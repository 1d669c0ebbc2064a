# shellcheck shell=bash
# All servers on loopback in one directory: Postgres, Synapse, Alertmanager and matrixbot, for quickstart.sh, test.sh and
# soak.sh. Sourced after common.sh and install.sh, never run.
#
# The caller sets STACK_DIR, STACK_BINARY and the five ports below. With STACK_POOLER_PORT, matrixbot reaches Postgres only
# through a PgBouncer there, which pools by transaction. With STACK_PEER_PORT, Alertmanager is a pair, the second one there.

STACK_DIR='' STACK_BINARY='' STACK_POOLER_PORT='' STACK_PEER_PORT=''
SYNAPSE_PORT='' ALERTMANAGER_PORT='' APPSERVICE_PORT='' WEBHOOK_PORT='' ADMIN_PORT=''

STACK_SERVER_NAME=example.test
STACK_ROOM_LIST=demo
# Short, so that one can watch an escalation.
STACK_ESCALATE_AFTER=10
STACK_LAST_LEVEL=1m

stack_prepare() {
    umask 077
    # No proxy for connections on this machine.
    export NO_PROXY="127.0.0.1${NO_PROXY:+,$NO_PROXY}"
    export no_proxy=$NO_PROXY
    mkdir -p "$STACK_DIR"
    : >"$STACK_DIR/matrixbot.log"
    [[ -s $STACK_DIR/webhook_token ]] || random_secret >"$STACK_DIR/webhook_token"
    # Postgres may run as another user, who must be able to enter; its data has its own password and owner.
    chmod 711 "$STACK_DIR"
}

stack_registration() {
    "$STACK_BINARY" registration --url "http://127.0.0.1:$APPSERVICE_PORT" --server-name "$STACK_SERVER_NAME" \
        --output "$STACK_DIR/registration.yaml" --force
}

# stack_database NAME: the URL of a database for matrixbot, which is created if it does not exist.
stack_database() {
    local url
    url=$("$ROOT/scripts/postgres.sh" url "$STACK_DIR/postgres" "$1") || return 1
    if [[ -n $STACK_POOLER_PORT ]]; then url=$("$ROOT/scripts/pgbouncer.sh" url "$STACK_DIR/pgbouncer" "$1") || return 1; fi
    printf '%s\n' "$url"
}

# stack_config FILE [DATABASE]: a configuration for the ports below.
stack_config() {
    local database_url
    local alertmanagers="http://127.0.0.1:$ALERTMANAGER_PORT${STACK_PEER_PORT:+, http://127.0.0.1:$STACK_PEER_PORT}"
    database_url=$(stack_database "${2:-matrixbot}") || return 1
    cat >"$1" <<YAML
# Written at every start; config.yaml.example explains every key.
homeserver:
  url: http://127.0.0.1:$SYNAPSE_PORT
  server_name: $STACK_SERVER_NAME
registration: $STACK_DIR/registration.yaml
database:
  url: $database_url
listen:
  appservice: 127.0.0.1:$APPSERVICE_PORT
  webhook: 127.0.0.1:$WEBHOOK_PORT
  admin: 127.0.0.1:$ADMIN_PORT
alertmanagers:
  - name: main
    urls: [$alertmanagers]
room_lists:
  - name: $STACK_ROOM_LIST
    display_name: Alerts
    webhook_token_file: $STACK_DIR/webhook_token
    levels:
      - rooms: ["#first-line:$STACK_SERVER_NAME"]
        escalate_after: ${STACK_ESCALATE_AFTER}s
      - rooms: ["#second-line:$STACK_SERVER_NAME"]
        escalate_after: $STACK_LAST_LEVEL
    fallback_rooms: ["#fallback:$STACK_SERVER_NAME"]
YAML
}

stack_alertmanager_config() {
    cat >"$STACK_DIR/alertmanager.yml" <<YAML
# Written at every start.
route:
  receiver: matrixbot
  group_by: [alertname, instance, story]
  # Short for a demonstration; 30s, 5m and 4h are usual.
  group_wait: 1s
  group_interval: 2s
  repeat_interval: 4h
receivers:
  - name: matrixbot
    webhook_configs:
      - url: http://127.0.0.1:$WEBHOOK_PORT/webhook/$STACK_ROOM_LIST
        http_config: {authorization: {credentials: "$(<"$STACK_DIR/webhook_token")"}}
YAML
}

stack_accounts() {
    "$ROOT/scripts/synapse.sh" user "$STACK_DIR/synapse" alice alice &&
        "$ROOT/scripts/synapse.sh" user "$STACK_DIR/synapse" bob bob &&
        "$(python_bin)" "$ROOT/scripts/story.py" rooms --homeserver "http://127.0.0.1:$SYNAPSE_PORT" \
            --virtual-user "@_alerts_$STACK_ROOM_LIST:$STACK_SERVER_NAME"
}

stack_matrixbot() {
    "$STACK_BINARY" check --config "$STACK_DIR/config.yaml" &&
        start_process matrixbot "$STACK_DIR" "$STACK_BINARY" run --config "$STACK_DIR/config.yaml" &&
        wait_ready matrixbot "$STACK_DIR" "$ADMIN_PORT" /livez
}

# Fewer connections than matrixbot has, so that they are really shared.
stack_pooler() {
    [[ -z $STACK_POOLER_PORT ]] || step "Starting PgBouncer" "$ROOT/scripts/pgbouncer.sh" start "$STACK_DIR/pgbouncer" \
        --postgres "$STACK_DIR/postgres" --port "$STACK_POOLER_PORT" --set "default_pool_size = 4"
}

# Postgres, the registration and Synapse with two people and three rooms. Fails at the first step that does; stack_stop
# stops what has been started.
stack_servers() {
    stack_prepare &&
        step "Starting Postgres" "$ROOT/scripts/postgres.sh" start "$STACK_DIR/postgres" --fast &&
        stack_pooler &&
        step "Writing registration.yaml" stack_registration &&
        step "Starting Synapse" "$ROOT/scripts/synapse.sh" start "$STACK_DIR/synapse" \
            --server-name "$STACK_SERVER_NAME" --port "$SYNAPSE_PORT" --registration "$STACK_DIR/registration.yaml" &&
        step "Creating two people and three rooms" stack_accounts
}

# The same, and matrixbot and Alertmanager.
stack_start() {
    stack_servers &&
        step "Writing config.yaml" stack_config "$STACK_DIR/config.yaml" &&
        step "Writing alertmanager.yml" stack_alertmanager_config &&
        step "Starting matrixbot" stack_matrixbot &&
        step "Starting Alertmanager" stack_alertmanagers
}

stack_alertmanagers() {
    local start=("$ROOT/scripts/alertmanager.sh" start) one two
    if [[ -z $STACK_PEER_PORT ]]; then
        "${start[@]}" "$STACK_DIR/alertmanager" --config "$STACK_DIR/alertmanager.yml" --port "$ALERTMANAGER_PORT"
        return
    fi
    one=$(free_port) two=$(free_port)
    "${start[@]}" "$STACK_DIR/alertmanager" --config "$STACK_DIR/alertmanager.yml" --port "$ALERTMANAGER_PORT" \
        --cluster "$one" "$two" &&
        "${start[@]}" "$STACK_DIR/peer" --config "$STACK_DIR/alertmanager.yml" --port "$STACK_PEER_PORT" --cluster "$two" "$one"
}

# stack_play [storm]: the story, or a storm of alerts.
stack_play() {
    "$(python_bin)" "$ROOT/scripts/story.py" "${1:-play}" --homeserver "http://127.0.0.1:$SYNAPSE_PORT" \
        --alertmanager "http://127.0.0.1:$ALERTMANAGER_PORT" ${STACK_PEER_PORT:+"http://127.0.0.1:$STACK_PEER_PORT"} --admin "http://127.0.0.1:$ADMIN_PORT" \
        --virtual-user "@_alerts_$STACK_ROOM_LIST:$STACK_SERVER_NAME" --escalate-after "$STACK_ESCALATE_AFTER"
}

# The client of Alertmanager's API against a real one without alerts, whose root receiver is `a`.
stack_client() {
    local port
    port=$(free_port)
    title "The client of Alertmanager"
    printf 'route: {receiver: a}\nreceivers: [{name: a}]\n' >"$STACK_DIR/empty.yml"
    "$ROOT/scripts/alertmanager.sh" start "$STACK_DIR/empty" --config "$STACK_DIR/empty.yml" --port "$port" &&
        ALERTMANAGER=http://127.0.0.1:$port cargo test --locked --test it -- --ignored alertmanager::real
}

# The commands of an operator, while all servers run and the rooms are joined.
stack_operate() {
    local line good=0 bad=0
    title "At the shell"
    while read -r line; do
        # shellcheck disable=SC2086 # Each word is an argument.
        if step "matrixbot $line" "$STACK_BINARY" $line --config "$STACK_DIR/config.yaml"; then
            good=$((good + 1))
        else
            bad=$((bad + 1))
        fi
    done <<LIST
doctor
test-alert --room-list $STACK_ROOM_LIST --level 2
incidents list --all
incidents unsnooze all
probe --ready
LIST
    printf '%s passed, %s failed\n' "$good" "$bad"
    ((bad == 0))
}

# Behind a pooler: processes that start at once on an empty database migrate it once and become healthy, nothing of a
# session stays in the pool, a start behind a lock that stayed there waits for nothing, and doctor has the remedy for a
# PgBouncer that keeps no prepared statements.
stack_pooled_starts() {
    local good=0 bad=0 what
    title "Starting behind PgBouncer"
    for what in twins_start no_lock_stays start_behind_a_lock doctor_knows_old_ones; do
        if step "${what//_/ }" "stack_$what"; then good=$((good + 1)); else bad=$((bad + 1)); fi
    done
    printf '%s passed, %s failed\n' "$good" "$bad"
    ((bad == 0))
}

stack_twins_start() {
    local APPSERVICE_PORT WEBHOOK_PORT ADMIN_PORT name status=0
    local -A admin
    for name in twin-a twin-b; do
        APPSERVICE_PORT=$(free_port) WEBHOOK_PORT=$(free_port) ADMIN_PORT=$(free_port)
        admin[$name]=$ADMIN_PORT
        stack_config "$STACK_DIR/$name.yaml" twins || return 1
        start_process "$name" "$STACK_DIR" "$STACK_BINARY" run --config "$STACK_DIR/$name.yaml"
    done
    for name in twin-a twin-b; do
        (wait_ready "$name" "$STACK_DIR" "${admin[$name]}" /livez) &&
            "$STACK_BINARY" migrate --config "$STACK_DIR/$name.yaml" || status=1
        if grep -E ' (WARN|ERROR) .*(migrat|prepared|advisory|duplicate)' "$STACK_DIR/$name.log"; then status=1; fi
    done
    for name in twin-a twin-b; do stop_process "$name" "$STACK_DIR"; done
    return "$status"
}

# stack_sql DATABASE COMMAND…: psql, directly at the server.
stack_sql() {
    local database=$1
    shift
    "$(postgres_bin)/psql" -X -At "$("$ROOT/scripts/postgres.sh" url "$STACK_DIR/postgres" "$database")" "$@"
}

stack_no_lock_stays() {
    local locks
    locks=$(stack_sql twins -c "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
    [[ $locks == 0 ]] || { printf '%s locks of sessions stay in the pool\n' "$locks" && return 1; }
}

stack_start_behind_a_lock() {
    local holder status=0
    stack_sql twins -c "SELECT pg_advisory_lock(hashtext('matrixbot migrate')), pg_sleep(20)" &
    holder=$!
    while [[ $(stack_sql twins -c "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted") == 0 ]]; do
        sleep 0.1
    done
    timeout 10 "$STACK_BINARY" migrate --config "$STACK_DIR/twin-a.yaml" || status=1
    kill "$holder"
    return "$status"
}

# As a PgBouncer before 1.21, or one before 1.24 with its own defaults.
stack_doctor_knows_old_ones() {
    local port answer status=0
    port=$(free_port)
    "$ROOT/scripts/pgbouncer.sh" start "$STACK_DIR/old" --postgres "$STACK_DIR/postgres" --port "$port" \
        --set "max_prepared_statements = 0" --set "default_pool_size = 1" || return 1
    sed "s|@127.0.0.1:$STACK_POOLER_PORT/|@127.0.0.1:$port/|" "$STACK_DIR/config.yaml" >"$STACK_DIR/old.yaml"
    answer=$("$STACK_BINARY" doctor --read-only --config "$STACK_DIR/old.yaml") && status=1
    printf '%s\n' "$answer"
    grep -q 'Behind PgBouncer 1.21 to 1.23 .* set its .max_prepared_statements. to 200' <<<"$answer" || status=1
    "$ROOT/scripts/pgbouncer.sh" stop "$STACK_DIR/old"
    return "$status"
}

# Stops all running servers, in the direction of the data, so that nothing is lost.
stack_stop() {
    [[ -d $STACK_DIR ]] || return 0
    "$ROOT/scripts/alertmanager.sh" stop "$STACK_DIR/alertmanager" || true
    "$ROOT/scripts/alertmanager.sh" stop "$STACK_DIR/peer" || true
    "$ROOT/scripts/alertmanager.sh" stop "$STACK_DIR/empty" || true
    stop_process matrixbot "$STACK_DIR" || true
    "$ROOT/scripts/synapse.sh" stop "$STACK_DIR/synapse" || true
    stop_process twin-a "$STACK_DIR" || true
    stop_process twin-b "$STACK_DIR" || true
    "$ROOT/scripts/pgbouncer.sh" stop "$STACK_DIR/old" || true
    "$ROOT/scripts/pgbouncer.sh" stop "$STACK_DIR/pgbouncer" || true
    "$ROOT/scripts/postgres.sh" stop "$STACK_DIR/postgres" || true
}

# stack_dead: the name of a server that has ended; fails while all are running.
stack_dead() {
    local name
    for name in alertmanager synapse; do
        process_id "$name" "$STACK_DIR/$name" >/dev/null || { printf '%s\n' "$name" && return 0; }
    done
    process_id matrixbot "$STACK_DIR" >/dev/null || { printf 'matrixbot\n' && return 0; }
    "$ROOT/scripts/postgres.sh" running "$STACK_DIR/postgres" || { printf 'postgres\n' && return 0; }
    return 1
}
