"""One function of a SAM or CloudFormation template: what of it a sandbox on this machine needs.

Sources: AWS SAM specification, ``AWS::Serverless::Function``; CloudFormation,
``AWS::Lambda::Function``; AWS CDK, ``aws:asset:path`` in a resource's metadata.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lrap_otel.emulator.config import ACCOUNT_ID, REGION
from lrap_otel.emulator.errors import StartError

if TYPE_CHECKING:
    from pathlib import Path

    from lrap_otel.emulator.config import HttpFormat

FUNCTIONS = {"AWS::Serverless::Function", "AWS::Lambda::Function"}
LAYERS = {"AWS::Serverless::LayerVersion", "AWS::Lambda::LayerVersion"}
PSEUDO_PARAMETERS = {
    "AWS::AccountId": ACCOUNT_ID,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackName": "local",
    "AWS::URLSuffix": "amazonaws.com",
}
INLINE_SUFFIXES = {"python": "py", "nodejs": "js"}


@dataclass
class Described:
    """A function as its template describes it.

    ``code`` is a folder or a zip file, or None with ``inline`` code. ``layers`` are local folders
    and zip files. ``notes`` are sentences about what is left out. None: the template does not say.
    """

    name: str
    handler: str = ""
    runtime: str = ""
    code: Path | None = None
    inline: str = ""
    env: dict[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    memory_mb: int | None = None
    reserved_concurrency: int | None = None
    layers: list[Path] = field(default_factory=list)
    http_format: HttpFormat | None = None
    routes: list[str] = field(default_factory=list)
    is_traced: bool = False
    is_json_logged: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def inline_file(self) -> str:
        """The name of the file that inline code is written to: ``index.py`` or ``index.js``."""
        module = self.handler.rpartition(".")[0] or "index"
        suffixes = (end for word, end in INLINE_SUFFIXES.items() if self.runtime.startswith(word))
        return f"{module}.{next(suffixes, 'py')}"


def read(path: Path, function: str = "") -> Described:
    """The function called ``function`` (logical id or FunctionName), which may be empty if the
    template has only one; StartError if there is no such function, or its code is not on this
    machine.
    """
    template = _Template(path, _load(path))
    found = template.functions()
    if not found:
        raise StartError(f"{path} describes no Lambda function")
    names = ", ".join(found)
    if not function and len(found) > 1:
        raise StartError(
            f"{path} describes {len(found)} functions; choose one with --function: {names}"
        )
    for identifier, properties in found.items():
        if function in {"", identifier, template.text(properties.get("FunctionName"))}:
            return template.describe(identifier, properties)
    raise StartError(f"{path} has no function {function}; it describes {names}")


def _load(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
        loaded = json.loads(text) if text.lstrip().startswith("{") else _load_yaml(text, path)
    except (OSError, ValueError) as error:
        raise StartError(f"{path} cannot be read: {error}") from error
    if not isinstance(loaded, dict) or not isinstance(loaded.get("Resources"), dict):
        raise StartError(f"{path} has no Resources; is it a SAM or CloudFormation template?")
    return loaded


def _load_yaml(text: str, path: Path) -> Any:
    try:
        import yaml  # type: ignore[import-untyped]  # noqa: PLC0415 - only a YAML template needs it
    except ModuleNotFoundError as error:
        raise StartError(f"{path} is YAML: pip install pyyaml (the extra `emulator`)") from error

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Knows CloudFormation's short forms, such as ``!Ref``."""

    def short_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
        if isinstance(node, yaml.ScalarNode):
            value: Any = loader.construct_scalar(node)
        elif isinstance(node, yaml.SequenceNode):
            value = loader.construct_sequence(node, deep=True)
        else:
            value = loader.construct_mapping(node, deep=True)
        return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}

    Loader.add_multi_constructor("!", short_form)
    try:
        return yaml.load(text, Loader)  # noqa: S506 - a SafeLoader that makes dictionaries of unknown tags
    except (yaml.YAMLError, RecursionError) as error:
        raise StartError(f"{path} is not YAML: {' '.join(str(error).split())}") from error


class _Template:
    def __init__(self, path: Path, template: dict[str, Any]) -> None:
        self._folder = path.absolute().parent
        self._resources = template["Resources"]
        self._globals = _member(_member(template, "Globals"), "Function")
        self._parameters = PSEUDO_PARAMETERS | {
            name: str(parameter["Default"])
            for name, parameter in _member(template, "Parameters").items()
            if isinstance(parameter, dict) and "Default" in parameter
        }

    def functions(self) -> dict[str, dict[str, Any]]:
        """Every function's properties by its logical id, SAM's global ones merged in."""
        return {
            identifier: self._with_globals(resource)
            for identifier, resource in self._resources.items()
            if isinstance(resource, dict) and resource.get("Type") in FUNCTIONS
        }

    def describe(self, identifier: str, properties: dict[str, Any]) -> Described:
        """What a sandbox needs of one function."""
        if properties.get("PackageType") == "Image":
            raise StartError(
                f"{identifier} is a container image; give the command of its runtime after --"
            )
        described = Described(
            self.text(properties.get("FunctionName")) or identifier,
            handler=self.text(properties.get("Handler")) or "",
            runtime=self.text(properties.get("Runtime")) or "",
            timeout_s=self._number(properties.get("Timeout")),
            is_traced=self.text(
                properties.get("Tracing", _member(properties, "TracingConfig").get("Mode"))
            )
            == "Active",
            is_json_logged=self.text(_member(properties, "LoggingConfig").get("LogFormat"))
            == "JSON",
        )
        memory_mb = self._number(properties.get("MemorySize"))
        described.memory_mb = None if memory_mb is None else int(memory_mb)
        reserved = self._number(properties.get("ReservedConcurrentExecutions"))
        described.reserved_concurrency = None if reserved is None else int(reserved)
        self._find_code(described, identifier, properties)
        self._find_variables(described, properties)
        self._find_layers(described, properties)
        self._find_routes(described, properties)
        return described

    def text(self, value: Any) -> str | None:
        """A value as text, with references to parameters filled in; None if only AWS knows it."""
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, (str, int, float)):
            return str(value)
        if not isinstance(value, dict) or len(value) != 1:
            return None
        ((function, argument),) = value.items()
        if function == "Ref":
            return self._parameters.get(argument) if isinstance(argument, str) else None
        return self._substituted(argument) if function == "Fn::Sub" else None

    def _with_globals(self, resource: dict[str, Any]) -> dict[str, Any]:
        properties = _member(resource, "Properties")
        if resource["Type"] == "AWS::Serverless::Function":
            own = _member(_member(properties, "Environment"), "Variables")
            shared = _member(_member(self._globals, "Environment"), "Variables")
            merged = self._globals | properties
            if shared:
                merged["Environment"] = {"Variables": shared | own}
            if "Layers" in self._globals and "Layers" in properties:
                merged["Layers"] = [*_items(self._globals["Layers"]), *_items(properties["Layers"])]
            properties = merged
        return properties | {"Metadata": resource.get("Metadata")}

    def _find_code(self, described: Described, identifier: str, properties: dict[str, Any]) -> None:
        code = properties.get("Code", {})
        inline = properties.get("InlineCode") or (
            code.get("ZipFile") if isinstance(code, dict) else None
        )
        if inline:
            described.inline = self.text(inline) or ""
            return
        asset = _member(properties, "Metadata").get("aws:asset:path")
        where = asset or properties.get("CodeUri") or (code if isinstance(code, str) else None)
        if where is None and not code:
            where = "."
        text = self.text(where)
        if text is None or text.startswith("s3://"):
            raise StartError(
                f"the code of {identifier} is in S3; use the template that `sam build` writes, or "
                f"the source's"
            )
        described.code = self._folder / text
        if not described.code.exists():
            raise StartError(
                f"{identifier}: there is no {described.code}, where its code should be"
            )

    def _find_variables(self, described: Described, properties: dict[str, Any]) -> None:
        for name, value in _member(_member(properties, "Environment"), "Variables").items():
            text = self.text(value)
            if text is None:
                described.notes.append(
                    f"variable {name} is left out: only AWS knows its value; set it with --env"
                )
            else:
                described.env[name] = text

    def _find_layers(self, described: Described, properties: dict[str, Any]) -> None:
        for layer in _items(properties.get("Layers")):
            path = self._layer_path(layer)
            if path:
                described.layers.append(path)
            elif ":layer:lrap-otel:" not in json.dumps(layer):
                said = self.text(layer) or json.dumps(layer)
                described.notes.append(
                    f"layer {said} is left out: it is not on this machine; add it with --layer"
                )

    def _find_routes(self, described: Described, properties: dict[str, Any]) -> None:
        if "FunctionUrlConfig" in properties:
            described.http_format = "url"
        for trigger in _member(properties, "Events").values():
            kind = trigger.get("Type") if isinstance(trigger, dict) else None
            if kind not in {"Api", "HttpApi"}:
                continue
            about = _member(trigger, "Properties")
            method, path = self.text(about.get("Method")), self.text(about.get("Path"))
            described.http_format = described.http_format or ("v1" if kind == "Api" else "v2")
            if path:
                described.routes.append(f"{(method or 'ANY').upper()} {path}")

    def _layer_path(self, layer: Any) -> Path | None:
        resource = (
            self._resources.get(layer["Ref"])
            if isinstance(layer, dict) and "Ref" in layer
            else None
        )
        if not isinstance(resource, dict) or resource.get("Type") not in LAYERS:
            return None
        properties = _member(resource, "Properties")
        where = _member(resource, "Metadata").get("aws:asset:path") or properties.get("ContentUri")
        text = self.text(where)
        if text is None or not (self._folder / text).exists():
            return None
        return self._folder / text

    def _substituted(self, argument: Any) -> str | None:
        text, own = (argument, {}) if isinstance(argument, str) else (*_items(argument), {})[:2]
        if not isinstance(text, str):
            return None
        known = self._parameters | {name: self.text(value) for name, value in (own or {}).items()}
        names = re.findall(r"\$\{([^!}]+)\}", text)
        if any(known.get(name) is None for name in names):
            return None
        filled = re.sub(r"\$\{([^!}]+)\}", lambda found: str(known[found[1]]), text)
        return filled.replace("${!", "${")

    def _number(self, value: Any) -> float | None:
        try:
            return float(self.text(value) or "")
        except ValueError:
            return None


def _member(value: Any, name: str) -> dict[str, Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
