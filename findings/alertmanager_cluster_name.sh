#!/usr/bin/env bash
# Alertmanager's `cluster.name` in GET /api/v2/status is not the name of a cluster.
#
# Expected: peers of one cluster answer the same `cluster.name`, so that a client can notice by another name that two
#   addresses lead to different clusters, as the field's name and the word "cluster" around it suggest.
# Real: each process makes a name of its own (a ULID) at every start. Two peers of one ready pair have different names, and
#   one that restarts has another name than before. What they share is the list `cluster.peers`, which holds the names of all.
# Version: Alertmanager 0.25.0 of Debian 12.
# Why it matters: a client that compares names warns about every healthy pair, and after every restart. Two addresses
#   belong to one cluster if each one's `cluster.peers[].name` has the other's `cluster.name`.
#
# Needs apt-get, dpkg-deb, curl, python3. Prints what it sees; exit status 1 if that has changed.
set -euo pipefail

VERSION=0.25.0-1
DIR=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; wait 2>/dev/null; rm -rf "$DIR"' EXIT

cd "$DIR"
apt-get download -qq "prometheus-alertmanager=$VERSION*" 2>/dev/null || apt-get download -qq prometheus-alertmanager
dpkg-deb -x ./*.deb .
printf 'route: {receiver: none}\nreceivers: [{name: none}]\n' > config.yaml
usr/bin/prometheus-alertmanager --version 2>&1 | head -1

# start NAME PORT PEER_PORT OTHER_PEER_PORT
start() {
    mkdir -p "$1"
    usr/bin/prometheus-alertmanager --config.file=config.yaml --storage.path="$1" --web.listen-address="127.0.0.1:$2" \
        --cluster.listen-address="127.0.0.1:$3" --cluster.peer="127.0.0.1:$4" --cluster.settle-timeout=1s \
        > "$1.log" 2>&1 &
    pids+=($!)
}

status() { curl -fsS "http://127.0.0.1:$1/api/v2/status"; }

# pair: waits until both have two peers, and prints "name of A, name of B, peers of A, peers of B" as JSON.
pair() {
    for _ in $(seq 100); do
        if status "$A" > a.json 2>/dev/null && status "$B" > b.json 2>/dev/null && python3 - <<'PY'; then
import json
a, b = (json.load(open(f"{name}.json"))["cluster"] for name in "ab")
if len(a["peers"]) != 2 or len(b["peers"]) != 2:
    raise SystemExit(1)
names = [sorted(peer["name"] for peer in one["peers"]) for one in (a, b)]
print(json.dumps({"a": a["name"], "b": b["name"], "peers_of_a": names[0], "peers_of_b": names[1]}))
PY
            return
        fi
        sleep 0.2
    done
    echo "the pair did not form" >&2
    return 1
}

read -r A B PA PB < <(python3 - <<'PY'
import socket
sockets = [socket.socket() for _ in range(4)]
for one in sockets:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in sockets))
PY
)
start a "$A" "$PA" "$PB"
start b "$B" "$PB" "$PA"
first=$(pair)
echo "a pair:          $first"
kill "${pids[1]}"
wait "${pids[1]}" 2>/dev/null || true
start b "$B" "$PB" "$PA"
second=
for _ in $(seq 100); do
    second=$(pair)
    [[ $(python3 -c 'import json,sys; print(json.loads(sys.argv[1])["b"] == json.loads(sys.argv[2])["b"])' "$first" "$second") == True ]] || break
    sleep 0.2
done
echo "after a restart: $second"
python3 - "$first" "$second" <<'PY'
import json, sys
first, second = map(json.loads, sys.argv[1:])
assert first["a"] != first["b"], "peers of one cluster have one name now"
assert first["peers_of_a"] == first["peers_of_b"] == sorted([first["a"], first["b"]]), "the peers differ"
assert first["a"] == second["a"] and first["b"] != second["b"], "the name outlives a restart now"
print("as described: each process has a name of its own, and another one after a restart")
PY
