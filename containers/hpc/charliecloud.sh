#!/bin/bash
# Unpacks an exported image for Charliecloud and makes the five tools commands in DIR/bin; no rights are needed.
#   charliecloud.sh pct-flow.tar DIR PLACE...
# PLACEs are the folders of this machine that the tools shall see, under the same names; /tmp is among them anyway.
set -euo pipefail
usage="usage: charliecloud.sh pct-flow.tar DIR PLACE..."
archive=${1:?$usage}
mkdir -p "${2:?$usage}/image" "$2/bin"
dir=$(realpath "$2")
shift 2

# Devices need rights to make, and are the machine's own in the container.
tar -x -C "$dir/image" --no-same-owner --exclude='dev/*' -f "$archive"
binds=
for place; do
    place=$(realpath "$place")
    # The image is read-only when it runs, so the places to mount on are made now.
    mkdir -p "$dir/image$place"
    binds+=" --bind=$(printf %q "$place")"
done
for tool in discover extract join write flow; do
    cat > "$dir/bin/pct-$tool" << WRAPPER
#!/bin/bash
export USER=\${USER:-\$(id -un)}
exec ch-run$binds --cd="\$PWD" --set-env=PATH=/opt/pct/bin:/usr/bin:/bin $(printf %q "$dir/image") -- pct-$tool "\$@"
WRAPPER
    chmod +x "$dir/bin/pct-$tool"
done
