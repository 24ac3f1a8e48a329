# tiffsd in a container: the spool is /spool, models are below /models, the configuration is /etc/tiffsd/config.yaml.
#
#   docker build --tag tiffsd .                                                        # for the CPU
#   docker build --tag tiffsd:cuda --build-arg BASE=nvidia/cuda:12.6.3-base-ubuntu24.04 \
#       --build-arg TORCH=https://download.pytorch.org/whl/cu126 --build-arg DEVICE=cuda .
#
# compose.yaml has both, with the volumes. docs/packages.md says more.
ARG BASE=debian:12-slim

# hadolint ignore=DL3006
FROM ${BASE} AS built
ARG TORCH=https://download.pytorch.org/whl/cpu
ARG DEVICE=cpu

# The base says which versions there are.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv ca-certificates \
    && rm -rf /var/lib/apt/lists/*

# torch is most of the download, and changes least.
COPY constraints.txt /source/
RUN python3 -m venv /opt/tiffsd \
    && /opt/tiffsd/bin/pip install --no-cache-dir --constraint /source/constraints.txt --extra-index-url "${TORCH}" torch

COPY pyproject.toml setup.py README.md LICENSE config.yaml /source/
COPY systemd /source/systemd
COPY tiffsd /source/tiffsd
COPY daemon /source/daemon
RUN /opt/tiffsd/bin/pip install --no-cache-dir --constraint /source/constraints.txt --extra-index-url "${TORCH}" "/source[web,heif,gguf]" \
    && mkdir -p /etc/tiffsd \
    && sed -e 's|^spool: spool$|spool: /spool|' -e "s|^  device: cpu$|  device: ${DEVICE}|" /source/config.yaml > /etc/tiffsd/config.yaml

# hadolint ignore=DL3006
FROM ${BASE}
# Those of who drops the files: what the daemon makes is theirs then.
ARG USER_ID=1000
ARG GROUP_ID=1000

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=built /opt/tiffsd /opt/tiffsd
COPY --from=built /etc/tiffsd /etc/tiffsd
RUN groupadd --non-unique --gid "${GROUP_ID}" tiffsd \
    && useradd --non-unique --no-log-init --uid "${USER_ID}" --gid tiffsd --create-home tiffsd \
    && install --directory --owner=tiffsd --group=tiffsd /spool /models

ENV PATH=/opt/tiffsd/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/home/tiffsd \
    HF_HUB_OFFLINE=1
USER ${USER_ID}:${GROUP_ID}
WORKDIR /spool
VOLUME /spool
# A stop is honoured at the next step of the denoising loop.
STOPSIGNAL SIGTERM
# It exits with 0 while the daemon runs. Docker knows no other code of a fault than 1.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
    CMD ["sh", "-c", "tiffsd status --config /etc/tiffsd/config.yaml > /dev/null || exit 1"]
ENTRYPOINT ["tiffsd"]
CMD ["run", "--config", "/etc/tiffsd/config.yaml"]
