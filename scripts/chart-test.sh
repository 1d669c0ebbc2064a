#!/usr/bin/env bash
# Tests the chart charts/matrixbot with a real Helm and a stand-in API server: no cluster, no Docker.
#
#   scripts/chart-test.sh [ARGUMENT…]  all tests; arguments go to pytest: -k networkpolicy, -k 'life and job', -x, -n0
#   scripts/chart-test.sh --readme     writes the table of values in the chart's README.md, and its files/defaults.yaml
#   scripts/chart-test.sh --render [SWITCH=POSITION…]
#                                      prints what a combination of switches renders to; see scripts/chart/switches.yaml
#
# Combinations of the chart's switches are linted, installed, tested, upgraded and removed, validated strictly against
# several Kubernetes versions and the operators' kinds, and searched for dangling references. promtool runs the alert
# rules. MATRIXBOT_BINARY, or the debug build if there is one, validates the rendered configurations.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/install.sh
source "$ROOT/scripts/lib/install.sh"

# promtool_bin: an installed promtool, or Debian's, unpacked into the cache without being installed.
promtool_bin() {
    command -v promtool && return
    [[ -x $CACHE/promtool/promtool ]] && printf '%s\n' "$CACHE/promtool/promtool"
}

# apt would drop root's rights, and then could not write here.
download_prometheus() { apt-get -q -o APT::Sandbox::User=root download prometheus; }

fetch_promtool() {
    local dir
    mkdir -p "$CACHE/promtool"
    dir=$(mktemp -d "$CACHE/promtool.XXXXXX")
    # On a fresh machine the package lists are empty.
    (cd "$dir" && { download_prometheus || { as_root apt-get -q update && download_prometheus; }; } &&
        dpkg-deb -x prometheus_*.deb unpacked && mv unpacked/usr/bin/promtool "$CACHE/promtool/promtool") || {
        rm -rf "$dir"
        return 1
    }
    rm -rf "$dir"
}

# run_python FILE ARGUMENT…: without what Helm logs at every start.
run_python() {
    "$(checks_venv)/bin/python" "$ROOT/scripts/chart/$1" "${@:2}" 2> >(grep -vE ' INFO funcMap | reflector[.]go:' >&2)
}

case ${1:-} in
    -h | --help) usage "${BASH_SOURCE[0]}" && exit 0 ;;
esac
ensure python checks
# Helm keeps its releases in the process; no compiled files beside the sources.
export HELM_DRIVER=memory PYTHONDONTWRITEBYTECODE=1
case ${1:-} in
    --readme) run_python readme.py "$ROOT/charts/matrixbot/README.md" "$ROOT/charts/matrixbot/values.yaml" "$ROOT/charts/matrixbot/files/defaults.yaml" ;;
    --render) run_python helm.py "${@:2}" ;;
    *)
        trap stop_step EXIT
        if ! promtool_bin >/dev/null && have apt-get; then
            step "Fetching promtool" fetch_promtool || say "promtool is missing: its tests are skipped."
        fi
        PROMTOOL=$(promtool_bin || true)
        MATRIXBOT_BINARY=$(matrixbot_bin)
        export PROMTOOL MATRIXBOT_BINARY
        "$(checks_venv)/bin/python" -m pytest -n auto "$ROOT/scripts/chart" "$@"
        ;;
esac
