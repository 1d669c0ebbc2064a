#!/usr/bin/env bash
# Tests the Debian package of scripts/debian-package.sh. The last line counts passed and failed checks.
#
#   scripts/debian-test.sh            contents, dependencies, the unit, the configuration in the package
#   scripts/debian-test.sh machine    in addition, on a Debian 12 booted for it: install, run, reload, upgrade, remove,
#                                     purge; needs root, downloads 150 MB, takes some minutes
#
# The program is MATRIXBOT_BINARY, or the debug build. Without dpkg-deb it tests nothing and prints so.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/install.sh
source "$ROOT/scripts/lib/install.sh"

cd "$ROOT"
BINARY=${MATRIXBOT_BINARY:-${CARGO_TARGET_DIR:-$ROOT/target}/debug/matrixbot}
SUITE=bookworm
passed=0 failed=0 SCRATCH='' MACHINE=''

on_exit() {
    trap '' INT TERM HUP
    stop_step
    [[ -z $MACHINE ]] || { kill "$MACHINE" 2>/dev/null && wait "$MACHINE" 2>/dev/null; } || true
    [[ -z $SCRATCH ]] || rm -rf "$SCRATCH"
}

# check "Description" COMMAND…
check() { if step "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi; }

# --- without a machine -------------------------------------------------------------------------------

package() { "$ROOT/scripts/debian-package.sh" --uncompressed --binary "$BINARY" --output "$SCRATCH/$1" --revision "$2"; }
same_twice() { cmp "$FIRST" "$(package again 1)"; }
field() { dpkg-deb --field "$FIRST" "$1"; }
depends_on() { [[ ", $(field Depends)," == *", $1"[,\ ]* ]] || { field Depends && return 1; }; }
is_configuration() { [[ $(dpkg-deb --ctrl-tarfile "$FIRST" | tar -xO ./conffiles) == /etc/matrixbot/config.yaml ]]; }
contains() {
    local file
    for file; do [[ -s $TREE/$file ]] || { echo "$file is missing" && return 1; }; done
}
is_readable() { gzip -dc "$TREE/usr/share/man/man1/$1.1.gz" | grep -q '^\.TH matrixbot'; }
bash_completes() { bash -c 'source "$1" && complete -p matrixbot' - "$TREE/usr/share/bash-completion/completions/matrixbot"; }
notices_are_complete() { "$ROOT/scripts/supply-chain.sh" notices --check; }
lintian_finds_nothing() {
    lintian --allow-root --fail-on error,warning \
        --suppress-tags uses-no-compression-for-control-tarball,uses-no-compression-for-data-tarball "$FIRST"
}

# systemd requires the program to exist.
unit_is_valid() {
    sed "s|/usr/bin/matrixbot|$TREE&|" packaging/matrixbot.service >"$SCRATCH/matrixbot.service"
    # Ignore findings about other units of this machine.
    systemd-analyze verify --man=no "$SCRATCH/matrixbot.service" 2>&1 | grep 'matrixbot.service' || return 0
    return 1
}
unit_is_hardened() { systemd-analyze security --offline=true --threshold=15 packaging/matrixbot.service; }

program_check() { (cd "$TREE/etc/matrixbot" && "$TREE/usr/bin/matrixbot" check --config config.yaml 2>&1); }
refused_until_set_up() {
    local output status=0
    output=$(program_check) || status=$?
    [[ $status == 2 && $output == *registration.yaml* && $output == *finance-webhook-token* ]] || { echo "$status: $output" && return 1; }
}
accepted_once_set_up() {
    "$TREE/usr/bin/matrixbot" registration --url http://127.0.0.1:9009 --server-name example.org \
        --output "$TREE/etc/matrixbot/registration.yaml" && random_secret >"$TREE/etc/matrixbot/finance-webhook-token" &&
        program_check
}

without_a_machine() {
    check "The package is created" package first 1
    FIRST=$(find "$SCRATCH/first" -name '*.deb')
    [[ -n $FIRST ]] || return 0
    TREE=$SCRATCH/unpacked
    dpkg-deb -x "$FIRST" "$TREE"
    check "A second build is identical" same_twice
    check "Its name is matrixbot" test "$(field Package)" = matrixbot
    check "It depends on the C library" depends_on libc6
    check "It depends on adduser" depends_on adduser
    check "It depends on certificates" depends_on ca-certificates
    check "The configuration is a conffile" is_configuration
    check "It contains program, unit, manual, completions, documents and licences" contains usr/bin/matrixbot \
        usr/lib/systemd/system/matrixbot.service usr/share/man/man1/matrixbot.1.gz usr/share/man/man1/matrixbot-run.1.gz \
        usr/share/bash-completion/completions/matrixbot usr/share/zsh/vendor-completions/_matrixbot \
        usr/share/fish/vendor_completions.d/matrixbot.fish usr/share/doc/matrixbot/copyright \
        usr/share/doc/matrixbot/changelog.gz usr/share/doc/matrixbot/changelog.Debian.gz \
        usr/share/doc/matrixbot/THIRD-PARTY.md.gz usr/share/doc/matrixbot/docs/DEBIAN.md \
        usr/share/doc/matrixbot/examples/config.yaml usr/share/doc/matrixbot/examples/alerts.yaml
    check "The manual is readable" is_readable matrixbot
    check "Completion works in bash" bash_completes
    check "It has the licences of all libraries" notices_are_complete
    check "matrixbot rejects the unfinished configuration, with every reason" refused_until_set_up
    check "matrixbot accepts it after registration and token are created" accepted_once_set_up
    if have systemd-analyze; then
        check "The unit is valid for systemd" unit_is_valid
        check "The unit is hardened" unit_is_hardened
    else
        say "systemd-analyze is missing: the unit is not checked."
    fi
    if have lintian; then
        check "Lintian finds nothing" lintian_finds_nothing
    else
        say "lintian is missing: Debian's policy is not checked."
    fi
}

# --- on a machine ------------------------------------------------------------------------------------

make_machine() {
    debootstrap --variant=minbase \
        --include=systemd,systemd-sysv,dbus,adduser,ca-certificates,postgresql,procps,man-db,curl "$SUITE" "$SCRATCH/machine"
    mkdir "$SCRATCH/machine/root/packages"
    package first 1
    package second 2
    cp "$SCRATCH"/first/*.deb "$SCRATCH"/second/*.deb "$SCRATCH/machine/root/packages/"
    cp "$ROOT/scripts/lib/debian-life.sh" "$SCRATCH/machine/root/life.sh"
}

# inside COMMAND…: on the machine.
inside() {
    local init
    init=$(pgrep -P "$MACHINE" | head -n 1)
    nsenter -t "$init" -a -- env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

is_up() {
    local tries=0
    until inside systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded' &&
        inside runuser -u postgres -- psql -c 'SELECT 1' >/dev/null 2>&1; do
        ((tries++ < 120)) || return 1
        sleep 0.5
    done
}

on_a_machine() {
    is_root || die "Only root can create a machine."
    if ! have debootstrap || ! have systemd-nspawn; then install_packages debootstrap systemd-container; fi
    step "Creating a Debian machine" make_machine || { failed=$((failed + 1)) && return 0; }
    # It has its own empty network, and is not registered with the systemd of this machine.
    systemd-nspawn --register=no --keep-unit --private-network --boot --console=pipe -D "$SCRATCH/machine" \
        >"$SCRATCH/machine.log" 2>&1 </dev/null &
    MACHINE=$!
    check "The machine is running" is_up
    local act
    for act in install start_unconfigured set_up serve reload refuse_to_reload survive refuse_to_upgrade upgrade hand_over_credentials \
        remove come_back purge; do
        check "On the machine: ${act//_/ }" inside bash /root/life.sh "$act"
    done
}

case ${1:-} in
    '' | machine) ;;
    -h | --help) usage "${BASH_SOURCE[0]}" && exit 0 ;;
    *) die "unknown option $1; see scripts/debian-test.sh --help" ;;
esac
if ! have dpkg-deb; then
    say "dpkg-deb is missing: the Debian package is not tested."
    echo "0 passed, 0 failed"
    exit 0
fi
[[ -x $BINARY ]] || step "Building matrixbot" env SQLX_OFFLINE=true cargo build --locked --bin matrixbot
trap on_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/matrixbot-debian.XXXXXX")
chmod 755 "$SCRATCH"
FIRST='' TREE=''
without_a_machine
[[ ${1:-} != machine ]] || on_a_machine
echo "$passed passed, $failed failed"
((failed == 0))
