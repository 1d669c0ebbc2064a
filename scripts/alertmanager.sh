#!/usr/bin/env bash
# A private Alertmanager on loopback, for trying things out and for tests: alone, or one of a pair that talks on the ports of
# --cluster, its own and the other one's.
#
#   scripts/alertmanager.sh start DIR --config FILE --port PORT [--cluster PORT PORT]
#   scripts/alertmanager.sh stop DIR
#
# Everything it writes is in DIR. The program is Debian's prometheus-alertmanager, installed on demand;
# Debian's own service of that name is not used.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/install.sh
source "$ROOT/scripts/lib/install.sh"

start() {
    # An empty cluster address switches clustering, and its port, off.
    local dir=$1 config='' port='' cluster=(--cluster.listen-address=)
    shift
    while (($#)); do
        case $1 in
            --config) config=$(realpath -e "$2") ;;
            --port) port=$2 ;;
            --cluster)
                cluster=("--cluster.listen-address=127.0.0.1:$2" "--cluster.peer=127.0.0.1:$3")
                shift
                ;;
            *) die "unknown option $1" ;;
        esac
        shift 2
    done
    [[ -n $config && -n $port ]] || die "start needs --config and --port"
    ensure alertmanager
    mkdir -p "$dir"
    dir=$(realpath "$dir")
    if process_id alertmanager "$dir" >/dev/null; then die "Alertmanager in $dir is already running."; fi
    require_port "$port" Alertmanager "Choose another one with --port."
    start_process alertmanager "$dir" "$(alertmanager_bin)" "--config.file=$config" "--storage.path=$dir/data" \
        "--web.listen-address=127.0.0.1:$port" "${cluster[@]}" --log.level=warn
    (wait_ready alertmanager "$dir" "$port" /-/ready) || {
        stop_process alertmanager "$dir"
        exit 1
    }
}

command=${1:-help}
case $command in
    start | stop) [[ $# -ge 2 ]] || die "$command needs a directory" ;;
esac
case $command in
    start) start "${@:2}" ;;
    stop) stop_process alertmanager "$2" ;;
    -h | --help | help) usage "${BASH_SOURCE[0]}" ;;
    *) die "unknown command $command; see scripts/alertmanager.sh --help" ;;
esac
