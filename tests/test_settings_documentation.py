"""docs/settings.md and the code say the same: every variable, its default and its bounds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lrap_otel.settings import Settings
from lrap_otel.telemetry.setting_names import NOT_HONOURED, OURS
from lrap_otel.telemetry.settings import ExportSettings

ROOT = Path(__file__).parents[1]
DOCUMENTATION = (ROOT / "docs/settings.md").read_text()
# The wrapper's and the entrypoint's, which no settings object reads.
OF_SHELLS = {"LRAP_NEXT_WRAPPER", "AWS_EXECUTION_ENV", "_HANDLER"}
OF_A_FILE = {"LRAP_DEPENDENCIES", "LRAP_PYTHON"}


class Recorder(dict[bytes, bytes]):
    """No variable is set, and every name that is asked for is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def get(self, name: bytes, default: bytes | None = None) -> bytes | None:  # type: ignore[override]
        self.asked.add(name.decode())
        return default


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below this heading, without its own head."""
    section = (
        DOCUMENTATION.split(f"\n## {heading}\n")[1] if f"\n## {heading}\n" in DOCUMENTATION else ""
    )
    section = (section or DOCUMENTATION.split(f"\n### {heading}\n")[1]).split("\n#")[0]
    return [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in section.splitlines()
        if line.startswith("| `")
    ]


def names(cell: str) -> list[str]:
    return re.findall(r"`([A-Za-z_0-9]+)`", cell)


def documented(*headings: str) -> list[str]:
    return [name for heading in headings for row in rows(heading) for name in names(row[0])]


def test_every_variable_that_is_read_is_documented_and_none_else() -> None:
    recorder = Recorder()
    Settings(recorder)
    ExportSettings(recorder)

    told = documented("Ours", "OpenTelemetry's", "Of every HTTP client", "AWS's")
    assert len(told) == len(set(told))
    assert set(told) == recorder.asked | OF_SHELLS


def test_every_variable_that_a_script_reads_is_documented() -> None:
    scripts = [
        *(path for path in ROOT.glob("opt/*") if path.is_file()),
        *ROOT.glob("lrap_otel/*.sh"),
        ROOT / "lrap_otel/handshake_client.py",
    ]
    read = {
        name
        for script in scripts
        for name in re.findall(r"\b(?:LRAP_|AWS_|OTEL_)[A-Z_]*[A-Z]\b", script.read_text())
    }

    assert read - set(documented("Ours", "OpenTelemetry's", "AWS's")) - OF_A_FILE <= {
        "AWS_LAMBDA_EXEC_WRAPPER"
    }


def test_a_name_of_ours_is_known_if_it_is_documented() -> None:
    assert set(OURS) == set(documented("Ours")) | OF_A_FILE


def test_a_name_of_ours_in_any_source_is_one_of_them() -> None:
    sources = [path for path in ROOT.glob("lrap_otel/**/*.py") if path.name != "semconv.py"]
    named = {
        name for path in sources for name in re.findall(r'b?"(LRAP_[A-Z_]+)"', path.read_text())
    }

    assert named - {"LRAP_"} <= set(OURS)


def test_what_is_not_honoured_is_documented_with_what_holds_instead() -> None:
    assert set(documented("Not honoured")) == NOT_HONOURED.keys()


def values_of(variables: dict[str, str]) -> tuple[dict[str, object], list[str]]:
    """What all settings are with these variables, and the warnings."""
    encoded = {name.encode(): value.encode() for name, value in variables.items()}
    ours, export = Settings(encoded), ExportSettings(encoded)
    found: dict[str, object] = {}
    every = (ours, export, export.traces, export.metrics, export.logs, export.network, export.spool)
    for number, of in enumerate(every):
        for slot in type(of).__slots__:
            if slot not in {"environment", "traces", "metrics", "logs", "network", "spool"}:
                found[f"{number} {type(of).__name__}.{slot}"] = getattr(of, slot)
    return found, [*ours.warnings, *export.warnings]


def defaults() -> list[tuple[str, str]]:
    return [
        (name, default)
        for heading in ("Ours", "OpenTelemetry's")
        for row in rows(heading)
        for name in names(row[0])
        for default in re.findall(r"^`(.+)`$", row[1].strip())
    ]


@pytest.mark.parametrize(("name", "default"), defaults())
def test_the_default_that_is_documented_is_the_default(name: str, default: str) -> None:
    assert values_of({name: default}) == values_of({})


def bounds() -> list[tuple[str, int, int]]:
    return [
        (name, int(lowest), int(highest))
        for heading in ("Ours", "OpenTelemetry's")
        for row in rows(heading)
        for name in names(row[0])
        for lowest, highest in re.findall(r"\((\d+) to (\d+)\)", row[2])
    ]


@pytest.mark.parametrize(("name", "lowest", "highest"), bounds())
def test_the_bounds_that_are_documented_hold(name: str, lowest: int, highest: int) -> None:
    assert values_of({name: str(lowest)})[1] == values_of({name: str(highest)})[1] == []
    for beyond in (lowest - 1, highest + 1):
        values, warnings = values_of({name: str(beyond)})
        assert values == values_of({})[0]
        assert len(set(warnings)) == 1
        assert name in warnings[0]


def test_there_are_defaults_and_bounds_to_look_at() -> None:
    assert len(defaults()) > 30
    assert len(bounds()) > 12
