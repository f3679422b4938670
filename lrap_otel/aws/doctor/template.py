"""The functions of a template: SAM or CloudFormation, in YAML with its short tags or in JSON.

A value is known if it is written out. What an intrinsic function makes of it when the template is
deployed is `UNKNOWN`, except for the little that does not depend on it: a layer that the template
itself defines, and the account and the region in a layer's ARN.

Sources: CloudFormation, "Template format"; AWS SAM, "Globals section".
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lrap_otel.aws.doctor.subject import DEFAULT_MEMORY_MB, Layer, Subject
from lrap_otel.aws.function import LAYER_NAME, layer_name
from lrap_otel.aws.plan import is_ours
from lrap_otel.aws.session import AwsError
from lrap_otel.extras import remedy
from lrap_otel.telemetry.variable_checks import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SUFFIXES = (".yaml", ".yml", ".json", ".template")
# CloudFormation's limit for a template in S3.
MAX_BYTES = 1_048_576

_FUNCTION, _SAM_FUNCTION = "AWS::Lambda::Function", "AWS::Serverless::Function"
_LAYERS = ("AWS::Lambda::LayerVersion", "AWS::Serverless::LayerVersion")
_PSEUDO = {
    "${AWS::Partition}": "aws",
    "${AWS::Region}": "us-east-1",
    "${AWS::AccountId}": "123456789012",
}


class _Unknown:
    """A value that an intrinsic function produces at deployment."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()


@dataclass(frozen=True)
class _Template:
    """The parts that all functions of one template share."""

    layers: Mapping[str, Layer]
    defaults: Mapping[str, Any]


def read_template(path: Path, other_name: str) -> tuple[list[Subject], list[str]]:
    """All functions of a template, in its order, and the names of loops (`Fn::ForEach`), which
    create resources at deployment and are not read. Raises `AwsError` if it is no template.

    `other_name` is another name that our layer may have.
    """
    document = _load(path)
    resources = document.get("Resources")
    if not isinstance(resources, dict):
        raise AwsError(f"{path} has no Resources: is it a template of SAM or CloudFormation?")
    known = {name: resource for name, resource in resources.items() if isinstance(resource, dict)}
    layers = {
        name: _own_layer(name, resource, other_name)
        for name, resource in known.items()
        if _is_layer(resource)
    }
    defaults = _mapping(_mapping(document.get("Globals")).get("Function"))
    template = _Template(layers, defaults)
    functions = [
        replace(_subject(template, resource, other_name), name=f"{path}  {shown(str(name))}")
        for name, resource in known.items()
        if resource.get("Type") in {_FUNCTION, _SAM_FUNCTION}
    ]
    return functions, [
        shown(str(name)) for name in resources if str(name).startswith("Fn::ForEach::")
    ]


def _load(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise AwsError(f"cannot read {path}: {error.strerror}") from None
    if len(text) > MAX_BYTES:
        raise AwsError(f"{path} has {len(text)} bytes, and a template at most {MAX_BYTES}")
    try:
        document = json.loads(text) if text.lstrip()[:1] == b"{" else _yaml(text)
    except RecursionError:
        raise AwsError(f"{path} cannot be read: it is nested too deeply") from None
    except ValueError as error:
        raise AwsError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(document, dict):
        raise AwsError(f"{path} is no template: it is no mapping")
    return document


def _yaml(text: bytes) -> Any:
    """Raises ValueError if the text is not YAML. A short tag becomes an unresolved intrinsic, by
    its long name.
    """
    try:
        import yaml  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra, and JSON needs none
    except ImportError:
        raise AwsError(f"a template in YAML needs PyYAML: {remedy('aws')}") from None

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """YAML as CloudFormation reads it. Creates only plain values."""

    def intrinsic(loader: Any, tag: str, node: Any) -> dict[str, Any]:
        name = tag if tag in {"Ref", "Condition"} else f"Fn::{tag}"
        if isinstance(node, yaml.ScalarNode):
            value = loader.construct_scalar(node)
            return {name: value.split(".", 1) if tag == "GetAtt" else value}
        if isinstance(node, yaml.SequenceNode):
            return {name: loader.construct_sequence(node, deep=True)}
        return {name: loader.construct_mapping(node, deep=True)}

    Loader.add_multi_constructor("!", intrinsic)
    try:
        return yaml.load(text, Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, TypeError, AttributeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise ValueError(f"{getattr(error, 'problem', None) or 'it is no YAML'}{where}") from None


def _mapping(value: Any) -> Mapping[str, Any]:
    """The written-out members of a mapping; empty if the value is something else."""
    return value if isinstance(value, dict) and not _is_intrinsic(value) else {}


def _is_intrinsic(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    return any(name in {"Ref", "Condition"} or str(name).startswith("Fn::") for name in value)


def _literal(value: Any) -> Any:
    """A plain value as written; `UNKNOWN` if it is something else."""
    if isinstance(value, dict):
        text = value.get("Fn::Sub")
        return text if isinstance(text, str) and "${" not in text else UNKNOWN
    return value


def _text(value: Any) -> str | None:
    """The value of a variable as CloudFormation would write it; None if unknown."""
    value = _literal(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63):
        return str(value)
    # A dynamic reference is resolved at deployment; half a surrogate pair is not text.
    if isinstance(value, str) and "{{resolve:" not in value and value == _printable(value):
        return value
    return None


def _printable(name: Any) -> str:
    """A name as printable text; JSON can contain lone surrogates."""
    return str(name).encode("utf-8", "backslashreplace").decode()


def _memory_mb(value: Any) -> int | None:
    text = _text(value) or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


def _is_layer(resource: Mapping[str, Any]) -> bool:
    return resource.get("Type") in _LAYERS


def _own_layer(logical_id: str, resource: Mapping[str, Any], other_name: str) -> Layer:
    """A layer that the template defines: ours if it has our name, else unknown."""
    properties = _mapping(resource.get("Properties"))
    name = _literal(properties.get("LayerName", logical_id))
    architectures = properties.get("CompatibleArchitectures")
    known = (
        [item for item in architectures if isinstance(item, str)]
        if isinstance(architectures, list)
        else []
    )
    is_called_so = isinstance(name, str) and name in {LAYER_NAME, other_name}
    return Layer(str(name), is_called_so or None, tuple(known))


def _subject(template: _Template, resource: Mapping[str, Any], other_name: str) -> Subject:
    is_sam = resource.get("Type") == _SAM_FUNCTION
    own = resource.get("Properties", {})
    if _is_intrinsic(own) or not isinstance(own, dict):
        return Subject("", is_named=False, is_deployed=False, variables={}, has_all_variables=False)
    is_open = "Fn::Transform" in own
    defaults = template.defaults if is_sam else {}
    properties = {**defaults, **own}
    variables, unknown, has_all = _variables(defaults, own)
    tracing = _literal(
        properties.get("Tracing")
        if is_sam
        else _mapping(properties.get("TracingConfig")).get("Mode")
    )
    runtime = _literal(properties.get("Runtime"))
    is_image = properties.get("PackageType") == "Image" or "ImageUri" in properties
    return Subject(
        name="",
        is_named=False,
        is_deployed=False,
        variables=variables,
        unknown=unknown,
        has_all_variables=has_all and not is_open,
        runtime="" if is_image else runtime if isinstance(runtime, str) else None,
        is_image=is_image,
        architectures=_architectures(properties.get("Architectures", ["x86_64"])),
        layers=None if is_open else _layers(template, defaults, own, other_name),
        memory_mb=_memory_mb(properties.get("MemorySize", DEFAULT_MEMORY_MB)),
        is_traced_by_xray=tracing == "Active",
        is_in_vpc=bool(_mapping(properties.get("VpcConfig"))),
        has_snap_start=_mapping(properties.get("SnapStart")).get("ApplyOn") == "PublishedVersions",
        is_managed_instances="CapacityProviderConfig" in properties,
        publishes_versions="AutoPublishAlias" in properties,
        has_own_key="KmsKeyArn" in properties,
    )


def _architectures(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    return None


def _variables(*sections: Mapping[str, Any]) -> tuple[dict[str, str], frozenset[str], bool]:
    """Variables from the sections, later sections first: known values, the names of unknown ones,
    and whether the list is complete.
    """
    known: dict[str, str] = {}
    unknown: set[str] = set()
    is_all = True
    for section in sections:
        environment = section.get("Environment", {})
        variables = _mapping(environment).get("Variables", {})
        is_all = is_all and not _is_intrinsic(environment) and not _is_intrinsic(variables)
        for name, value in _mapping(variables).items():
            text, key = _text(value), _printable(name)
            known.pop(key, None)
            unknown.discard(key)
            if text is None:
                unknown.add(key)
            else:
                known[key] = text
    return known, frozenset(unknown), is_all


def _layers(
    template: _Template, defaults: Mapping[str, Any], own: Mapping[str, Any], other_name: str
) -> tuple[Layer, ...] | None:
    """The layers of Globals and of the function; None if their number is unknown."""
    found: list[Layer] = []
    for section in (defaults, own):
        layers = section.get("Layers") or []
        if not isinstance(layers, list):
            return None
        if any(isinstance(layer, dict) and "Fn::If" in layer for layer in layers):
            return None  # The intrinsic may leave it out.
        found += (_layer(template, layer, other_name) for layer in layers)
    return tuple(found)


def _layer(template: _Template, value: Any, other_name: str) -> Layer:
    if isinstance(value, dict):
        reference, text = value.get("Ref"), value.get("Fn::Sub")
        if isinstance(reference, str) and reference in template.layers:
            return template.layers[reference]
        value = _without_pseudo_parameters(text) if isinstance(text, str) else None
    if not isinstance(value, str):
        return Layer("", None)
    name = layer_name(value)
    # An ARN that is fully written out, or open in its version alone.
    if not name and (
        match := re.fullmatch(
            r"arn:aws[a-z-]*:lambda:[^:]+:[^:]+:layer:([A-Za-z0-9_-]+)(:.*)?", value
        )
    ):
        name = match[1]
    if not name:
        return Layer("", None)
    return Layer(
        name, name in {LAYER_NAME, other_name} if "${" in value else is_ours(value, other_name)
    )


def _without_pseudo_parameters(text: str) -> str:
    for name, example in _PSEUDO.items():
        text = text.replace(name, example)
    return text
