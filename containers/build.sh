#!/usr/bin/env bash
# Builds the five images: containers/build.sh. `make images` calls it.
#
# BASE_IMAGE  the image to build on (python:3.11-slim-bookworm); its Python must be that of PYTHON
# PREFECT     with: the four stage images can report to a Prefect server (without)
# TAG         the tag beside `latest` (the package's version)
# PYTHON      collects the wheels, in the versions of constraints.txt (python3)
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
BASE_IMAGE=${BASE_IMAGE:-python:3.11-slim-bookworm}
PREFECT=${PREFECT:-without}

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

echo "collecting wheels"
rm -rf build/wheels
mkdir -p build/wheels build/sbom
"$PYTHON" -m pip wheel --quiet --disable-pip-version-check --wheel-dir build/wheels -c constraints.txt .
# What an earlier patch release of the same Python needs besides.
grep -o "^[^ ]* ; python_full_version < '3\.[0-9]*\.[0-9]*'" constraints.txt | cut -d' ' -f1 |
    xargs -r "$PYTHON" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir build/wheels
version=$(basename build/wheels/pycytominer_transform-*.whl | cut -d- -f2)
revision=$(git rev-parse HEAD 2> /dev/null || echo unknown)

for tool in discover extract join write flow; do
    echo "building pct-$tool"
    DOCKER_BUILDKIT=1 "$docker" build --quiet --file containers/Dockerfile --target "pct-$tool" \
        --build-arg "BASE_IMAGE=$BASE_IMAGE" --build-arg "PREFECT=$PREFECT" \
        --build-arg "VERSION=$version" --build-arg "REVISION=$revision" \
        --tag "pct-$tool:latest" --tag "pct-$tool:${TAG:-$version}" . > /dev/null 2> build/log || {
        cat build/log >&2
        exit 1
    }
done
for tool in discover extract join write flow; do
    DOCKER=$docker "$PYTHON" containers/bill_of_materials.py "pct-$tool" > "build/sbom/pct-$tool.cdx.json"
    size=$("$docker" image inspect --format '{{.Size}}' "pct-$tool")
    echo "pct-$tool:${TAG:-$version}  $((size / 1000000)) MB, materials in build/sbom/pct-$tool.cdx.json"
done
