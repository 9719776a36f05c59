# Three images of one base: what the sidecar needs to be built, the sidecar, and an example workload.
# Builds without a registry but the base image's, and behind a TLS-inspecting proxy:
#   docker build --network host --secret id=ca-bundle,src=/etc/ssl/certs/ca-certificates.crt .

FROM debian:trixie-slim AS dependencies
RUN --mount=type=secret,id=ca-bundle \
    if [ -s /run/secrets/ca-bundle ]; then set -- -o Acquire::https::CAInfo=/run/secrets/ca-bundle; fi \
    && apt-get "$@" -qq update \
    && apt-get "$@" -qq -y install --no-install-recommends python3 python3-venv
COPY requirements/runtime.txt /tmp/runtime.txt
# Wheels only: nothing is compiled, so nothing needs a compiler. pip itself does not reach the image.
RUN --mount=type=secret,id=ca-bundle \
    if [ -s /run/secrets/ca-bundle ]; then export PIP_CERT=/run/secrets/ca-bundle; fi \
    && python3 -m venv /opt/sidecar \
    && /opt/sidecar/bin/python -m pip --disable-pip-version-check --no-cache-dir --quiet install \
        --no-compile --no-deps --only-binary :all: --require-hashes -r /tmp/runtime.txt \
    && /opt/sidecar/bin/python -m pip --quiet uninstall -y pip \
    && find /opt/sidecar -depth \( -name __pycache__ -o -name tests -o -name man \) -exec rm -rf {} + \
    && rm -rf /opt/sidecar/lib/python3*/site-packages/scapy/contrib \
        /opt/sidecar/lib/python3*/site-packages/scapy/tools \
    && XDG_CACHE_HOME=/opt/sidecar/cache /opt/sidecar/bin/python -I -B -c 'import scapy.sendrecv, scapy.layers.inet6, scapy.layers.l2' \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/sidecar/lib

FROM dependencies AS package
COPY sidecar /opt/package/sidecar
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /opt/package/sidecar


FROM debian:trixie-slim AS workload
RUN --mount=type=secret,id=ca-bundle \
    if [ -s /run/secrets/ca-bundle ]; then set -- -o Acquire::https::CAInfo=/run/secrets/ca-bundle; fi \
    && apt-get "$@" -qq update \
    && apt-get "$@" -qq -y install --no-install-recommends aria2 ca-certificates curl \
    && apt-get clean && rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/debconf/*-old
CMD ["sleep", "infinity"]


FROM debian:trixie-slim AS sidecar
RUN --mount=type=secret,id=ca-bundle \
    if [ -s /run/secrets/ca-bundle ]; then set -- -o Acquire::https::CAInfo=/run/secrets/ca-bundle; fi \
    && apt-get "$@" -qq update \
    && apt-get "$@" -qq -y install --no-install-recommends \
        libpcap0.8t64 nftables python3 s6 wireguard-go wireguard-tools \
    && apt-get clean && rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/debconf/*-old \
    && install -d -m 700 /var/lib/sidecar
COPY --from=dependencies /opt/sidecar /opt/sidecar
COPY rootfs /
COPY --from=package /opt/package/sidecar /opt/sidecar/lib/python3.13/site-packages/sidecar
# Two failures in a row: one alone may be a cycle that ended between its file's write and our read.
HEALTHCHECK --interval=5s --timeout=5s --start-period=20s --retries=2 CMD ["sidecar", "healthcheck"]
ENTRYPOINT ["/usr/share/sidecar/entrypoint"]
