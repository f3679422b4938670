"""The same /opt as an OCI image index, for ``COPY --from=… /opt /opt``, written without Docker.

An image has two layers: the files that both architectures share, and one interpreter.

Source: OCI Image Format Specification 1.1, "Image Layout Specification", "Image Manifest", "Image
Index".
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
from typing import TYPE_CHECKING, Any

from opt.layer.archive import Entry, entries, tar
from opt.layer.content import version
from opt.layer.sources import ARCHITECTURES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from opt.layer.content import Built

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def write(built: Built, architectures: Sequence[str], folder: Path) -> str:
    """Write an image layout anew. Returns the digest of its index. The tag is the version."""
    shutil.rmtree(folder, ignore_errors=True)
    layout = _Layout(folder)
    found = entries(built.opt)
    own = {
        name: [entry for entry in found if entry.name.startswith(f"lrap-otel/{name}/")]
        for name in architectures
    }
    shared = [entry for entry in found if not any(entry in each for each in own.values())]
    shared_layer = layout.add_layer(shared)
    manifests = []
    for name in architectures:
        manifest = layout.add_image(
            ARCHITECTURES[name], [shared_layer, layout.add_layer(own[name])]
        )
        manifests.append(
            manifest | {"platform": {"os": "linux", "architecture": ARCHITECTURES[name]}}
        )
    index = layout.add_json(
        {"schemaVersion": 2, "mediaType": _INDEX, "manifests": manifests}, _INDEX
    )
    layout.finish(index | {"annotations": {"org.opencontainers.image.ref.name": version()}})
    return str(index["digest"])


class _Layout:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)

    def add_layer(self, found: Sequence[Entry]) -> tuple[dict[str, Any], str]:
        """A layer's descriptor, and the digest of its content before compression."""
        content = _tar(found)
        packed = io.BytesIO()
        with gzip.GzipFile(
            fileobj=packed, mode="wb", compresslevel=9, mtime=0, filename=""
        ) as file:
            file.write(content)
        return self._add(packed.getvalue(), _LAYER), f"sha256:{hashlib.sha256(content).hexdigest()}"

    def add_image(
        self, architecture: str, layers: Sequence[tuple[dict[str, Any], str]]
    ) -> dict[str, Any]:
        labels = {
            "org.opencontainers.image.title": "lrap-otel",
            "org.opencontainers.image.version": version(),
            "org.opencontainers.image.licenses": "Apache-2.0",
        }
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": [digest for _, digest in layers]},
        }
        return self.add_json(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": self.add_json(config, _CONFIG),
                "layers": [descriptor for descriptor, _ in layers],
            },
            _MANIFEST,
        )

    def add_json(self, value: dict[str, Any], media_type: str) -> dict[str, Any]:
        return self._add(
            json.dumps(value, sort_keys=True, separators=(",", ":")).encode(), media_type
        )

    def finish(self, index: dict[str, Any]) -> None:
        (self._folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        (self._folder / "index.json").write_text(
            json.dumps(
                {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [index]}, sort_keys=True
            )
        )

    def _add(self, content: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (self._folder / "blobs/sha256" / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def _tar(found: Sequence[Entry]) -> bytes:
    """Everything below opt/, and the folders above it, owned by root, at the epoch."""
    names = {parent for entry in found for parent in _parents(f"opt/{entry.name}")}
    folders = [
        Entry(name, 0o040755, b"") for name in names - {f"opt/{entry.name}" for entry in found}
    ]
    everything = sorted([*folders, *(entry._replace(name=f"opt/{entry.name}") for entry in found)])
    return tar(everything)


def _parents(name: str) -> list[str]:
    parts = name.rstrip("/").split("/")
    return ["/".join(parts[:length]) + "/" for length in range(1, len(parts))]
