#!/bin/bash
# Converts a plate by an array of jobs: submit.sh SOURCE OUT.parquet SHARES
# Looks at the source, lets an array of SHARES tasks extract and join, then a job write, each when the one before is done.
# The same command again, after a task failed, submits only what is missing.
# Options for the tools: DISCOVER_OPTIONS, EXTRACT_OPTIONS, JOIN_OPTIONS, WRITE_OPTIONS; for sbatch: SBATCH_PARTITION, ...
set -euo pipefail
source=$(realpath "${1:?SOURCE OUT.parquet SHARES}")
out=$(realpath -m "${2:?SOURCE OUT.parquet SHARES}")
export PCT_SHARES=${3:?SOURCE OUT.parquet SHARES}
here=$(dirname "$(realpath "$0")")
work=$out.slurm-work
mkdir -p "$work/logs"

submit() {
    sbatch --parsable --export=ALL --output="$work/logs/%x-%A-%a.txt" "$@"
}

after=
if [ ! -e "$work/manifest.arrow" ]; then
    discover=$(printf '%q ' pct-discover "$source" -o "$work/manifest.arrow")
    found=$(submit --job-name=pct-discover --wrap "$discover ${DISCOVER_OPTIONS:-}")
    echo "discover: job $found"
    after=--dependency=afterok:$found
fi

missing=
for share in $(seq "$PCT_SHARES"); do
    [ -e "$work/share-$share-of-$PCT_SHARES" ] || missing+=${missing:+,}$share
done
if [ -n "$missing" ]; then
    # A job that can never start, because the one before it failed, goes instead of waiting for ever.
    array=$(submit $after --kill-on-invalid-dep=yes --array="$missing" "$here/array.sbatch" "$work")
    echo "shares $missing of $PCT_SHARES: job $array"
    after=--dependency=afterok:$array
fi
gather=$(submit $after --kill-on-invalid-dep=yes "$here/gather.sbatch" "$work" "$out")
echo "gather: job $gather; logs in $work/logs"
