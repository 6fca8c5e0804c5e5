#!/usr/bin/env bash
# Tests the ranges of dependencies in pyproject.toml: a conversion by pipe and by flow with the lowest versions, with the
# newest, and in one environment with the packages that read the output. With `--tests` the exactness tests run at both ends too.
set -euo pipefail
cd "$(dirname "$0")/.."

tests=${1:-}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${PYTHON:-python3}" -m venv "$scratch/uv"
"$scratch/uv/bin/python" -m pip install --quiet --disable-pip-version-check uv
install() {
    place=$scratch/$1
    shift
    "$scratch/uv/bin/uv" venv --quiet --python "${PYTHON:-python3}" "$place"
    "$scratch/uv/bin/uv" pip install --quiet --python "$place/bin/python" "$@"
    "$scratch/uv/bin/uv" pip check --python "$place/bin/python"
}
test_end() {
    install "$@" ".${tests:+[test]}"
    .ci/convert.sh "$scratch/$1/bin"
    [ -z "$tests" ] || "$scratch/$1/bin/python" -m pytest -q -n logical --dist worksteal tests/exactness tests/join
}
test_end lowest --resolution lowest-direct
test_end newest --resolution highest

install shared '.[anndata]' pycytominer cytodataframe scanpy igraph leidenalg squidpy spatialdata
.ci/convert.sh "$scratch/shared/bin"

# The calls of docs/pycytominer.md, on a small plate of each preset and on real files, or their twins where these are not.
calls=()
"$scratch/shared/bin/python" tests/inputs/plates_presets.py "$scratch/presets"
for source in "$scratch"/presets/*; do
    preset=$(basename "$source")
    "$scratch/shared/bin/pct-flow" -q "$source" --preset "$preset" -o "$scratch/$preset.parquet"
    calls+=("$preset" "$scratch/$preset.parquet")
done
"$scratch/shared/bin/pct-flow" -q "$scratch/cellprofiler_csv.parquet" --preset single_cells -o "$scratch/single_cells.parquet"
calls+=(single_cells "$scratch/single_cells.parquet")
PYTHONPATH=tests/oracle "$scratch/shared/bin/python" tests/inputs/twins.py "$scratch/twins"
for preset in in_carta cell_health deepprofiler; do
    source=../shared/data/$preset
    [ -d "$source" ] || source=$scratch/twins/$preset
    "$scratch/shared/bin/pct-flow" -q "$source" -o "$scratch/$preset.parquet"
    calls+=("$preset" "$scratch/$preset.parquet")
done
"$scratch/shared/bin/python" tests/downstream/pycytominer_calls.py "${calls[@]}"

# The calls of docs/anndata.md.
"$scratch/shared/bin/python" tests/inputs/plates.py "$scratch/plate" --folders 8 --cells 40 --features 20 --kind csv
"$scratch/shared/bin/pct-flow" -q "$scratch/plate" -o "$scratch/plate.h5ad"
"$scratch/shared/bin/pct-flow" -q "$scratch/plate" -o "$scratch/numbered.h5ad" --obs-names number
"$scratch/shared/bin/python" tests/downstream/scanpy_calls.py "$scratch/plate.h5ad" "$scratch/numbered.h5ad"

# mantispy validates these, and a file or store of further presets. It needs Python 3.12 or newer: one from here, else uv gets one.
uv=$scratch/uv/bin/uv
newer_python() {
    local python
    for python in "${PYTHON312:-python3.12}" "${PYTHON:-python3}" python3.1{3,4} "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[2-9]*/bin/python; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    "$uv" python install --quiet --install-dir "$scratch/python" --no-bin 3.12 2>/dev/null || return 0
    ls "$scratch"/python/cpython-*/bin/python3.12
}
python312=$(newer_python)
if [ -n "$python312" ]; then
    outputs=("$scratch/plate.h5ad" "$scratch/numbered.h5ad")
    for preset in cellprofiler_csv cellprofiler_sqlite cytominer_database harmony parquet_tables; do
        outputs+=("$scratch/$preset.h5ad")
        "$scratch/shared/bin/pct-flow" -q "$scratch/presets/$preset" --preset "$preset" -o "${outputs[-1]}"
    done
    for preset in in_carta cell_health deepprofiler; do
        outputs+=("$scratch/$preset.zarr")
        "$scratch/shared/bin/pct-flow" -q "$scratch/twins/$preset" -o "${outputs[-1]}"
    done
    "$uv" venv --quiet --python "$python312" "$scratch/mantispy"
    # The release whose experimental schema docs/anndata.md describes.
    "$uv" pip install --quiet --python "$scratch/mantispy/bin/python" mantispy==0.1.0a1
    "$scratch/mantispy/bin/python" tests/downstream/mantispy_calls.py "${outputs[@]}"
else
    echo "no Python 3.12 or newer, so mantispy was not run; name one: PYTHON312=/path/to/python3.12" >&2
fi
