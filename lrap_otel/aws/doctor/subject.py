"""What `doctor` checks: one function as the API or a template describes it.

A value that a template leaves open until deployment is unknown: None, or a name in `unknown`.
Nothing is concluded from unknown values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lrap_otel.aws.function import layer_name
from lrap_otel.aws.plan import is_ours
from lrap_otel.telemetry.variable_checks import WRAPPER, WRAPPER_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lrap_otel.aws.function import Function

DEFAULT_MEMORY_MB = 128


@dataclass(frozen=True)
class Layer:
    """A layer of a function; `is_ours` is None if unknown."""

    name: str
    is_ours: bool | None
    architectures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subject:
    """A function to check. `variables` have known values; `unknown` names the others.

    `has_all_variables` is False if there may be more variables. `runtime` is empty for an image.
    `is_named`: the user named this function, rather than a group.
    """

    name: str
    is_named: bool
    is_deployed: bool
    variables: Mapping[str, str] = field(repr=False)
    unknown: frozenset[str] = frozenset()
    has_all_variables: bool = True
    runtime: str | None = None
    is_image: bool = False
    architectures: tuple[str, ...] | None = None
    layers: tuple[Layer, ...] | None = None
    memory_mb: int | None = None
    is_traced_by_xray: bool = False
    is_in_vpc: bool = False
    has_snap_start: bool = False
    is_managed_instances: bool = False
    publishes_versions: bool = False
    has_own_key: bool = False

    @classmethod
    def of(cls, function: Function, other_name: str, *, is_named: bool) -> Subject:
        """A deployed function. `other_name` is another name that our layer may have."""
        return cls(
            name=f"{function.region}  {function.name}",
            is_named=is_named,
            is_deployed=True,
            variables=function.variables,
            has_all_variables=not function.environment_error,
            runtime=function.runtime,
            is_image=function.package_type == "Image",
            architectures=function.architectures,
            layers=tuple(
                Layer(layer_name(arn), is_ours(arn, other_name)) for arn in function.layers
            ),
            memory_mb=function.memory_mb,
            is_traced_by_xray=function.tracing == "Active",
            is_in_vpc=bool(function.vpc_id),
            has_snap_start=function.has_snap_start,
            is_managed_instances=function.is_managed_instances,
            has_own_key=function.has_own_key,
        )

    @property
    def has_our_layer(self) -> bool | None:
        """Whether one of its layers is ours; None if unknown."""
        if self.layers is None:
            return None
        known = {layer.is_ours for layer in self.layers}
        return True if True in known else None if None in known else False

    @property
    def is_none_of_ours(self) -> bool:
        """Whether nothing on it is ours: no layer, no wrapper, no variable."""
        if self.is_named and self.is_image:
            return False
        names = {*self.variables, *self.unknown}
        is_wrapped = (
            self.variables.get(WRAPPER_VARIABLE) == WRAPPER or WRAPPER_VARIABLE in self.unknown
        )
        prefixes = ("LRAP_", "OTEL_EXPORTER_OTLP_") if self.is_image else ("LRAP_",)
        return (
            (self.is_image or self.has_our_layer is False)
            and self.has_all_variables
            and not is_wrapped
            and not any(name.startswith(prefixes) for name in names)
        )

    def is_set(self, name: str) -> bool | None:
        """Whether a variable is set; None if unknown."""
        if self.variables.get(name) or name in self.unknown:
            return True
        return False if self.has_all_variables else None

    @property
    def encoded(self) -> dict[bytes, bytes]:
        """The variables in the form that the settings read."""
        return encoded(self.variables)


def encoded(variables: Mapping[str, str]) -> dict[bytes, bytes]:
    """Variables in the form of `posix.environ`."""
    return {
        name.encode("utf-8", "surrogateescape"): value.encode("utf-8", "surrogateescape")
        for name, value in variables.items()
    }
