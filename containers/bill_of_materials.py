"""Write an image's software bill of materials: what is installed in it, as CycloneDX JSON on standard output.

    python containers/bill_of_materials.py pct-join > pct-join.cdx.json

Takes what the image itself says: its Python packages' metadata and dpkg's list. Format: CycloneDX 1.5
(https://cyclonedx.org/docs/1.5/json/).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from typing import Any

_PYTHON_PACKAGES = """
import importlib.metadata, json
found = importlib.metadata.distributions()
print(json.dumps([[d.metadata["Name"], d.version, d.metadata["License-Expression"] or ""] for d in found]))
"""


def bill_of_materials(image: str) -> dict[str, Any]:
    """Describe an image: one component per Python package and per Debian package, sorted by kind and name."""
    components = {component["bom-ref"]: component for component in (*_python(image), *_debian(image))}
    labels = json.loads(_docker("image", "inspect", "--format", "{{json .Config.Labels}}", image))
    digest = _docker("image", "inspect", "--format", "{{.Id}}", image).strip()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        # The same image has the same bill, to the byte.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, digest)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container", "bom-ref": image, "name": image,
                "version": labels["org.opencontainers.image.version"],
                "hashes": [{"alg": "SHA-256", "content": digest.removeprefix("sha256:")}],
            }
        },
        "components": [components[ref] for ref in sorted(components)],
    }  # fmt: skip


def _python(image: str) -> list[dict[str, Any]]:
    listing = _docker("run", "--rm", "--network", "none", image, "/opt/pct/bin/python3", "-c", _PYTHON_PACKAGES)
    return [
        _component(name, version, f"pkg:pypi/{name.lower().replace('_', '-')}@{version}")
        | ({"licenses": [{"expression": licence}]} if licence else {})
        for name, version, licence in json.loads(listing)
    ]


def _debian(image: str) -> list[dict[str, Any]]:
    listing = _docker(
        "run", "--rm", "--network", "none", image, "dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture}\n"
    )
    rows = (line.split() for line in listing.splitlines())
    return [
        _component(name, version, f"pkg:deb/debian/{name}@{version}?arch={architecture}")
        for name, version, architecture in rows
    ]


def _component(name: str, version: str, url: str) -> dict[str, Any]:
    return {"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url}


def _docker(*words: str) -> str:
    return subprocess.run(
        [os.environ.get("DOCKER", "docker"), *words], check=True, capture_output=True, text=True
    ).stdout


if __name__ == "__main__":
    json.dump(bill_of_materials(sys.argv[1]), sys.stdout, indent=1)
    print()
