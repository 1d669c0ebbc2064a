#!/usr/bin/env bash
# An Alertmanager that reads its configuration again notifies alerts that are inhibited the whole time.
#
# Expected: an alert whose inhibitor is firing before, during and after POST /-/reload is not notified.
# Real: some reloads notify it. The groups are made anew, and because the alert is older than `group_wait` they are sent at
#   once, while the new inhibitor has not yet read the firing alerts that inhibit. A group whose key has been notified
#   before is spared by the notification log; one whose key is new (an edited `group_by`, as here) is sent.
# Version: Alertmanager 0.25.0 of Debian 12.
# Why it matters: a "firing" webhook is no proof that nothing holds the alert back. A receiver that follows inhibitions by
#   the API must ask again before it pages; GET /api/v2/alerts shows the alert as suppressed at that very moment.
#
# Needs apt-get, dpkg-deb, curl, python3. Prints what it sees; exit status 1 if that has changed.
set -euo pipefail

VERSION=0.25.0-1
ALERTS=2000
DIR=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; wait 2>/dev/null; rm -rf "$DIR"' EXIT

cd "$DIR"
apt-get download -qq "prometheus-alertmanager=$VERSION*" 2>/dev/null || apt-get download -qq prometheus-alertmanager
dpkg-deb -x ./*.deb .
usr/bin/prometheus-alertmanager --version 2>&1 | head -1

read -r PORT HOOK < <(python3 - <<'PY'
import socket
sockets = [socket.socket() for _ in range(2)]
for one in sockets:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in sockets))
PY
)

# configure LABEL: alerts are grouped by it and their name.
configure() {
    cat > config.yaml <<YAML
route: {receiver: hook, group_by: [alertname, $1], group_wait: 2s, group_interval: 5m, repeat_interval: 4h}
inhibit_rules: [{source_matchers: [role="inhibitor"], target_matchers: [role="target"], equal: [site]}]
receivers: [{name: hook, webhook_configs: [{url: "http://127.0.0.1:$HOOK/"}]}]
YAML
}

# Writes the number of targets of each webhook to the file `received`.
python3 - "$HOOK" > received <<'PY' &
import http.server, json, sys

class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        print(sum(one["labels"]["role"] == "target" for one in body["alerts"]), flush=True)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Hook).serve_forever()
PY
pids+=($!)
configure site
usr/bin/prometheus-alertmanager --config.file=config.yaml --storage.path=data --web.listen-address="127.0.0.1:$PORT" \
    --cluster.listen-address= > log 2>&1 &
pids+=($!)
until curl -fsS "http://127.0.0.1:$PORT/-/ready" > /dev/null 2>&1; do sleep 0.1; done

# send ROLE: alerts of this role, one of each site.
send() {
    python3 - "$1" "$ALERTS" "http://127.0.0.1:$PORT/api/v2/alerts" <<'PY'
import json, sys, urllib.request
role, number, url = sys.argv[1], int(sys.argv[2]), sys.argv[3]
alerts = [{"labels": {"alertname": role, "role": role, "site": f"s{one}", "rack": f"r{one}", "row": f"w{one}"}} for one in range(number)]
urllib.request.urlopen(urllib.request.Request(url, json.dumps(alerts).encode(), {"Content-Type": "application/json"})).close()
PY
}

suppressed() {
    curl -fsS "http://127.0.0.1:$PORT/api/v2/alerts?filter=role%3D%22target%22" |
        python3 -c 'import json,sys; print(sum(one["status"]["state"] == "suppressed" for one in json.load(sys.stdin)))'
}

send inhibitor
sleep 1
send target
sleep 5
echo "suppressed before: $(suppressed) of $ALERTS; notified: $(awk '{n += $1} END {print n + 0}' received)"
for label in rack row site,rack site,row; do
    configure "$label"
    curl -fsS -X POST "http://127.0.0.1:$PORT/-/reload"
    sleep 4
    echo "group_by [alertname, $label]: suppressed $(suppressed) of $ALERTS; notified so far: $(awk '{n += $1} END {print n + 0}' received)"
done
notified=$(awk '{n += $1} END {print n + 0}' received)
[[ $(suppressed) == "$ALERTS" ]] || { echo "the alerts are not inhibited any more" && exit 1; }
((notified > 0)) || { echo "an inhibited alert is not notified after a reload any more" && exit 1; }
echo "as described: $notified notifications of alerts that were inhibited the whole time"
