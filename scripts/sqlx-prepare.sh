#!/usr/bin/env bash
# Updates .sqlx/, the descriptions of all queries, against which the build checks the code without a database. Run it
# after changing a query or adding a migration.
#
#   scripts/sqlx-prepare.sh           writes .sqlx/
#   scripts/sqlx-prepare.sh --check   only checks; exit status 1 if .sqlx/ is outdated
#
# It applies migrations/ to a private, empty Postgres and lets sqlx's own macros describe the queries while
# the code compiles; sqlx-cli is not needed.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/install.sh
source "$ROOT/scripts/lib/install.sh"

cd "$ROOT"
SCRATCH=''

on_exit() {
    trap '' INT TERM HUP
    stop_step
    [[ -z $SCRATCH ]] || { "$ROOT/scripts/postgres.sh" remove "$SCRATCH/postgres" && rm -rf "$SCRATCH"; }
}

migrate() {
    local file
    for file in migrations/*.sql; do
        "$(postgres_bin)/psql" -X -q -1 -v ON_ERROR_STOP=1 -f "$file" "$1"
    done
}

# All queries are in the library. With a test, its dependencies are those of the tests (see BUILD_FOR_TESTS).
describe() {
    local status=0
    # The macros run only during compilation, so the library must be compiled again; nothing else must, so it gets its
    # date back.
    touch -r src/lib.rs "$SCRATCH/date"
    touch src/lib.rs
    DATABASE_URL=$1 SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$SCRATCH/queries cargo check --locked --lib --test layers || status=$?
    touch -r "$SCRATCH/date" src/lib.rs
    return "$status"
}

check=''
case ${1:-} in
    '') ;;
    --check) check=yes ;;
    -h | --help) usage "${BASH_SOURCE[0]}" && exit 0 ;;
    *) die "unknown option $1; see scripts/sqlx-prepare.sh --help" ;;
esac

ensure rust postgres
mkdir -p .test
SCRATCH=$(mktemp -d "$ROOT/.test/sqlx.XXXXXX")
trap on_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
chmod 711 "$SCRATCH"
mkdir "$SCRATCH/queries"
step "Starting Postgres" "$ROOT/scripts/postgres.sh" start "$SCRATCH/postgres" --fast
url=$("$ROOT/scripts/postgres.sh" url "$SCRATCH/postgres" matrixbot)
step "Applying migrations/" migrate "$url"
step "Describing the queries" describe "$url"

if [[ -n $check ]]; then
    if ! diff -rq .sqlx "$SCRATCH/queries" >&2; then
        die ".sqlx/ is outdated." "Please run scripts/sqlx-prepare.sh and commit the result."
    fi
    say ".sqlx/ describes all $(find .sqlx -type f | wc -l) queries."
else
    mkdir -p .sqlx
    find .sqlx -name 'query-*.json' -delete
    cp "$SCRATCH"/queries/query-*.json .sqlx/
    say "Wrote $(find .sqlx -type f | wc -l) queries to .sqlx/."
fi
