# shellcheck shell=bash
# Installs missing programs and nothing else. Sourced after common.sh, never run.

# shellcheck source=scripts/lib/newer-debian.sh
source "$ROOT/scripts/lib/newer-debian.sh"

SYNAPSE_REQUIREMENTS=$ROOT/scripts/synapse-requirements.txt
CHECKS_REQUIREMENTS=$ROOT/scripts/requirements.txt

# as_root COMMAND…: runs it as root, with sudo if necessary; fails if that is not possible.
as_root() {
    if is_root; then
        "$@"
    elif have sudo && { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; then
        sudo "$@"
    else
        return 126
    fi
}

# install_packages PACKAGE…: from Debian. No service is started or enabled, no cluster is created.
install_packages() {
    have apt-get || die "Missing: $*." "This is not Debian, so please install them with your own package manager."
    # sudo asks for the password here, because a step has no terminal.
    if ! is_root && have sudo && [[ -t 0 ]]; then sudo -v || true; fi
    as_root true || die "Missing Debian packages: $*." "Please run as root:  $ROOT/scripts/lib/apt-install.sh $*"
    step "Installing Debian packages: $*" as_root bash "$ROOT/scripts/lib/apt-install.sh" "$@"
}

# ensure THING…: rust, python, postgres, alertmanager, synapse, pgbouncer, checks. Installs what is missing, all at once.
ensure() {
    local thing missing=()
    for thing in "$@"; do
        case $thing in
            rust)
                have cargo || die "There is no Rust toolchain." "Please install one, for example by https://rustup.rs"
                choose_toolchain
                # Linking needs a C compiler.
                have cc || missing+=(gcc libc6-dev)
                ;;
            python | synapse | checks)
                python_bin >/dev/null || [[ ${missing[*]} == *python3-venv* ]] || missing+=(python3 python3-venv)
                ;;
            postgres) postgres_bin >/dev/null || missing+=(postgresql) ;;
            alertmanager) alertmanager_bin >/dev/null || missing+=(prometheus-alertmanager) ;;
            pgbouncer) ;;
            *) die "unknown program to install: $thing" ;;
        esac
    done
    ((${#missing[@]} == 0)) || install_packages "${missing[@]}"
    for thing in "$@"; do
        case $thing in
            synapse | checks) "install_$thing" ;;
            pgbouncer) install_newer_debian pgbouncer ;;
        esac
    done
}

# choose_toolchain: the one in rust-toolchain.toml, which rustup installs automatically if it may. Otherwise the installed
# stable one; cargo checks with `rust-version` whether that is new enough.
choose_toolchain() {
    cargo --version >/dev/null 2>&1 && return
    RUSTUP_TOOLCHAIN=stable cargo --version >/dev/null 2>&1 || die "The Rust toolchain of rust-toolchain.toml is not installed." \
        "Please run:  rustup toolchain install"
    export RUSTUP_TOOLCHAIN=stable
    warn "Rust $(sed -n 's/^channel = "\(.*\)"/\1/p' "$ROOT/rust-toolchain.toml") cannot be installed; using $(rustc --version)."
}

# postgres_bin: the folder with initdb and postgres of the newest release. Fails if there is none.
postgres_bin() {
    local dir
    while read -r dir; do
        if [[ -x $dir/initdb && -x $dir/postgres ]]; then
            printf '%s\n' "$dir"
            return
        fi
    done < <(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV; have pg_config && pg_config --bindir)
    return 1
}

# alertmanager_bin: Debian's name is prometheus-alertmanager, elsewhere it is alertmanager.
alertmanager_bin() { command -v prometheus-alertmanager || command -v alertmanager; }

# python_bin: a Python of at least 3.10 that can make virtual environments and has SQLite and TLS.
python_bin() {
    local candidate
    for candidate in python3 /usr/bin/python3; do
        if "$candidate" -c 'import ensurepip, sqlite3, ssl, sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# make_venv DIR PIP-ARGUMENTS…: creates a virtual environment; DIR/complete exists only if that succeeded.
make_venv() {
    local dir=$1
    shift
    rm -rf "$dir"
    mkdir -p "$(dirname "$dir")"
    "$(python_bin)" -m venv "$dir"
    "$dir/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check --only-binary :all: "$@"
    touch "$dir/complete"
}

# venv_dir NAME SEED: depends on the requirements (SEED), so that outdated environments are never used.
venv_dir() { printf '%s/%s-%s\n' "$CACHE" "$1" "$(cksum <<<"$2" | cut -d' ' -f1)"; }

synapse_venv() { venv_dir synapse "$(<"$SYNAPSE_REQUIREMENTS")"; }

install_synapse() {
    local dir version
    dir=$(synapse_venv)
    version=$(sed -n 's/^matrix-synapse==//p' "$SYNAPSE_REQUIREMENTS")
    [[ -e $dir/complete ]] || step "Installing Synapse $version into $dir" make_venv "$dir" -r "$SYNAPSE_REQUIREMENTS"
}

checks_venv() { venv_dir checks "$(<"$CHECKS_REQUIREMENTS")"; }

install_checks() {
    local dir
    dir=$(checks_venv)
    # Helm as a library claims to need a newer Python than it does.
    [[ -e $dir/complete ]] || step "Installing pytest, linters and Helm into $dir" \
        make_venv "$dir" --ignore-requires-python -r "$CHECKS_REQUIREMENTS"
}

# matrixbot_bin: MATRIXBOT_BINARY, or the debug build if there is one.
matrixbot_bin() {
    local debug=${CARGO_TARGET_DIR:-$ROOT/target}/debug/matrixbot
    if [[ -n ${MATRIXBOT_BINARY:-} ]]; then
        printf '%s\n' "$MATRIXBOT_BINARY"
    elif [[ -x $debug ]]; then
        printf '%s\n' "$debug"
    fi
}

# ensure_rust_component fmt|clippy
ensure_rust_component() {
    cargo "$1" --version >/dev/null 2>&1 && return
    have rustup || die "cargo $1 is missing." "Please install it, for example with your distribution's package."
    step "Installing the Rust component $1" rustup component add "${1/#fmt/rustfmt}"
}
