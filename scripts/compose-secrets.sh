#!/usr/bin/env bash
# Creates the secrets of compose.yaml: the registration, the database's password and URL, the webhook token.
#
#   scripts/compose-secrets.sh --server-name example.org [--url http://127.0.0.1:9009]
#
# --url is matrixbot's URL for the homeserver. Existing files stay. Only the owner can enter the folder; its files are
# readable, because Docker mounts them with their modes for the containers' users.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

DIR=${COMPOSE_SECRETS:-$ROOT/deploy/compose/secrets}
server_name='' url=http://127.0.0.1:9009
while (($#)); do
    case $1 in
        -h | --help) usage "${BASH_SOURCE[0]}" && exit 0 ;;
        --server-name) server_name=${2:?--server-name needs a name} && shift ;;
        --url) url=${2:?--url needs a URL} && shift ;;
        *) die "unknown option $1; see scripts/compose-secrets.sh --help" ;;
    esac
    shift
done
[[ -n $server_name ]] || die "--server-name is missing: the part after the colon in your user ids."
[[ $server_name =~ ^[A-Za-z0-9.:-]+$ ]] || die "$server_name is not a homeserver name."

# make NAME COMMAND…: a file with the output of COMMAND, unless it exists.
make() {
    [[ -s $DIR/$1 ]] && return
    "${@:2}" >"$DIR/$1.new"
    chmod 644 "$DIR/$1.new"
    mv "$DIR/$1.new" "$DIR/$1"
    say "Created $DIR/$1"
}

database_url() { printf 'postgres://matrixbot:%s@postgres/matrixbot' "$(<"$DIR/database-password")"; }

registration() {
    sed -e "s|^url: .*|url: $url|" -e "s|REPLACE_WITH_A_RANDOM_TOKEN|$(random_secret)|" \
        -e "s|REPLACE_WITH_ANOTHER_ONE|$(random_secret)|" -e "s|example\\\\.org|${server_name//./\\\\.}|" \
        "$ROOT/registration.yaml.example"
}

umask 077
mkdir -p "$DIR"
chmod 700 "$DIR"
make database-password random_secret
make database-url database_url
make webhook-token random_secret
make registration.yaml registration
# It contains no secret, and the container's user must be able to read it.
chmod a+r "$ROOT/deploy/compose/config.yaml"
