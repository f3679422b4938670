"""The bill of materials: the layer, and everything in it that others made.

Source: CycloneDX 1.6, "JSON Reference"; Package URL specification, types "deb", "generic" and
"pypi".
"""

from __future__ import annotations

import datetime as dt
import json
import platform
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from opt.layer.sources import ARCHITECTURES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opt.layer.sources import Part

# By Debian's source package. Of ca-certificates the certificates alone are shipped, not the
# scripts.
_LICENCES = {
    "ca-certificates": "MPL-2.0",
    "expat": "MIT",
    "glibc": "LGPL-2.1-or-later",
    "openssl": "Apache-2.0",
    "zlib": "Zlib",
}
_PYTHON_LICENCE = "Python-2.0.1"
_DEBIAN = "Debian source package "


class Distribution(NamedTuple):
    """The Linux distribution that a layer's packages were taken from: ``debian`` and ``12``."""

    name: str
    version: str


def of_this_machine() -> Distribution:
    """The distribution whose package lists apt has here."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return Distribution("debian", "")
    return Distribution(release.get("ID", "debian"), release.get("VERSION_ID", ""))


def bill(
    parts: Sequence[Part], version: str, layer_sha256: str, epoch_s: int, distribution: Distribution
) -> dict[str, Any]:
    """A CycloneDX document as a value for `json`; the same for the same arguments."""
    components = [_component(group, distribution) for group in _same(parts)]
    subject = {
        "type": "application",
        "bom-ref": f"pkg:pypi/lrap-otel@{quote(version)}",
        "name": "lrap-otel",
        "version": version,
        "purl": f"pkg:pypi/lrap-otel@{quote(version)}",
        "licenses": [{"license": {"id": "Apache-2.0"}}],
        "hashes": _hashes(layer_sha256),
    }
    names = [component["bom-ref"] for component in components]
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": dt.datetime.fromtimestamp(epoch_s, dt.timezone.utc).isoformat(),
            "lifecycles": [{"phase": "build"}],
            "component": subject,
        },
        "components": components,
        "dependencies": [
            {"ref": subject["bom-ref"], "dependsOn": names},
            *({"ref": name} for name in names),
        ],
        # An interpreter that is not made of packages may hold libraries that nobody names.
        "compositions": [
            {
                "aggregate": "complete"
                if all(_is_debian(part) for part in parts)
                else "incomplete",
                "dependencies": [subject["bom-ref"]],
            }
        ],
    }
    return document | {"serialNumber": uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(document)).urn}


def _same(parts: Iterable[Part]) -> list[list[Part]]:
    """Parts by the archive that they are from: one may be for all architectures."""
    groups: dict[tuple[str, ...], list[Part]] = {}
    for part in sorted(parts, key=lambda part: (part.name, part.architecture)):
        archive = part.sha256 or part.architecture
        groups.setdefault((part.name, part.version, archive), []).append(part)
    return list(groups.values())


def _component(group: Sequence[Part], distribution: Distribution) -> dict[str, Any]:
    part = group[0]
    purl = _purl(group, distribution)
    component = {
        "type": "library",
        "bom-ref": purl,
        "name": part.name,
        "version": part.version,
        "purl": purl,
        "licenses": [{"license": _licence(part)}],
        "hashes": _hashes(part.sha256),
        "properties": [
            *({"name": "lrap-otel:architecture", "value": each.architecture} for each in group),
            {"name": "lrap-otel:origin", "value": part.origin},
        ],
    }
    return {name: value for name, value in component.items() if value}


def _purl(group: Sequence[Part], distribution: Distribution) -> str:
    """``pkg:deb/debian/zlib1g@1:1.2.13.dfsg-1?arch=amd64&distro=debian-12``."""
    part = group[0]
    # An epoch's colon stays as it is.
    name = f"{quote(part.name, safe='')}@{quote(part.version, safe=':')}"
    if not _is_debian(part):
        return f"pkg:generic/{name}?arch={part.architecture}"
    architecture = "all" if len(group) > 1 else ARCHITECTURES[part.architecture]
    distro = f"&distro={distribution.name}-{distribution.version}" if distribution.version else ""
    return f"pkg:deb/{distribution.name}/{name}?arch={architecture}{distro}"


def _licence(part: Part) -> dict[str, str]:
    source = part.origin.rpartition(" ")[2]
    known = (
        _PYTHON_LICENCE
        if part.name.startswith(("python", "libpython"))
        else _LICENCES.get(source, "")
    )
    return {"id": known} if known else {"name": f"lrap-otel/licenses/{source} in the layer"}


def _hashes(sha256: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": sha256}] if sha256 else []


def _is_debian(part: Part) -> bool:
    return part.origin.startswith(_DEBIAN)
