#!/usr/bin/env bash
# Runs the tests and installs what they need. The last line counts passed and failed tests; above it is the duration of
# each part.
#
#   scripts/test.sh                  everything
#   scripts/test.sh fast             lint and unit: no server, nothing installed beyond Rust
#   scripts/test.sh PART [ARGUMENT…] one part; arguments go to the test runner: scripts/test.sh it webhook
#
# Parts:
#   lint      formatting and clippy
#   unit      unit and property tests
#   sqlx      .sqlx/ describes the current queries
#   it        integration tests, against a throw-away Postgres
#   doc       the examples in the documentation comments
#   chart     the chart with a real Helm, its alert rules with promtool; no cluster
#   story     the main job on a real Synapse and a real Alertmanager through a real PgBouncer, the operator's commands, the
#             client of Alertmanager's API; with --direct without PgBouncer
#   debian    the Debian package, without installing it
#   supply    licences, banned crates and sources of dependencies; known vulnerabilities if a database is available
#   scripts   the pipeline's scripts with stand-ins for Docker and the cluster; shellcheck, hadolint, schemas
#   hostile   a minute beside a hostile room list, on a real Synapse (scripts/soak.sh)
#
# The last six run at the same time, hostile beside the other five; its output follows theirs.
#
# Tests run with cargo nextest if it is installed, otherwise with cargo test. MATRIXBOT_TEST_DATABASE_URL selects an
# existing server instead of a throw-away one.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/install.sh
source "$ROOT/scripts/lib/install.sh"
# shellcheck source=scripts/lib/stack.sh
source "$ROOT/scripts/lib/stack.sh"

cd "$ROOT"
# hostile runs beside those after doc. It begins with half a minute in peace, beside chart, which needs the processors;
# story mostly waits.
PARTS=(lint sqlx unit it doc chart story debian supply scripts hostile)
HOSTILE=("$ROOT/scripts/soak.sh" hostile --minutes 1 --without-speed)

passed=0 failed=0 failures=() durations=()
SCRATCH=''
# The process group that plays hostile beside other parts, and when it started.
ASIDE='' ASIDE_STARTED=0
# The build checks queries against .sqlx/, whatever the environment contains.
export SQLX_OFFLINE=true
unset DATABASE_URL

on_exit() {
    trap '' INT TERM HUP
    stop_step
    if [[ -n $ASIDE ]]; then
        kill -TERM -- "-$ASIDE" 2>/dev/null || true
        wait "$ASIDE" 2>/dev/null || true
    fi
    [[ -n $SCRATCH ]] || return 0
    stack_stop
    [[ ! -d $SCRATCH/postgres ]] || "$ROOT/scripts/postgres.sh" remove "$SCRATCH/postgres"
    [[ ! -d $SCRATCH/stack/postgres ]] || "$ROOT/scripts/postgres.sh" remove "$SCRATCH/stack/postgres"
    if ((failed == 0)); then rm -rf "$SCRATCH"; else say "Logs are in $SCRATCH"; fi
}

# check "Description" COMMAND…: one check, counted as one test.
check() {
    if step "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        failures+=("$1")
    fi
}

# count WHAT STATUS LOG: adds the summary of a test runner to the sums. A runner that failed without a summary
# counts as one failure.
count() {
    local what=$1 status=$2 good bad
    read -r good bad < <(sed 's/\x1b\[[0-9;]*m//g' "$3" | awk '
        # nextest: "Summary [ 1.2s] 14 tests run: 12 passed (1 slow), 1 failed, 1 timed out, 3 skipped"
        # pytest: "1 failed, 231 passed, 2 skipped, 1 error in 12.34s"
        /^ *Summary \[/ || /^test result:/ || /^story:/ || /^[0-9]+ passed, [0-9]+ failed$/ || /^(=+ )?[0-9]+ [a-z]+.* in [0-9.]+s/ {
            for (i = 2; i <= NF; i++) {
                if ($(i - 1) !~ /^[0-9]+$/) continue
                if ($i ~ /^passed/) good += $(i - 1)
                if ($i ~ /^(failed|timed|errors?)/) bad += $(i - 1)
            }
        }
        END { print good + 0, bad + 0 }')
    passed=$((passed + good))
    if ((status != 0)); then
        failed=$((failed + (bad > 0 ? bad : 1)))
        failures+=("$what")
    fi
}

# counted WHAT COMMAND…: runs a test runner, shows its output and counts its summary.
counted() {
    local what=$1 log=$SCRATCH/$1.log status=0
    shift
    "$@" 2>&1 </dev/null | tee "$log" || status=$?
    count "$what" "$status" "$log"
}

# tests WHAT TARGETS… -- ARGUMENTS…: cargo's tests of these targets.
tests() {
    local what=$1 targets=() runner=(cargo test --locked)
    shift
    while [[ $1 != -- ]]; do
        targets+=("$1")
        shift
    done
    shift
    if cargo nextest --version >/dev/null 2>&1; then
        runner=(cargo nextest run --locked --no-fail-fast)
    else
        targets+=(--no-fail-fast)
    fi
    counted "$what" "${runner[@]}" "${targets[@]}" "$@"
}

test_database() {
    [[ -z ${MATRIXBOT_TEST_DATABASE_URL:-} ]] || return 0
    step "Starting a throw-away Postgres" "$ROOT/scripts/postgres.sh" start "$SCRATCH/postgres" --tests
    MATRIXBOT_TEST_DATABASE_URL=$("$ROOT/scripts/postgres.sh" url "$SCRATCH/postgres")
    export MATRIXBOT_TEST_DATABASE_URL
}

# run_part PART [ARGUMENT…]: runs it and notes how long it took.
run_part() {
    local started=$SECONDS
    [[ $1 != hostile || -z $ASIDE ]] || started=$ASIDE_STARTED
    title "$1"
    part "$@"
    durations+=("$(printf '%-8s %4s s' "$1" $((SECONDS - started)))")
}

part() {
    case $1 in
        lint)
            ensure_rust_component fmt
            ensure_rust_component clippy
            check "The code is formatted" cargo fmt --check
            check "Clippy finds nothing" cargo clippy --locked --all-targets -- -D warnings
            ;;
        sqlx) check ".sqlx/ describes the current queries" "$ROOT/scripts/sqlx-prepare.sh" --check ;;
        unit) tests unit --lib --bins -- "${@:2}" ;;
        it)
            test_database
            # Some wait, for a process or a limit: one more at a time than there are processors.
            NEXTEST_TEST_THREADS=$(($(nproc) + 1)) RUST_TEST_THREADS=$(($(nproc) + 1)) tests it --test '*' -- "${@:2}"
            ;;
        doc) counted doc cargo test --locked --doc -- "${@:2}" ;;
        story) story "${@:2}" ;;
        hostile) hostile ;;
        chart) counted chart "$ROOT/scripts/chart-test.sh" "${@:2}" ;;
        debian)
            step "Building matrixbot" "${BUILD_FOR_TESTS[@]}" || { count debian 1 /dev/null && return 0; }
            counted debian "$ROOT/scripts/debian-test.sh" "${@:2}"
            ;;
        supply) check "Every dependency is allowed" "$ROOT/scripts/supply-chain.sh" check --offline ;;
        scripts) scripts "${@:2}" ;;
        *) die "there is no part $1; see scripts/test.sh --help" ;;
    esac
}

# Starts hostile in a process group of its own.
start_hostile() {
    ASIDE_STARTED=$SECONDS
    set -m
    "${HOSTILE[@]}" >"$SCRATCH/hostile.log" 2>&1 </dev/null &
    ASIDE=$!
    set +m
}

hostile() {
    local status=0
    [[ -n $ASIDE ]] || { counted hostile "${HOSTILE[@]}" && return; }
    wait "$ASIDE" || status=$?
    ASIDE=''
    cat "$SCRATCH/hostile.log"
    count hostile "$status" "$SCRATCH/hostile.log"
}

scripts() {
    local bin schema
    bin=$(checks_venv)/bin
    check "Shellcheck finds nothing" "$bin/shellcheck" -x .ci/run scripts/*.sh scripts/lib/*.sh \
        packaging/debian/{postinst,prerm,postrm}
    check "Hadolint finds nothing" "$bin/hadolint" Dockerfile scripts/integration/Dockerfile
    for schema in circle-ci:.circleci/config.yml compose-spec:compose.yaml; do
        check "${schema#*:} follows its schema" "$bin/check-jsonschema" --builtin-schema "vendor.${schema%%:*}" "${schema#*:}"
    done
    check "The configuration's schema is valid" "$bin/check-jsonschema" --check-metaschema docs/config.schema.json
    check "The example follows the configuration's schema" "$bin/check-jsonschema" --schemafile docs/config.schema.json \
        --default-filetype yaml config.yaml.example
    MATRIXBOT_BINARY=$(matrixbot_bin)
    export MATRIXBOT_BINARY
    counted scripts env PYTHONDONTWRITEBYTECODE=1 "$bin/python" -m pytest -n auto scripts/pipeline "$@"
}

story() {
    STACK_DIR=$SCRATCH/stack
    STACK_BINARY=${CARGO_TARGET_DIR:-$ROOT/target}/debug/matrixbot
    local port ports=(SYNAPSE_PORT ALERTMANAGER_PORT STACK_PEER_PORT APPSERVICE_PORT WEBHOOK_PORT ADMIN_PORT)
    [[ ${1:-} == --direct ]] || ports+=(STACK_POOLER_PORT)
    for port in "${ports[@]}"; do
        printf -v "$port" '%s' "$(free_port)"
    done
    step "Building matrixbot" "${BUILD_FOR_TESTS[@]}" || { count story 1 /dev/null && return 0; }
    stack_start || { count story 1 /dev/null && return 0; }
    local before=$failed
    counted story stack_play
    counted shell stack_operate
    counted client stack_client
    if [[ -n $STACK_POOLER_PORT ]]; then counted pooler stack_pooled_starts; fi
    if ((failed > before)); then tail -n 40 "$STACK_DIR/matrixbot.log" | sed 's/^/  | /' >&2; fi
}

case ${1:-all} in
    -h | --help) usage "${BASH_SOURCE[0]}" && exit 0 ;;
    all) selected=("${PARTS[@]}") ;;
    fast) selected=(lint unit) ;;
    *) selected=("$1") ;;
esac

needs=(rust)
for part in "${selected[@]}"; do
    case $part in
        sqlx | it) needs+=(postgres) ;;
        story)
            needs+=(python postgres alertmanager synapse)
            [[ ${2:-} == --direct ]] || needs+=(pgbouncer)
            ;;
        hostile) needs+=(python postgres synapse) ;;
        supply) needs+=(python) ;;
        chart | scripts) needs+=(python checks) ;;
    esac
done
mapfile -t needs < <(printf '%s\n' "${needs[@]}" | sort -u)
ensure "${needs[@]}"
umask 022
mkdir -p .test
SCRATCH=$(mktemp -d "$ROOT/.test/run.XXXXXX")
chmod 711 "$SCRATCH"
trap on_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

for part in "${selected[@]}"; do
    [[ ${1:-all} != all || $part != chart ]] || start_hostile
    run_part "$part" "${@:2}"
done

say ""
printf '%s\n' "${durations[@]}" >&2
say ""
for failure in "${failures[@]}"; do warn "$failure"; done
printf '%s passed, %s failed\n' "$passed" "$failed"
((failed == 0))
