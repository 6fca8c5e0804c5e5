#!/usr/bin/env bash
# Builds the five images: containers/build.sh. `make images` calls it.
#
# BASE_IMAGE  the image to build on (python:3.11-slim-bookworm); its Python must be that of PYTHON
# PREFECT     with: the four stage images can report to a Prefect server (without)
# CLOUD       with: the four stage images can read and write s3://, gs:// and az:// (without; pct-flow can in any case)
# TAG         the tag (the package's version, and `latest`)
# TOOLS       the images to build (all five)
# KEEP_WHEELS any text: take the wheels that are in build/wheels already
# PYTHON      collects the wheels, in the versions of constraints.txt (python3)
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
BASE_IMAGE=${BASE_IMAGE:-python:3.11-slim-bookworm}
PREFECT=${PREFECT:-without}
CLOUD=${CLOUD:-without}
TOOLS=${TOOLS:-discover extract join write flow}

# A client from 23.0 on needs its plugin buildx for BuildKit; older ones have BuildKit built in.
find_docker() {
    local candidate version
    for candidate in ${DOCKER:-$(type -aP docker)}; do
        version=$("$candidate" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
        if [ "$version" -lt 23 ] || "$candidate" buildx version > /dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    echo "no docker client that can build with BuildKit; install Docker, or its plugin buildx" >&2
    exit 1
}
docker=$(find_docker)

if [ -z "${KEEP_WHEELS:-}" ]; then
    echo "collecting wheels"
    rm -rf build/wheels
    mkdir -p build/wheels
    "$PYTHON" -m pip wheel --quiet --disable-pip-version-check --wheel-dir build/wheels -c constraints.txt '.[azure]'
    # What an earlier patch release of the same Python needs besides.
    grep -o "^[^ ]* ; python_full_version < '3\.[0-9]*\.[0-9]*'" constraints.txt | cut -d' ' -f1 |
        xargs -r "$PYTHON" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir build/wheels
fi
mkdir -p build/sbom
version=$(basename build/wheels/pycytominer_transform-*.whl | cut -d- -f2)
tags=${TAG:-"latest $version"}
revision=$(git rev-parse HEAD 2> /dev/null || echo unknown)

for tool in $TOOLS; do
    echo "building pct-$tool"
    DOCKER_BUILDKIT=1 "$docker" build --quiet --file containers/Dockerfile --target "pct-$tool" \
        --build-arg "BASE_IMAGE=$BASE_IMAGE" --build-arg "PREFECT=$PREFECT" --build-arg "CLOUD=$CLOUD" \
        --build-arg "VERSION=$version" --build-arg "REVISION=$revision" \
        $(printf -- "--tag pct-$tool:%s " $tags) . > /dev/null 2> build/log || {
        cat build/log >&2
        exit 1
    }
done
for tool in $TOOLS; do
    image=pct-$tool:${tags%% *}
    DOCKER=$docker "$PYTHON" containers/bill_of_materials.py "$image" > "build/sbom/pct-$tool.cdx.json"
    size=$("$docker" image inspect --format '{{.Size}}' "$image")
    echo "pct-$tool:${tags##* }  $((size / 1000000)) MB, materials in build/sbom/pct-$tool.cdx.json"
done
