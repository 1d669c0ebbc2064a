# shellcheck shell=bash
# Shared by all scripts: messages, progress, ports, processes, HTTP readiness. Sourced, never run.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# Downloads and builds that can be repeated, apart from the state of a run.
# shellcheck disable=SC2034 # install.sh and the scripts use it.
CACHE=${MATRIXBOT_CACHE:-$ROOT/.cache}

# Builds the program for the tests. Cargo unites the features of what it builds at a time: with a test among it, the
# dependencies are those of all other tests, otherwise tokio and everything above it would be compiled once more.
# shellcheck disable=SC2034 # test.sh and soak.sh use it.
BUILD_FOR_TESTS=(cargo build --locked --bin matrixbot --test layers)

if [[ -t 2 ]]; then
    BOLD=$'\e[1m' DIM=$'\e[2m' RED=$'\e[31m' GREEN=$'\e[32m' PLAIN=$'\e[0m' ERASE=$'\r\e[K'
else
    BOLD='' DIM='' RED='' GREEN='' PLAIN='' ERASE=''
fi

say() { printf '%s\n' "$*" >&2; }
title() { printf '\n%s%s%s\n' "$BOLD" "$*" "$PLAIN" >&2; }
warn() { printf '%s! %s%s\n' "$RED" "$*" "$PLAIN" >&2; }
die() {
    printf '%s✗ %s%s\n' "$RED" "$1" "$PLAIN" >&2
    shift
    local line
    for line in "$@"; do printf '  %s\n' "$line" >&2; done
    exit 1
}

# usage FILE: the comment block at the head of FILE, which is its help.
usage() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$1"; }

have() { command -v "$1" >/dev/null 2>&1; }
is_root() { [[ $(id -u) -eq 0 ]]; }

STEP_PID='' STEP_LOG=''

# step "Description" COMMAND…: runs COMMAND quietly. After two seconds it shows the elapsed time and the last line of
# output; after a failure, the last lines.
step() {
    local what=$1 started=$SECONDS rc=0 shown=0 last
    shift
    STEP_LOG=$(mktemp "${TMPDIR:-/tmp}/matrixbot-step.XXXXXX")
    # Its own process group, so that stopping a step also stops its children.
    set -m
    ("$@") >"$STEP_LOG" 2>&1 </dev/null &
    STEP_PID=$!
    set +m
    while kill -0 "$STEP_PID" 2>/dev/null; do
        local elapsed=$((SECONDS - started))
        if ((elapsed >= 2)); then
            if [[ -t 2 ]]; then
                last=$(tail -n 1 "$STEP_LOG" | tr -d '\r' | cut -c1-60)
                printf '%s… %s, %s s %s%s%s' "$ERASE" "$what" "$elapsed" "$DIM" "$last" "$PLAIN" >&2
            elif ((shown == 0 || elapsed - shown >= 15)); then
                say "… $what, $elapsed s"
                shown=$elapsed
            fi
        fi
        sleep 0.1
    done
    wait "$STEP_PID" || rc=$?
    STEP_PID=''
    if ((rc == 0)); then
        printf '%s%s✓%s %s %s(%s s)%s\n' "$ERASE" "$GREEN" "$PLAIN" "$what" "$DIM" $((SECONDS - started)) "$PLAIN" >&2
    else
        printf '%s%s✗ %s: failed after %s s; its last lines:%s\n' "$ERASE" "$RED" "$what" $((SECONDS - started)) "$PLAIN" >&2
        tail -n 30 "$STEP_LOG" | sed 's/^/  | /' >&2
    fi
    rm -f "$STEP_LOG"
    return "$rc"
}

# Stops the running step, if any, and waits for it; for the traps.
stop_step() {
    [[ -n $STEP_PID ]] || return 0
    kill -TERM -- "-$STEP_PID" 2>/dev/null || true
    wait "$STEP_PID" 2>/dev/null || true
    rm -f "$STEP_LOG"
    STEP_PID=''
}

# --- ports -------------------------------------------------------------------------------------------

# listener_inode PORT: the inode of the socket that listens on PORT, IPv4 or IPv6; empty if none.
listener_inode() {
    local hex
    hex=$(printf ':%04X' "$1")
    awk -v port="$hex" '$4 == "0A" && substr($2, length($2) - 4) == port { print $10; exit }' \
        /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

port_is_free() { [[ -z $(listener_inode "$1") ]]; }

# port_owner PORT: the process that listens there: "postgres (process 4711)".
port_owner() {
    local inode fd pid
    inode=$(listener_inode "$1")
    for fd in /proc/[0-9]*/fd/*; do
        if [[ $(readlink "$fd" 2>/dev/null) == "socket:[$inode]" ]]; then
            pid=${fd#/proc/}
            pid=${pid%%/*}
            printf '%s (process %s)' "$(basename -- "$(tr '\0' '\n' <"/proc/$pid/cmdline" | head -n 1)")" "$pid"
            return
        fi
    done
    printf "a process of another user"
}

# require_port PORT "what for" "how to choose another one"
require_port() {
    port_is_free "$1" || die "Port $1, meant for $2, is in use by $(port_owner "$1")." "$3"
}

# free_port: an unused port of 5000 that the kernel does not assign to clients. It is reserved for ten minutes, because a
# port is free until its server listens: neither this script nor another one of this cache chooses it meanwhile.
free_port() {
    local port reserved=$CACHE/ports
    mkdir -p "$reserved" || die "$reserved cannot be written."
    find "$reserved" -mindepth 1 -mmin +10 -exec rmdir {} + 2>/dev/null || true
    while :; do
        port=$((20000 + RANDOM % 5000))
        if port_is_free "$port" && mkdir "$reserved/$port" 2>/dev/null; then
            printf '%s\n' "$port"
            return
        fi
    done
}

# --- processes ---------------------------------------------------------------------------------------

# A process id can be reused; with the start time it is unique.
process_start() { cut -d' ' -f22 <<<"$(sed 's/^\([0-9]*\) (.*) /\1 (x) /' "/proc/$1/stat" 2>/dev/null)"; }

# start_process NAME DIR COMMAND…: runs COMMAND detached from the terminal; output to DIR/NAME.log.
start_process() {
    local name=$1 dir=$2 pid
    shift 2
    setsid -- "$@" >>"$dir/$name.log" 2>&1 </dev/null &
    pid=$!
    printf '%s %s\n' "$pid" "$(process_start "$pid")" >"$dir/$name.pid"
}

# process_id NAME DIR: the id if that process is still running; fails otherwise.
process_id() {
    local pid started
    [[ -f $2/$1.pid ]] || return 1
    read -r pid started <"$2/$1.pid" || return 1
    [[ -n $started && $(process_start "$pid") == "$started" ]] || return 1
    [[ $(sed 's/.*) \(.\).*/\1/' "/proc/$pid/stat" 2>/dev/null) != Z ]] || return 1
    printf '%s\n' "$pid"
}

# stop_process NAME DIR: SIGTERM, then SIGKILL after 10 s. Succeeds if it is not running.
stop_process() {
    local pid tries=0
    if pid=$(process_id "$1" "$2"); then
        kill -TERM "$pid" 2>/dev/null || true
        while process_id "$1" "$2" >/dev/null && ((tries++ < 100)); do sleep 0.1; done
        if process_id "$1" "$2" >/dev/null; then
            warn "$1 did not stop within 10 s; killing it."
            kill -KILL "$pid" 2>/dev/null || true
        fi
    fi
    rm -f "$2/$1.pid"
}

# --- HTTP --------------------------------------------------------------------------------------------

# http_ok PORT PATH: whether a GET on loopback answers 200.
http_ok() {
    local status
    status=$({
        exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
        printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' "$2" >&3
        IFS=' ' read -r -t 5 _ status _ <&3 && printf '%s' "$status"
    } 2>/dev/null) || return 1
    [[ $status == 200 ]]
}

# wait_ready NAME DIR PORT PATH: waits until it answers 200; fails when the process ends or after 60 s.
wait_ready() {
    local deadline=$((SECONDS + 60))
    until http_ok "$3" "$4"; do
        if ! process_id "$1" "$2" >/dev/null; then
            tail -n 20 "$2/$1.log" >&2
            die "$1 ended while starting; its log is $2/$1.log"
        fi
        if ((SECONDS > deadline)); then
            tail -n 20 "$2/$1.log" >&2
            die "$1 did not answer on port $3 within 60 s; its log is $2/$1.log"
        fi
        sleep 0.1
    done
}

# random_secret: 64 hexadecimal digits.
random_secret() { od -An -tx1 -N32 /dev/urandom | tr -d ' \n'; }
