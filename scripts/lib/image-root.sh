#!/usr/bin/env bash
# image-root.sh ARCHITECTURE PROGRAM LICENCES DIR: writes the content of the image to DIR: the program, its libraries,
# certificate authorities, time zones, their licences, and a list of their packages. LICENCES is the folder with LICENSE
# and THIRD-PARTY.md.
#
# Dockerfile runs it, on Debian, as root. Packages are unpacked but not installed, so ARCHITECTURE (amd64 or arm64) may
# differ from this machine's. SOURCE_DATE_EPOCH sets the times of all files.
set -euo pipefail

architecture=$1 program=$(realpath -e "$2") licences=$3 dir=$4
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
umask 022

# apt must know the architecture of foreign packages first.
if [[ $architecture != "$(dpkg --print-architecture)" ]]; then dpkg --add-architecture "$architecture"; fi
apt-get -qq update
# apt would drop root's rights, and then could not write here.
(cd "$scratch" && apt-get -qq -o APT::Sandbox::User=root download "libc6:$architecture" "libgcc-s1:$architecture" \
    "gcc-12-base:$architecture" ca-certificates tzdata)

mkdir -p "$dir"/{etc/matrixbot,etc/ssl/certs,usr/bin,usr/share/doc/matrixbot,var/lib/dpkg/status.d}
for package in "$scratch"/*.deb; do
    name=$(dpkg-deb --field "$package" Package)
    dpkg-deb --extract "$package" "$scratch/root"
    # Vulnerability scanners read the packages of an image without a package manager here.
    dpkg-deb --field "$package" >"$dir/var/lib/dpkg/status.d/$name"
done
# The copyright of libgcc-s1 is a link to that of gcc-12-base.
for name in libc6 gcc-12-base ca-certificates tzdata; do
    install -D -m 644 "$scratch/root/usr/share/doc/$name/copyright" "$dir/usr/share/doc/$name/copyright"
done

install -m 755 "$program" "$dir/usr/bin/matrixbot"
install -m 644 "$licences/LICENSE" "$dir/usr/share/doc/matrixbot/copyright"
install -m 644 "$licences/THIRD-PARTY.md" "$dir/usr/share/doc/matrixbot/THIRD-PARTY.md"
loader=$(readelf --program-headers "$program" | sed -n 's/.*program interpreter: \(.*\)\]$/\1/p')
# The program's header names the path of the loader; the package may have a link there and the file elsewhere.
install -D -m 755 "$(find "$scratch/root" -type f -name "$(basename "$loader")")" "$dir$loader"
for library in $(readelf --dynamic "$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p'); do
    [[ $library != "$(basename "$loader")" ]] || continue
    found=$(find "$scratch/root" -name "$library" | head -n 1)
    [[ -n $found ]] || { echo "no package has $library" >&2 && exit 1; }
    install -D -m 644 "$(realpath "$found")" "$dir${found#"$scratch/root"}"
done

cat "$scratch"/root/usr/share/ca-certificates/mozilla/*.crt >"$dir/etc/ssl/certs/ca-certificates.crt"
cp -a "$scratch/root/usr/share/zoneinfo" "$dir/usr/share/"
# Copies of all zones with and without leap seconds, and tables.
rm -rf "$dir"/usr/share/zoneinfo/{posix,right,localtime,posixrules,leap*,*.tab,tzdata.zi}
printf 'root:x:0:0:root:/:/sbin/nologin\nmatrixbot:x:65532:65532:matrixbot:/:/sbin/nologin\n' >"$dir/etc/passwd"
printf 'root:x:0:\nmatrixbot:x:65532:\n' >"$dir/etc/group"
# Resolve names with /etc/hosts, then DNS; the C library has both built in.
printf 'hosts: files dns\n' >"$dir/etc/nsswitch.conf"

[[ -z ${SOURCE_DATE_EPOCH:-} ]] || find "$dir" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
