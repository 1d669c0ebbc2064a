#!/usr/bin/env bash
# apt-install.sh PACKAGE…: installs Debian packages as root, without starting services.
#
# Debian's postgresql creates and starts a cluster, and prometheus-alertmanager starts a service now and at every boot.
# The scripts need only the programs, so this prevents both during the installation. Existing services are not touched.
set -euo pipefail

export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
cluster_conf=/etc/postgresql-common/createcluster.conf
own_policy='' saved_conf=''

cleanup() {
    [[ -z $own_policy ]] || rm -f "$policy"
    [[ -z $saved_conf ]] || { cat "$saved_conf" >"$cluster_conf" && rm -f "$saved_conf"; }
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }
# In a session of its own: the signals that stop a step must not interrupt an installation.
install() { setsid --wait apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@"; }

alertmanager_was_there=''
if installed prometheus-alertmanager; then alertmanager_was_there=yes; fi

# The package lists of a fresh machine are empty or old.
apt-get update || echo "The package lists could not be updated; trying with the existing ones."

# invoke-rc.d runs this script, and 101 forbids starting services. An existing script stays.
if [[ ! -e $policy ]]; then
    own_policy=yes
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

for package in "$@"; do
    if [[ $package == postgresql ]]; then
        install postgresql-common
        saved_conf=$(mktemp)
        cat "$cluster_conf" >"$saved_conf"
        echo 'create_main_cluster = false' >>"$cluster_conf"
    fi
done
install "$@"

if [[ -z $alertmanager_was_there ]] && installed prometheus-alertmanager; then
    update-rc.d prometheus-alertmanager disable >/dev/null 2>&1 || true
fi
