#!/usr/bin/env bash
# apt-install.sh PACKAGE…: installs Debian packages as root, without letting them run anything.
#
# Debian's postgresql makes a cluster and starts it, and prometheus-alertmanager starts a service now and
# at every boot. Here only the programs are wanted, so both are held back, and what holds them back is
# gone afterwards. A service that was there before is not touched.
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
# Out of reach of the signals that end a step: packages are never left half installed.
install() { setsid --wait apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@"; }

alertmanager_was_there=''
if installed prometheus-alertmanager; then alertmanager_was_there=yes; fi

# The package lists of a fresh machine are empty or old.
apt-get update || echo "The package lists could not be refreshed; trying with those that are here."

# invoke-rc.d asks this script and takes 101 for "may not". Somebody else's answer stays as it is.
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
