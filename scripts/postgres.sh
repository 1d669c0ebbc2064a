#!/usr/bin/env bash
# A private Postgres cluster on loopback, for trials and tests.
#
#   scripts/postgres.sh start DIR [--port PORT] [--fast | --tests]   a free port unless one is given
#   scripts/postgres.sh url DIR [DATABASE]                           its URL; creates the database if it does not exist
#   scripts/postgres.sh running DIR                                  succeeds if it runs
#   scripts/postgres.sh stop DIR
#   scripts/postgres.sh remove DIR                         stops it and deletes its data
#
# The only login is with the password in DIR. --fast gives up durability for speed. --tests is for many short sessions in
# many small databases: it also gives up vacuuming and plans a statement once, whatever its parameters. The programs come
# from Debian's postgresql, installed on demand; Debian's own clusters are neither used nor changed.
#
# Postgres refuses to run as root, so root runs it as user postgres. If that user cannot reach DIR (a clone under /root),
# the data is in a directory in /var/tmp; DIR/home has its path.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/install.sh
source "$ROOT/scripts/lib/install.sh"

# as_server COMMAND…: runs it as the server's user. From /, because that user may not have access to this directory.
as_server() {
    if is_root; then
        (cd / && runuser -u postgres -- "$@")
    else
        "$@"
    fi
}

make_home() {
    local dir=$1 home=$1/cluster
    if is_root; then
        mkdir -p "$home"
        chown postgres: "$home"
        if ! as_server test -w "$home"; then
            rmdir "$home"
            home=$(mktemp -d /var/tmp/matrixbot-postgres.XXXXXX)
            chown postgres: "$home"
        fi
    else
        mkdir -p "$home"
    fi
    printf '%s\n' "$home" >"$dir/home"
}

initialise() {
    local dir=$1 home=$2
    random_secret >"$dir/password"
    # Remove an incomplete cluster.
    as_server rm -rf "$home/data" "$home/password"
    as_server tee "$home/password" <"$dir/password" >/dev/null
    as_server chmod 600 "$home/password"
    as_server "$(postgres_bin)/initdb" --pgdata "$home/data" --username postgres --auth password \
        --pwfile "$home/password" --encoding UTF8 --locale C --no-sync >"$dir/initdb.log" 2>&1 ||
        { cat "$dir/initdb.log" >&2 && die "initdb failed."; }
    as_server rm "$home/password"
    touch "$dir/initialised"
}

# The previous port if it is still free, so that saved URLs continue to work.
choose_port() {
    local dir=$1
    if [[ -s $dir/port ]] && port_is_free "$(<"$dir/port")"; then
        cat "$dir/port"
    else
        free_port
    fi
}

is_running() {
    [[ -s $1/home ]] && as_server "$(postgres_bin)/pg_ctl" --pgdata "$(<"$1/home")/data" status >/dev/null 2>&1
}

start() {
    local dir=$1 port='' home options fast=(-c fsync=off -c synchronous_commit=off -c full_page_writes=off)
    options=(-c unix_socket_directories= -c max_connections=300)
    shift
    while (($#)); do
        case $1 in
            --fast) options+=("${fast[@]}") ;;
            --tests) options+=("${fast[@]}" -c autovacuum=off -c plan_cache_mode=force_generic_plan) ;;
            --port) port=$2 && shift ;;
            *) die "unknown option $1" ;;
        esac
        shift
    done
    ensure postgres
    umask 022
    mkdir -p "$dir"
    dir=$(realpath "$dir")
    if is_running "$dir"; then die "Postgres in $dir is already running."; fi
    [[ -s $dir/home && -d $(<"$dir/home") ]] || { rm -f "$dir/initialised" && make_home "$dir"; }
    home=$(<"$dir/home")
    (umask 077 && : >>"$dir/password")
    [[ -e $dir/initialised ]] || initialise "$dir" "$home"
    [[ -n $port ]] || port=$(choose_port "$dir")
    require_port "$port" Postgres "Choose another one with --port."
    printf '%s\n' "$port" >"$dir/port"
    # The server would keep this script's output open.
    if ! as_server "$(postgres_bin)/pg_ctl" --pgdata "$home/data" --log "$home/postgres.log" --wait --timeout 60 \
        --options "-c listen_addresses=127.0.0.1 -c port=$port ${options[*]}" start >/dev/null 2>&1 </dev/null; then
        as_server tail -n 20 "$home/postgres.log" >&2 || true
        die "Postgres did not start; its log is $home/postgres.log"
    fi
}

url() {
    local dir=$1 database=${2:-postgres} password port psql
    password=$(<"$dir/password")
    port=$(<"$dir/port")
    if [[ $database != postgres ]]; then
        [[ $database =~ ^[a-z_][a-z0-9_]*$ ]] || die "A database name is [a-z0-9_], not $database."
        # In the environment, because every user of the machine can read command lines.
        export PGPASSWORD=$password
        psql=("$(postgres_bin)/psql" -X -h 127.0.0.1 -p "$port" -U postgres)
        [[ -n $("${psql[@]}" -Atc "SELECT 1 FROM pg_database WHERE datname = '$database'") ]] ||
            "${psql[@]}" -qc "CREATE DATABASE $database"
    fi
    printf 'postgres://postgres:%s@127.0.0.1:%s/%s\n' "$password" "$port" "$database"
}

# A hanging program must not block the shutdown, so its sessions are ended.
stop() {
    if is_running "$1"; then
        as_server "$(postgres_bin)/pg_ctl" --pgdata "$(<"$1/home")/data" --mode fast --wait stop >/dev/null
    fi
}

remove() {
    [[ -d $1 ]] || return 0
    stop "$1"
    [[ ! -s $1/home ]] || rm -rf "$(<"$1/home")"
    rm -rf "$1"
}

command=${1:-help}
case $command in
    start | url | running | stop | remove) [[ $# -ge 2 ]] || die "$command needs a directory" ;;
esac
case $command in
    start) start "${@:2}" ;;
    url) url "${@:2}" ;;
    running) is_running "$2" ;;
    stop) stop "$2" ;;
    remove) remove "$2" ;;
    -h | --help | help) usage "${BASH_SOURCE[0]}" ;;
    *) die "unknown command $command; see scripts/postgres.sh --help" ;;
esac
