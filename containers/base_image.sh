#!/usr/bin/env bash
# Makes a base image without a container registry, from Debian's packages: containers/base_image.sh NAME
# Needs root, mmdebstrap and a Docker engine. The image holds what `python:3.11-slim-bookworm` has that the tools need.
set -euo pipefail
name=${1:?the name of the image to make, such as pct-base}
docker=${DOCKER:-docker}
mmdebstrap --quiet --variant=minbase --aptopt='APT::Install-Recommends "false"' --include=python3,python3-venv,procps,ca-certificates,usr-is-merged \
    --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/* "$1"/etc/apt/sources.list.d/*' \
    --customize-hook='echo > "$1"/etc/apt/sources.list' \
    bookworm - | "$docker" import - "$name" > /dev/null
