#!/usr/bin/env bash
# A private PgBouncer on loopback in front of a Postgres of scripts/postgres.sh, pooling by transaction, for tests.
#
#   scripts/pgbouncer.sh start DIR --postgres DIR --port PORT [--set "KEY = VALUE"]…
#   scripts/pgbouncer.sh url DIR DATABASE   its URL for that database
#   scripts/pgbouncer.sh stop DIR
#
# Its other settings are PgBouncer's defaults. Everything it writes is in DIR. Debian 12 has a PgBouncer that is too old, so
# the program of a newer Debian is unpacked in .cache/, not installed.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/install.sh
source "$ROOT/scripts/lib/install.sh"

start() {
    local dir=$1 postgres='' port='' settings='' program
    shift
    while (($#)); do
        case $1 in
            --postgres) postgres=$2 ;;
            --port) port=$2 ;;
            --set) settings+=$2$'\n' ;;
            *) die "unknown option $1" ;;
        esac
        shift 2
    done
    [[ -n $postgres && -n $port ]] || die "start needs --postgres and --port"
    ensure pgbouncer
    umask 077
    mkdir -p "$dir"
    dir=$(realpath "$dir")
    if process_id pgbouncer "$dir" >/dev/null; then die "PgBouncer in $dir is already running."; fi
    require_port "$port" PgBouncer "Choose another one with --port."
    cp "$postgres/password" "$dir/password"
    printf '"postgres" "%s"\n' "$(<"$dir/password")" >"$dir/users.txt"
    printf '%s\n' "$port" >"$dir/port"
    cat >"$dir/pgbouncer.ini" <<INI
[databases]
* = host=127.0.0.1 port=$(<"$postgres/port")

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = scram-sha-256
auth_file = $dir/users.txt
admin_users = postgres
pool_mode = transaction
$settings
INI
    # It refuses to run as root; it has read its files by the time when it changes to this user.
    if is_root; then printf 'user = postgres\n' >>"$dir/pgbouncer.ini"; fi
    mapfile -t program < <(newer_debian_command pgbouncer)
    start_process pgbouncer "$dir" "${program[@]}" "$dir/pgbouncer.ini"
    wait_listening "$dir" "$port" || { stop_process pgbouncer "$dir" && exit 1; }
}

wait_listening() {
    local deadline=$((SECONDS + 20))
    while port_is_free "$2"; do
        if ((SECONDS > deadline)) || ! process_id pgbouncer "$1" >/dev/null; then
            tail -n 20 "$1/pgbouncer.log" >&2
            warn "PgBouncer did not start; its log is $1/pgbouncer.log"
            return 1
        fi
        sleep 0.1
    done
}

url() { printf 'postgres://postgres:%s@127.0.0.1:%s/%s\n' "$(<"$1/password")" "$(<"$1/port")" "$2"; }

command=${1:-help}
case $command in
    start | url | stop) [[ $# -ge 2 ]] || die "$command needs a directory" ;;
esac
case $command in
    start) start "${@:2}" ;;
    url) url "$2" "${3:?a database}" ;;
    stop) stop_process pgbouncer "$2" ;;
    -h | --help | help) usage "${BASH_SOURCE[0]}" ;;
    *) die "unknown command $command; see scripts/pgbouncer.sh --help" ;;
esac
