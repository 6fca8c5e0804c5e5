#!/usr/bin/env bash
# Builds the images and runs the tests of images and workflow engines, for real, on a machine that may have none of it:
# Docker's engine, Slurm and Charliecloud come from Debian, the base image is made without a registry. Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
install() { apt-get install -y -qq "$@" < /dev/null > /dev/null; }
install docker.io docker-compose iptables mmdebstrap
# Groovy reads Nextflow's files; Charliecloud runs images as an ordinary user; Slurm runs on this one node.
install --no-install-recommends groovy default-jre-headless charliecloud-runtime charliecloud-builders slurm-wlm munge

scratch=$(mktemp -d)
stop() {
    if [ -s "$scratch/pid" ]; then
        kill "$(cat "$scratch/pid")" 2> /dev/null && tail --pid="$(cat "$scratch/pid")" -f /dev/null
    fi
    rm -rf "$scratch" 2> /dev/null || true
}
trap stop EXIT
if ! docker info > /dev/null 2>&1; then
    dockerd --data-root "$scratch/data" --exec-root "$scratch/exec" --pidfile "$scratch/pid" > "$scratch/log" 2>&1 &
    for _ in $(seq 60); do
        docker info > /dev/null 2>&1 && break
        sleep 1
    done
    docker info > /dev/null 2>&1 || { tail "$scratch/log" >&2; echo "the Docker engine did not start" >&2; exit 1; }
fi

containers/base_image.sh pct-base
make images BASE_IMAGE=pct-base
make test-containers
