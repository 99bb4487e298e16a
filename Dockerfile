# The container image of Edgereplay: both programs, the libraries that they use, CA certificates.
#
#   docker build -t edgereplay .            or: make image, which needs podman and no registry
#
# How it is run: docs/deployment.md, "The container".
# For an image that can be made again, name the base by its digest: --build-arg DEBIAN=…/debian:bookworm-slim@sha256:…
ARG DEBIAN=docker.io/library/debian:bookworm-slim

FROM ${DEBIAN} AS build
RUN apt-get update && apt-get install --no-install-recommends -y make ca-certificates
WORKDIR /src
# What is installed changes seldom, and is a layer of its own.
COPY Makefile ./
COPY tests/lint/packages tests/lint/
RUN make deps
COPY schema schema/
COPY server server/
RUN make -j"$(nproc)" BUILD=/build programs && strip /build/edgereplayd /build/edgereplay

FROM ${DEBIAN}
ARG DEBIAN
# As the Makefile has it.
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Edgereplay" \
      org.opencontainers.image.description="Sync daemon for offline-first apps" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${DEBIAN}"
RUN apt-get update && apt-get install --no-install-recommends -y libmicrohttpd12 libgnutls30 libsqlite3-0 libsodium23 \
        libjansson4 libinih1 zlib1g libcurl4 libsystemd0 librhonabwy1.1 && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log && \
    groupadd --gid 10001 edgereplay && \
    useradd --uid 10001 --gid 10001 --no-log-init --home-dir /data --shell /usr/sbin/nologin edgereplay && \
    install -d -m 700 -o edgereplay -g edgereplay /data /backups /keys && install -d -o edgereplay -g edgereplay /run/edgereplay
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY config/container.ini /etc/edgereplay/edgereplay.ini
COPY --from=build /build/edgereplayd /build/edgereplay /usr/bin/

USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
# Alive, not ready: a restart mends the one, and would only take the readers of the other away, too.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/usr/bin/edgereplay", "health", "--live", "--url=unix:/data/admin.sock", "--give-up=4"]
ENTRYPOINT ["/usr/bin/edgereplayd", "--config=/etc/edgereplay/edgereplay.ini"]
