"""The undo file: what each function had before `instrument` changed it.

A JSON file, readable by its owner alone, since a value that was replaced may be a secret. It holds
only what we changed, so that taking it back undoes nothing of anybody else's:

    {"format": "lrap-otel undo", "version": 1, "functions": {ARN: {
        "layers": {"before": [ARN, …], "after": [ARN, …]},
        "variables": {NAME: {"before": VALUE or null, "after": VALUE or null}, …},
        "names": [NAME, …]}}}

`names` are those of all variables before the change, in their order. A record is written before its
function is changed; each writing replaces the file as a whole, so that a process killed at any
moment leaves the old or the new one.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrap_otel.aws.plan import Record
from lrap_otel.aws.session import AwsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lrap_otel.aws.plan import Plan

FORMAT = "lrap-otel undo"
VERSION = 1


class UndoFile:
    """The records in one file, by the function's ARN. Several processes may use it at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def records(self) -> dict[str, Record]:
        """All records; none if there is no file. Raises `AwsError` if the file is malformed."""
        try:
            text = self.path.read_text("utf-8")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise AwsError(f"cannot read {self.path}: {error}") from None
        try:
            return _decode(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise AwsError(
                f"{self.path} is no undo file of this version ({error or type(error).__name__}): "
                "name another by --undo-file, or use the lrap-otel that wrote it"
            ) from None

    def remember(self, plans: Iterable[Plan]) -> None:
        """Add these plans' changes to the records of their functions."""
        with self._locked():
            records = self.records()
            for plan in plans:
                record = Record.of(plan)
                earlier = records.get(plan.function.arn)
                records[plan.function.arn] = earlier.followed_by(record) if earlier else record
            self._write(records)

    def forget(self, arns: Sequence[str]) -> None:
        """Remove the records of functions that have been restored; an empty file is deleted."""
        with self._locked():
            records = self.records()
            for arn in arns:
                records.pop(arn, None)
            if records:
                self._write(records)
            else:
                self.path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        # Each writing replaces the file, so the lock is on its folder.
        try:
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise AwsError(
                f"cannot write {self.path}: {error}; name another by --undo-file"
            ) from None
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _write(self, records: Mapping[str, Record]) -> None:
        try:
            # Created readable by its owner alone.
            descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    json.dump(_encode(records), file, indent=1)
                    file.flush()
                    os.fsync(descriptor)
                Path(name).replace(self.path)
            except BaseException:
                Path(name).unlink()
                raise
        except OSError as error:
            raise AwsError(
                f"cannot write {self.path}: {error}; name another by --undo-file"
            ) from None


def _encode(records: Mapping[str, Record]) -> dict[str, Any]:
    functions = {
        arn: {
            "layers": {"before": record.layers_before, "after": record.layers_after},
            "variables": {
                name: {"before": before, "after": after}
                for name, (before, after) in record.variables.items()
            },
            "names": record.names,
        }
        for arn, record in records.items()
    }
    return {"format": FORMAT, "version": VERSION, "functions": functions}


def _decode(document: Any) -> dict[str, Record]:
    if document["format"] != FORMAT or document["version"] != VERSION:
        raise ValueError(f"format {document['format']!r}, version {document['version']!r}")
    return {
        arn: Record(
            tuple(record["layers"]["before"]),
            tuple(record["layers"]["after"]),
            {
                name: (value["before"], value["after"])
                for name, value in record["variables"].items()
            },
            tuple(record["names"]),
        )
        for arn, record in document["functions"].items()
    }
