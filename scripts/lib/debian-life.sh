#!/usr/bin/env bash
# life.sh ACT: one step in the life of the package; scripts/debian-test.sh runs it on a machine of its own.
set -euxo pipefail

cd /
packages=(/root/packages/*.deb)
config=/etc/matrixbot/config.yaml

# never COMMAND…: fails if it succeeds; a plain `!` would not end the script.
never() { if "$@"; then return 1; fi; }
main_process() { systemctl show matrixbot -p MainPID --value; }
is_active() { systemctl --quiet is-active matrixbot; }
alive() {
    local tries=0
    until curl -fsS http://127.0.0.1:9011/livez; do
        ((tries++ < 50)) || return 1
        sleep 0.2
    done
}
# It listens before it has connected to the database.
migrated() {
    local tries=0
    until curl -sS http://127.0.0.1:9011/readyz | grep -F '"migrations":{"ok":true'; do
        ((tries++ < 50)) || return 1
        sleep 0.2
    done
}
break_configuration() { sed -i 's/escalate_after: 15m/escalate_aftr: 15m/' "$config"; }
fix_configuration() { sed -i 's/escalate_aftr: 15m/escalate_after: 15m/' "$config"; }

install() {
    apt-get install -y "${packages[0]}"
    [[ $(stat -c '%U:%G %a' "$config") == 'root:matrixbot 640' ]]
    # Nothing is started or enabled.
    never is_active
    never systemctl --quiet is-enabled matrixbot
    man matrixbot | grep -q Alertmanager
}

# It exits once with status 2, and systemd does not restart it.
start_unconfigured() {
    systemctl start matrixbot
    sleep 5
    [[ $(systemctl show matrixbot -p ActiveState,NRestarts,ExecMainStatus --value | sort | xargs) == '0 2 failed' ]]
}

# The steps of docs/DEBIAN.md.
set_up() {
    runuser -u postgres -- createuser matrixbot
    runuser -u postgres -- createdb --owner matrixbot matrixbot
    cd /etc/matrixbot
    matrixbot registration --url http://127.0.0.1:9009 --server-name example.org --output registration.yaml
    openssl rand -hex 32 >finance-webhook-token
    chgrp matrixbot registration.yaml finance-webhook-token
    chmod 640 registration.yaml finance-webhook-token
    runuser -u matrixbot -- matrixbot check --config "$config"
}

# With the local database and peer authentication, despite the restrictions of the unit.
serve() {
    systemctl enable --now matrixbot
    alive
    migrated
    curl -sS http://127.0.0.1:9011/metrics | grep -E '^process_start_time_seconds [1-9]'
    curl -fsS -H "Authorization: Bearer $(cat /etc/matrixbot/finance-webhook-token)" -H 'Content-Type: application/json' \
        -d '{"version": "4", "groupKey": "{}:{}", "status": "firing", "receiver": "finance", "groupLabels": {},
             "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://localhost",
             "alerts": [{"status": "firing", "labels": {"alertname": "DiskFull"}, "annotations": {},
                         "startsAt": "2026-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z"}]}' \
        http://127.0.0.1:9010/webhook/finance
    grep -E '^CapBnd:\s+0+$' "/proc/$(main_process)/status"
}

reload() { systemctl reload matrixbot; }

refuse_to_reload() {
    break_configuration
    never systemctl reload matrixbot
    is_active
}

# systemd restarts a killed process.
survive() {
    fix_configuration
    kill -KILL "$(main_process)"
    sleep 1
    alive
}

refuse_to_upgrade() {
    local before
    before=$(main_process)
    break_configuration
    apt-get install -y "${packages[1]}"
    fix_configuration
    [[ $(main_process) == "$before" ]]
}

upgrade() {
    local before
    before=$(main_process)
    apt-get install -y --reinstall "${packages[1]}"
    alive
    [[ $(main_process) != "$before" ]]
}

hand_over_credentials() {
    mkdir -p /root/matrixbot /etc/systemd/system/matrixbot.service.d
    mv /etc/matrixbot/registration.yaml /root/matrixbot/registration
    mv /etc/matrixbot/finance-webhook-token /root/matrixbot/
    chown root:root /root/matrixbot/*
    chmod 600 /root/matrixbot/*
    cat >/etc/systemd/system/matrixbot.service.d/override.conf <<'END'
[Service]
LoadCredential=registration:/root/matrixbot/registration
LoadCredential=finance-webhook-token:/root/matrixbot/finance-webhook-token
ExecReload=
ExecReload=/bin/kill -HUP $MAINPID
END
    # shellcheck disable=SC2016 # matrixbot expands the variable.
    sed -i -e 's|registration: registration.yaml|registration: ${CREDENTIALS_DIRECTORY}/registration|' \
        -e 's|webhook_token_file: finance|webhook_token_file: ${CREDENTIALS_DIRECTORY}/finance|' "$config"
    systemctl daemon-reload
    systemctl restart matrixbot
    alive
    systemctl reload matrixbot
    sleep 1
    journalctl -u matrixbot -o cat --no-pager | tail -n 20 | grep -F 'the configuration was reloaded'
    CREDENTIALS_DIRECTORY=/root/matrixbot matrixbot check --config "$config"
}

remove() {
    apt-get remove -y matrixbot
    never is_active
    [[ -f $config && ! -e /usr/bin/matrixbot ]]
}

# With its configuration, enabled as before, but not started.
come_back() {
    apt-get install -y "${packages[0]}"
    systemctl --quiet is-enabled matrixbot
    never is_active
    systemctl start matrixbot
    alive
}

# Files and data of the administrator stay.
purge() {
    touch /etc/matrixbot/mine
    apt-get purge -y matrixbot
    [[ ! -e $config && -e /etc/matrixbot/mine ]]
    [[ ! -e /etc/systemd/system/multi-user.target.wants/matrixbot.service && ! -e /usr/share/doc/matrixbot ]]
    [[ $(runuser -u postgres -- psql -At -c 'SELECT count(*) FROM incident' matrixbot) == 1 ]]
}

"$1"
