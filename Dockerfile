# The image: the program, its C library, certificate authorities and time zones; no shell, no package manager. A cross
# compiler builds it for linux/amd64 and linux/arm64 on either of them; no program of the target runs during the build.
#
#   scripts/image.sh build NAME     what the pipeline runs; see scripts/image.sh --help
#   docker build -t matrixbot .
#
# The base is pinned by digest; `docker buildx imagetools inspect rust:1.95.0-bookworm` prints the current one. Debian
# packages are the current ones of the stable release, or those of SNAPSHOT=20261101T000000Z: the same commit then gives
# the same image at any time.
ARG RUST_IMAGE=docker.io/library/rust:1.95.0-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1

FROM --platform=$BUILDPLATFORM ${RUST_IMAGE} AS base
ARG SNAPSHOT
# The signature of a snapshot may have expired.
RUN if [ -n "${SNAPSHOT:-}" ]; then \
        set -eu; \
        rm -f /etc/apt/sources.list.d/*; \
        for archive in "debian/$SNAPSHOT bookworm" "debian-security/$SNAPSHOT bookworm-security"; do \
            echo "deb [check-valid-until=no] http://snapshot.debian.org/archive/$archive main"; \
        done >/etc/apt/sources.list; \
    fi

FROM base AS build
ARG TARGETARCH
WORKDIR /source
# hadolint ignore=DL3008
RUN set -eu; \
    case "$TARGETARCH" in \
        amd64) cpu=x86_64 compiler=gcc-x86-64-linux-gnu ;; \
        arm64) cpu=aarch64 compiler=gcc-aarch64-linux-gnu ;; \
        *) echo "No image is available for $TARGETARCH." >&2; exit 1 ;; \
    esac; \
    if [ "$(gcc -dumpmachine)" != "$cpu-linux-gnu" ]; then \
        apt-get update; \
        apt-get install -y --no-install-recommends "$compiler" "libc6-dev-$TARGETARCH-cross"; \
        rm -rf /var/lib/apt/lists/*; \
        rustup target add "$cpu-unknown-linux-gnu"; \
    fi; \
    printf '[build]\ntarget = "%s-unknown-linux-gnu"\n\n[target.%s-unknown-linux-gnu]\nlinker = "%s-linux-gnu-gcc"\n' \
        "$cpu" "$cpu" "$cpu" >>"$CARGO_HOME/config.toml"
# The dependencies, in a layer of their own, with an empty program. Tests are not in the context, so they are removed from
# the manifest.
COPY Cargo.toml Cargo.lock ./
RUN set -eu; \
    sed -i '/^\[\[\(test\|bench\|example\)\]\]$/,/^$/d' Cargo.toml; \
    mkdir src; \
    touch src/lib.rs; \
    echo 'fn main() {}' >src/main.rs; \
    cargo build --release --locked --bin matrixbot
COPY . /context
# The commit in `--version` and in the metric matrixbot_build_info.
ARG REVISION=unknown
# Cargo compares ages, and the copied sources are older than the build of the empty program.
RUN set -eu; \
    rm -r src /context/Cargo.*; \
    cp -a /context/. .; \
    find src -type f -exec touch {} +; \
    MATRIXBOT_COMMIT="$REVISION" SQLX_OFFLINE=true cargo build --release --locked --bin matrixbot; \
    install -D -m 755 target/*/release/matrixbot /out/matrixbot

FROM base AS root
ARG TARGETARCH
COPY scripts/lib/image-root.sh LICENSE packaging/THIRD-PARTY.md /context/
COPY --from=build /out /out
ARG SOURCE_DATE_EPOCH
RUN /context/image-root.sh "$TARGETARCH" /out/matrixbot /context /image

FROM scratch
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="matrixbot" \
    org.opencontainers.image.description="Posts Alertmanager's alerts to Matrix rooms, lets people acknowledge them there, and escalates if nobody does" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" \
    org.opencontainers.image.created="$CREATED" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.vendor="matrixbot" \
    org.opencontainers.image.url="https://github.com/matrixbot/matrixbot" \
    org.opencontainers.image.source="https://github.com/matrixbot/matrixbot" \
    org.opencontainers.image.documentation="https://github.com/matrixbot/matrixbot/blob/main/docs/DEPLOYMENT.md"
COPY --from=root /image /
# The C library keeps freed memory in an arena for each thread. Two arenas and a fixed threshold give what a large webhook took
# back to the system.
ENV PATH=/usr/bin \
    MALLOC_ARENA_MAX=2 \
    MALLOC_TRIM_THRESHOLD_=131072 \
    MALLOC_MMAP_THRESHOLD_=65536 \
    MATRIXBOT_CONFIG=/etc/matrixbot/config.yaml
USER 65532:65532
# The homeserver, Alertmanager, probes and metrics.
EXPOSE 9009 9010 9011
# For Docker; Kubernetes has probes of its own.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 CMD ["/usr/bin/matrixbot", "probe"]
ENTRYPOINT ["/usr/bin/matrixbot"]
CMD ["run"]
