#!/usr/bin/env bash
# Makes a Debian package of the program: binary, systemd unit, manual, completions, configuration, documents and
# licences. It runs on Debian 12 and later and is for the architecture of the machine that makes it.
#
#   scripts/debian-package.sh [OPTION…]    prints the path of the package
#
#   --binary FILE      the program; otherwise a release is built
#   --output DIR       where the package goes; otherwise target/debian
#   --revision N       the package's revision, for another package of the same release; otherwise 1
#   --uncompressed     for trying it out
#
# The same sources, binary and SOURCE_DATE_EPOCH (otherwise the time of the commit) make the same package, byte by byte.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/install.sh
source "$ROOT/scripts/lib/install.sh"

cd "$ROOT"
binary='' output=${CARGO_TARGET_DIR:-$ROOT/target}/debian revision=1 compression=(-Zxz)
while (($# > 0)); do
    case $1 in
        --binary) binary=$2 && shift ;;
        --output) output=$2 && shift ;;
        --revision) revision=$2 && shift ;;
        --uncompressed) compression=(-Znone) ;;
        -h | --help) usage "${BASH_SOURCE[0]}" && exit 0 ;;
        *) die "unknown option $1; see scripts/debian-package.sh --help" ;;
    esac
    shift
done

have dpkg-shlibdeps || install_packages dpkg-dev
if [[ -z $binary ]]; then
    ensure rust
    MATRIXBOT_COMMIT=$(git rev-parse --short HEAD 2>/dev/null || printf unknown) SQLX_OFFLINE=true \
        step "Building the release" cargo build --release --locked --bin matrixbot
    binary=${CARGO_TARGET_DIR:-$ROOT/target}/release/matrixbot
fi
[[ -x $binary ]] || die "$binary is not a program."

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
architecture=$(dpkg --print-architecture)
version=$("$binary" --version | cut -d' ' -f2)-$revision

SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/matrixbot-debian.XXXXXX")
trap 'rm -rf "$SCRATCH"' EXIT
tree=$SCRATCH/tree
doc=$tree/usr/share/doc/matrixbot

# put MODE FROM TO: a file of the package.
put() { install -D -m "$1" "$2" "$tree/$3"; }
# pack FILE…: as Debian wants changelogs and manuals, without the time.
pack() { gzip -9n "$@"; }

program() {
    put 755 "$binary" usr/bin/matrixbot
    # A build for development has its symbols still.
    strip --strip-unneeded --remove-section=.comment --remove-section=.note "$tree/usr/bin/matrixbot"
    put 644 packaging/matrixbot.service usr/lib/systemd/system/matrixbot.service
    put 644 packaging/debian/config.yaml etc/matrixbot/config.yaml
}

# What the program says about itself.
manual_and_completions() {
    "$binary" man --output "$tree/usr/share/man/man1"
    pack "$tree"/usr/share/man/man1/*.1
    local shell file
    while read -r shell file; do
        mkdir -p "$(dirname "$tree/$file")"
        "$binary" completions "$shell" >"$tree/$file"
    done <<END
bash usr/share/bash-completion/completions/matrixbot
zsh usr/share/zsh/vendor-completions/_matrixbot
fish usr/share/fish/vendor_completions.d/matrixbot.fish
END
}

documents() {
    local file
    for file in README.md docs/*.md docs/config.schema.json; do put 644 "$file" "usr/share/doc/matrixbot/$file"; done
    put 644 docs/images/room.png usr/share/doc/matrixbot/docs/images/room.png
    put 644 config.yaml.example usr/share/doc/matrixbot/examples/config.yaml
    put 644 registration.yaml.example usr/share/doc/matrixbot/examples/registration.yaml
    put 644 charts/matrixbot/files/alerts.yaml usr/share/doc/matrixbot/examples/alerts.yaml
    put 644 charts/matrixbot/files/dashboard.json usr/share/doc/matrixbot/examples/dashboard.json
    put 644 packaging/debian/copyright usr/share/doc/matrixbot/copyright
    put 644 packaging/THIRD-PARTY.md usr/share/doc/matrixbot/THIRD-PARTY.md
    put 644 packaging/debian/lintian-overrides usr/share/lintian/overrides/matrixbot
    put 644 CHANGELOG.md usr/share/doc/matrixbot/changelog
    cat >"$doc/changelog.Debian" <<END
matrixbot ($version) unstable; urgency=medium

  * See changelog.gz in the same folder.

 -- The matrixbot developers <matrixbot@users.noreply.github.com>  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
END
    pack "$doc/changelog" "$doc/changelog.Debian" "$doc/THIRD-PARTY.md"
}

# The libraries that the binary is linked against, in the versions that have what it uses.
library_dependencies() (
    mkdir "$SCRATCH/debian"
    printf 'Source: matrixbot\n\nPackage: matrixbot\nArchitecture: any\n' >"$SCRATCH/debian/control"
    cd "$SCRATCH"
    # It warns that no Debian source package is around.
    dpkg-shlibdeps -O -e"$tree/usr/bin/matrixbot" 2>"$SCRATCH/shlibdeps.log" | sed -n 's/^shlibs:Depends=//p'
)

control() {
    local script depends size
    depends=$(library_dependencies)
    [[ -n $depends ]] || die "dpkg-shlibdeps found no library that the program needs:" "$(<"$SCRATCH/shlibdeps.log")"
    mkdir "$tree/DEBIAN"
    size=$(du -k -s --apparent-size "$tree" | cut -f1)
    sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@SIZE@/$size/" \
        -e "s/@DEPENDS@/$depends/" packaging/debian/control >"$tree/DEBIAN/control"
    echo /etc/matrixbot/config.yaml >"$tree/DEBIAN/conffiles"
    for script in postinst prerm postrm; do put 755 "packaging/debian/$script" "DEBIAN/$script"; done
    (cd "$tree" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$tree/DEBIAN/md5sums"
    chmod 644 "$tree/DEBIAN/control" "$tree/DEBIAN/conffiles" "$tree/DEBIAN/md5sums"
}

umask 022
program
manual_and_completions
documents
control
mkdir -p "$output"
package=$output/matrixbot_${version}_$architecture.deb
dpkg-deb --root-owner-group "${compression[@]}" --build "$tree" "$package" >/dev/null
printf '%s\n' "$package"
