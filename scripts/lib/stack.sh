# shellcheck shell=bash
# All servers on loopback in one directory: Postgres, Synapse, Alertmanager and matrixbot, for quickstart.sh, test.sh and
# soak.sh. Sourced after common.sh and install.sh, never run.
#
# The caller sets STACK_DIR, STACK_BINARY and the five ports below.

STACK_DIR='' STACK_BINARY=''
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

# stack_config FILE: a configuration for the ports below.
stack_config() {
    local database_url
    database_url=$("$ROOT/scripts/postgres.sh" url "$STACK_DIR/postgres" matrixbot) || return 1
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
    url: http://127.0.0.1:$ALERTMANAGER_PORT
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
        "$(python_bin)" "$ROOT/scripts/story.py" rooms --homeserver "http://127.0.0.1:$SYNAPSE_PORT"
}

stack_matrixbot() {
    "$STACK_BINARY" check --config "$STACK_DIR/config.yaml" &&
        start_process matrixbot "$STACK_DIR" "$STACK_BINARY" run --config "$STACK_DIR/config.yaml" &&
        wait_ready matrixbot "$STACK_DIR" "$ADMIN_PORT" /livez
}

# Postgres, the registration and Synapse with two people and three rooms. Fails at the first step that does; stack_stop
# stops what has been started.
stack_servers() {
    stack_prepare &&
        step "Starting Postgres" "$ROOT/scripts/postgres.sh" start "$STACK_DIR/postgres" --fast &&
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
        step "Starting Alertmanager" "$ROOT/scripts/alertmanager.sh" start "$STACK_DIR/alertmanager" \
            --config "$STACK_DIR/alertmanager.yml" --port "$ALERTMANAGER_PORT"
}

stack_play() {
    "$(python_bin)" "$ROOT/scripts/story.py" play --homeserver "http://127.0.0.1:$SYNAPSE_PORT" \
        --alertmanager "http://127.0.0.1:$ALERTMANAGER_PORT" --admin "http://127.0.0.1:$ADMIN_PORT" \
        --virtual-user "@_alerts_$STACK_ROOM_LIST:$STACK_SERVER_NAME" --escalate-after "$STACK_ESCALATE_AFTER"
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

# Stops all running servers, in the direction of the data, so that nothing is lost.
stack_stop() {
    [[ -d $STACK_DIR ]] || return 0
    "$ROOT/scripts/alertmanager.sh" stop "$STACK_DIR/alertmanager" || true
    stop_process matrixbot "$STACK_DIR" || true
    "$ROOT/scripts/synapse.sh" stop "$STACK_DIR/synapse" || true
    "$ROOT/scripts/postgres.sh" stop "$STACK_DIR/postgres" || true
}

# stack_dead: the name of a server that has ended; fails while all are running.
stack_dead() {
    local name
    for name in alertmanager synapse; do
        process_id "$name" "$STACK_DIR/$name" >/dev/null || { printf '%s\n' "$name" && return 0; }
    done
    process_id matrixbot "$STACK_DIR" >/dev/null || { printf 'matrixbot\n' && return 0; }
    return 1
}
