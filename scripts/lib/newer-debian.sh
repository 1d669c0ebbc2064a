# shellcheck shell=bash
# Programs of a newer Debian than this machine's. They are unpacked beside the system with the libraries that they need;
# nothing is installed. Sourced after install.sh, never run.
#
# A program of a later release than trixie is named with it: prometheus-alertmanager_forky.

newer_debian_release() { if [[ $1 == *_* ]]; then printf '%s\n' "${1#*_}"; else echo trixie; fi; }

# The packages of a program. Apt verifies each by Debian's signature; on amd64 the checksums pin them as well.
newer_debian_packages() {
    case $1 in
        pgbouncer)
            cat <<'LIST'
19a7df742f9c664ac88d04c5327ed97266844fd900ea7ccf0d8f6ddf27eca0db  pgbouncer=1.24.1-1+deb13u2
b59b0625cd1a791375d40dab23a4d5d3d0641e3d0a773501becdc3725b7f99cf  libc6=2.41-12+deb13u5
acbe0ab2f6e5b41aabf9e03b6a65ca3fb0d48aeccc4550c418e3349b3008360a  libcares2=1.34.9-1~deb13u1
9a2a9a6c4ceaafe280f8f39ffa217bb50719c5e79feb75f412755c4036a76ca0  libevent-2.1-7t64=2.1.13-stable-1~deb13u1
4f5bde27d8df2de6ea8990319b42d9974f56a3ba9907ce7296fd0f8964fc9fb1  libpam0g=1.7.0-5
ffefb9af363e0e4592251b2533eb06453c8e470f7772e40263c4b2129251a6d5  libssl3t64=3.5.9-1~deb13u1
ab0d4127b5e46e6f8c015a1db15a62ba9ae274cdefa150083adf90ada0600ea1  libsystemd0=257.13-1~deb13u1
LIST
            ;;
        prometheus-alertmanager)
            cat <<'LIST'
76ee08c2bf686fa32ca243d099b6bfc6cb00074e9337c18ef73154b60c5830a9  prometheus-alertmanager=0.28.1+ds-1
b59b0625cd1a791375d40dab23a4d5d3d0641e3d0a773501becdc3725b7f99cf  libc6=2.41-12+deb13u5
LIST
            ;;
        # forky is not released yet, so that its mirror may have newer ones.
        prometheus-alertmanager_forky)
            cat <<'LIST'
ec1be21dd7ffeec3d6f42dd1cc8e97b8a9e93888f1953b4fb4cb9234be70185f  prometheus-alertmanager=0.33.1-5
5c71715c51103beb4fbba9fe9f8dff604af6610dfa71c70bff342f54a7860803  libc6=2.43-7
LIST
            ;;
        *) die "There is no list of packages for $1." ;;
    esac
}

newer_debian_dir() { venv_dir "$1" "$(newer_debian_packages "$1")"; }

# private_apt DIR RELEASE: an apt of its own that knows only that Debian, from the mirror that this machine uses.
private_apt() {
    local dir=$1 release=$2 mirror
    # shellcheck disable=SC2016 # apt expands them.
    mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' |
        awk '$1 == "Debian" && $2 !~ /security/ { print $2; exit }')
    [[ -n $mirror ]] || die "This machine's apt has no mirror of Debian."
    mkdir -p "$dir"/{lists,cache/archives}/partial
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$mirror" "$release" \
        >"$dir/sources.list"
    cat >"$dir/apt.conf" <<CONF
Dir::Etc::SourceList "$dir/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "$dir/lists";
Dir::Cache "$dir/cache";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
CONF
    export APT_CONFIG=$dir/apt.conf
}

# unpack_newer_debian NAME DIR: DIR/complete exists only if it succeeded.
unpack_newer_debian() (
    set -e
    name=$1 dir=$2 release=$(newer_debian_release "$1")
    have apt-get || die "Missing: $name." "This is not Debian, so the tests need --direct."
    rm -rf "$dir"
    mkdir -p "$dir/packages" "$dir/root"
    private_apt "$dir/apt" "$release"
    apt-get update
    cd "$dir/packages"
    while read -r sum package; do
        apt-get download "$package" || {
            warn "$package is no longer on the mirror; using the newest one of $release."
            apt-get download "${package%%=*}"
            continue
        }
        file=$(echo "${package%%=*}"_*.deb)
        [[ $file != *_amd64.deb ]] || sha256sum --check --quiet <<<"$sum  $file"
    done < <(newer_debian_packages "$name")
    for file in *.deb; do dpkg-deb -x "$file" "$dir/root"; done
    rm -rf "$dir/apt" "$dir/packages"
    touch "$dir/complete"
)

install_newer_debian() {
    local dir
    dir=$(newer_debian_dir "$1")
    [[ -e $dir/complete ]] || step "Unpacking ${1%%_*} of Debian $(newer_debian_release "$1") into $dir" unpack_newer_debian "$1" "$dir"
}

# newer_debian_command NAME: the words that start it, with its own loader and libraries, one a line.
newer_debian_command() {
    local unpacked libraries program
    unpacked=$(newer_debian_dir "$1")/root
    libraries=$(echo "$unpacked"/usr/lib/*-linux-gnu*)
    program=$(echo "$unpacked"/usr/*bin/"${1%%_*}")
    printf '%s\n' "$(echo "$libraries"/ld-linux-*.so.*)" --library-path "$libraries" "$program"
}
