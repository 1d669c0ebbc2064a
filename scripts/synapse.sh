#!/usr/bin/env bash
# A private Synapse on loopback, without federation, for trials and for tests. Its database is SQLite, or the Postgres
# at URL, which must have the collation C.
#
#   scripts/synapse.sh start DIR --server-name NAME --port PORT [--registration FILE]… [--postgres URL]
#   scripts/synapse.sh user DIR NAME PASSWORD     creates an account, unless it exists
#   scripts/synapse.sh stop DIR
#
# Everything it writes is in DIR. A second start with the same DIR keeps rooms and accounts.
# Synapse itself is installed on demand, pinned by scripts/synapse-requirements.txt.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/install.sh
source "$ROOT/scripts/lib/install.sh"

# secret DIR NAME: created once, then kept.
secret() {
    [[ -s $1/$2.secret ]] || random_secret >"$1/$2.secret"
    cat "$1/$2.secret"
}

write_configuration() {
    local dir=$1 server_name=$2 port=$3 postgres=$4 file
    local database="{name: sqlite3, args: {database: \"$dir/homeserver.db\"}}"
    [[ -z $postgres ]] || database="{name: psycopg2, args: {dsn: \"$postgres\", cp_min: 5, cp_max: 10}}"
    shift 4
    # The format of the key file is "ed25519 <version> <32 bytes, base64 without padding>".
    [[ -s $dir/signing.key ]] ||
        printf 'ed25519 a_1 %s\n' "$(head -c 32 /dev/urandom | base64 | tr -d '=\n')" >"$dir/signing.key"
    cat >"$dir/log.yaml" <<YAML
version: 1
formatters: {brief: {format: "%(asctime)s %(levelname)s %(name)s: %(message)s"}}
handlers: {console: {class: logging.StreamHandler, formatter: brief}}
root: {level: WARNING, handlers: [console]}
disable_existing_loggers: false
YAML
    {
        cat <<YAML
# Written by scripts/synapse.sh at every start.
server_name: "$server_name"
public_baseurl: "http://127.0.0.1:$port/"
pid_file: "$dir/homeserver.pid"
listeners:
  - {port: $port, bind_addresses: ["127.0.0.1"], type: http, tls: false, resources: [{names: [client]}]}
database: $database
media_store_path: "$dir/media"
log_config: "$dir/log.yaml"
signing_key_path: "$dir/signing.key"
registration_shared_secret: "$(secret "$dir" registration)"
macaroon_secret_key: "$(secret "$dir" macaroon)"
form_secret: "$(secret "$dir" form)"
report_stats: false
presence: {enabled: false}
# No federation.
federation_domain_whitelist: []
trusted_key_servers: []
suppress_key_server_warning: true
# Tests and trials are faster than people.
rc_message: {per_second: 1000, burst_count: 1000}
rc_registration: {per_second: 1000, burst_count: 1000}
rc_login:
  address: {per_second: 1000, burst_count: 1000}
  account: {per_second: 1000, burst_count: 1000}
  failed_attempts: {per_second: 1000, burst_count: 1000}
rc_joins:
  local: {per_second: 1000, burst_count: 1000}
rc_joins_per_room: {per_second: 1000, burst_count: 1000}
rc_invites:
  per_room: {per_second: 1000, burst_count: 1000}
  per_user: {per_second: 1000, burst_count: 1000}
  per_issuer: {per_second: 1000, burst_count: 1000}
rc_room_creation: {per_second: 1000, burst_count: 1000}
app_service_config_files:
YAML
        for file in "$@"; do printf '  - "%s"\n' "$file"; done
    } >"$dir/homeserver.yaml"
}

start() {
    local dir server_name='' port='' postgres='' registrations=()
    dir=$1
    shift
    while (($#)); do
        case $1 in
            --server-name) server_name=$2 ;;
            --port) port=$2 ;;
            --postgres) postgres=$2 ;;
            --registration) registrations+=("$(realpath -e "$2")") ;;
            *) die "unknown option $1" ;;
        esac
        shift 2
    done
    [[ -n $server_name && -n $port ]] || die "start needs --server-name and --port"
    ensure synapse
    umask 077
    mkdir -p "$dir"
    dir=$(realpath "$dir")
    if process_id synapse "$dir" >/dev/null; then die "Synapse in $dir is already running."; fi
    require_port "$port" Synapse "Choose another one with --port."
    write_configuration "$dir" "$server_name" "$port" "$postgres" "${registrations[@]}"
    start_process synapse "$dir" "$(synapse_venv)/bin/python" -m synapse.app.homeserver -c "$dir/homeserver.yaml"
    printf '%s\n' "$port" >"$dir/port"
    (wait_ready synapse "$dir" "$port" /_matrix/client/versions) || {
        stop_process synapse "$dir"
        exit 1
    }
}

user() {
    local dir=$1
    "$(synapse_venv)/bin/register_new_matrix_user" --exists-ok --no-admin --user "$2" --password "$3" \
        --config "$dir/homeserver.yaml" "http://127.0.0.1:$(<"$dir/port")" >/dev/null
}

command=${1:-help}
case $command in
    start | user | stop) [[ $# -ge 2 ]] || die "$command needs a directory" ;;
esac
case $command in
    start) start "${@:2}" ;;
    user) user "${@:2}" ;;
    stop) stop_process synapse "$2" ;;
    -h | --help | help) usage "${BASH_SOURCE[0]}" ;;
    *) die "unknown command $command; see scripts/synapse.sh --help" ;;
esac
