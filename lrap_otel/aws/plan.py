"""The layers and variables that a function will have. Pure functions: nothing is called or written.

Everything that is not ours is kept, in its order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lrap_otel.aws.function import LAYER_NAME, layer_name
from lrap_otel.aws.obstacles import limit_exceeded, notes, obstacle, runs_wrappers
from lrap_otel.telemetry.variable_checks import (
    ENDPOINT_VARIABLE,
    NEXT_WRAPPER_VARIABLE,
    SHORT_WRAPPER,
    WRAPPER,
    WRAPPER_VARIABLE,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lrap_otel.aws.function import Function


@dataclass(frozen=True)
class Wish:
    """The request of `instrument` for one region. `layer_bytes` is the layer's unzipped size, 0 if
    unknown.
    """

    layer_arn: str
    variables: Mapping[str, str] = field(repr=False)
    layer_bytes: int = 0


@dataclass(frozen=True)
class Plan:
    """The configuration that one function will have. `refusal`, if not empty, says why nothing is
    done; `notes` are for the user.
    """

    function: Function
    layers: tuple[str, ...]
    variables: Mapping[str, str] = field(repr=False)
    notes: tuple[str, ...] = ()
    refusal: str = ""

    @property
    def changes_layers(self) -> bool:
        return self.layers != self.function.layers

    @property
    def changes_variables(self) -> bool:
        # The order of a JSON object has no meaning, but an exact restoration keeps it.
        return list(self.variables.items()) != list(self.function.variables.items())

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return not self.refusal and (self.changes_layers or self.changes_variables)


@dataclass(frozen=True)
class Record:
    """The configuration before and after our change. A variable that is not set is None."""

    layers_before: tuple[str, ...]
    layers_after: tuple[str, ...]
    variables: Mapping[str, tuple[str | None, str | None]] = field(repr=False)
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, plan: Plan) -> Record:
        """The record of a plan for a function that has no record yet."""
        old, new = plan.function.variables, plan.variables
        changed = [name for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name)]
        return cls(
            plan.function.layers,
            plan.layers,
            {name: (old.get(name), new.get(name)) for name in changed},
            tuple(old),
        )

    def followed_by(self, later: Record) -> Record:
        """The record of both changes. If this one's result was still in place, its `before` is
        kept.
        """
        variables = dict(later.variables)
        has_held = self.layers_after == later.layers_before
        is_in_place = has_held and self.layers_after != self.layers_before
        for name, (before, after) in self.variables.items():
            if name not in later.variables:
                # The later change did not touch it. It is as this one made it, or somebody else has
                # changed it, which restoring will notice.
                variables[name] = (before, after)
                is_in_place = is_in_place or (after is None) == (name not in later.names)
            elif later.variables[name][0] == after:
                variables[name] = (before, later.variables[name][1])
                is_in_place = True
        return Record(
            self.layers_before if has_held else later.layers_before,
            later.layers_after,
            variables,
            self.names if is_in_place else later.names,
        )

    def restore_layers(
        self, current: tuple[str, ...], is_ours: Callable[[str], bool]
    ) -> tuple[tuple[str, ...], bool]:
        """The layers before the change, and whether nobody else has changed them since.

        If somebody has, our layer alone is removed, or replaced by the version that was there
        before.
        """
        if current in {self.layers_after, self.layers_before}:
            return self.layers_before, True
        ours = {*self.layers_after} - {*self.layers_before}
        earlier = [layer for layer in self.layers_before if is_ours(layer)][:1]
        found: list[str] = []
        for layer in current:
            found += earlier if layer in ours else [layer]
        return tuple(dict.fromkeys(found)), False

    def restore_variables(self, current: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        """The variables before the change, and the names of ours that somebody else has changed
        since.
        """
        restored: dict[str, str] = dict(current)
        changed: list[str] = []
        for name, (before, after) in self.variables.items():
            if current.get(name) not in {before, after}:
                changed.append(name)
            elif before is None:
                restored.pop(name, None)
            else:
                restored[name] = before
        if set(restored) == set(self.names):
            restored = {name: restored[name] for name in self.names}
        return restored, changed


def instrumented(function: Function, wish: Wish) -> Plan:
    """The function with our layer, wrapper and variables; unchanged, with a refusal, if that is not
    possible.
    """
    refusal = obstacle(function)
    layers = with_layer(function.layers, wish.layer_arn)
    variables, said = _with_variables(function, wish)
    refusal = refusal or limit_exceeded(function, layers, variables, wish.layer_bytes)
    if refusal:
        return Plan(function, function.layers, function.variables, refusal=refusal)
    return Plan(function, layers, variables, (*notes(function), *said))


def with_layer(layers: Sequence[str], ours: str) -> tuple[str, ...]:
    """The layers with ours once: in place of another version of it, else first.

    A later layer's files replace an earlier one's. As the first, ours replaces nothing of another
    layer, even if both have a /opt/wrapper.
    """
    name = layer_name(ours)
    if not any(is_ours(layer, name) for layer in layers):
        return (ours, *layers)
    replaced = (ours if is_ours(layer, name) else layer for layer in layers)
    return tuple(dict.fromkeys(replaced))


def is_ours(layer: str, other_name: str = "") -> bool:
    """Whether a layer is a version of ours, by its name or by the other name that the user gave."""
    return layer_name(layer) in {LAYER_NAME, other_name or LAYER_NAME}


def _with_variables(function: Function, wish: Wish) -> tuple[dict[str, str], list[str]]:
    variables = dict(function.variables)
    said: list[str] = []
    if runs_wrappers(function.runtime):
        current = variables.get(WRAPPER_VARIABLE, "")
        has_layer = any(is_ours(layer, layer_name(wish.layer_arn)) for layer in function.layers)
        if current and current != WRAPPER and not (current == SHORT_WRAPPER and has_layer):
            if variables.get(NEXT_WRAPPER_VARIABLE, current) != current:
                said.append(
                    f"{NEXT_WRAPPER_VARIABLE} was set beside another wrapper, without effect; it "
                    f"is replaced"
                )
            variables[NEXT_WRAPPER_VARIABLE] = current
            said.append(f"its wrapper {current} runs after ours, by {NEXT_WRAPPER_VARIABLE}")
        variables[WRAPPER_VARIABLE] = WRAPPER
    if variables.get(NEXT_WRAPPER_VARIABLE) == WRAPPER:
        del variables[NEXT_WRAPPER_VARIABLE]
        said.append(
            f"{NEXT_WRAPPER_VARIABLE} named our own wrapper, which would start itself for ever"
        )
    variables.update(wish.variables)
    return variables, said


def uninstrumented(function: Function, record: Record | None, other_name: str = "") -> Plan:
    """The function as it was before, by its record; without a record, without everything that is
    recognisably ours.

    Changes that others have made since are kept.
    """
    if function.environment_error:
        return Plan(function, function.layers, function.variables, refusal=obstacle(function))
    if record is None:
        return _without_ours(function, other_name)
    layers, are_exact = record.restore_layers(
        function.layers, lambda layer: is_ours(layer, other_name)
    )
    variables, changed = record.restore_variables(function.variables)
    said = [f"{name} was changed since; it stays as it is" for name in changed]
    if not are_exact:
        said.append("its layers were changed since; only ours is taken out")
        # A wrapper that is in no layer would keep the function from starting.
        if not any(is_ours(layer, other_name) for layer in layers):
            _restore_wrapper(variables)
    return Plan(function, layers, variables, tuple(said))


def _without_ours(function: Function, other_name: str) -> Plan:
    layers = tuple(layer for layer in function.layers if not is_ours(layer, other_name))
    variables = dict(function.variables)
    if layers != function.layers and variables.get(WRAPPER_VARIABLE) == SHORT_WRAPPER:
        variables[WRAPPER_VARIABLE] = WRAPPER
    _restore_wrapper(variables)
    variables = {name: value for name, value in variables.items() if not name.startswith("LRAP_")}
    plan = Plan(function, layers, variables)
    if plan.changes and ENDPOINT_VARIABLE in variables:
        kept = (
            f"no record of this function: {ENDPOINT_VARIABLE} and other OTEL_* stay, an SDK "
            f"may read them"
        )
        return Plan(function, layers, variables, (kept,))
    return plan


def _restore_wrapper(variables: dict[str, str]) -> None:
    """Move the wrapper that ours replaced back to its variable. Changes `variables`."""
    if variables.get(WRAPPER_VARIABLE) != WRAPPER:
        return
    following = variables.pop(NEXT_WRAPPER_VARIABLE, "")
    if following and following != WRAPPER:
        variables[WRAPPER_VARIABLE] = following
    else:
        del variables[WRAPPER_VARIABLE]


def difference(plan: Plan) -> Iterator[str]:
    """The lines that show what a plan changes: layers, and those variables that change."""
    before, after = plan.function.layers, plan.layers
    yield from (f"- layer {layer}" for layer in before if layer not in after)
    yield from (f"+ layer {layer}" for layer in after if layer not in before)
    if plan.changes_layers and set(before) == set(after):
        yield f"~ layers in the order {', '.join(map(layer_name, after))}"
    old, new = plan.function.variables, plan.variables
    for name in dict.fromkeys((*old, *new)):
        if name not in new:
            yield f"- {name}"
        elif name not in old:
            yield f"+ {name}={shown(name, new[name])}"
        elif old[name] != new[name]:
            yield f"~ {name}={shown(name, old[name])} -> {shown(name, new[name])}"


def shown(name: str, value: str) -> str:
    """A value as it may be printed: wrappers, and settings that contain no secret."""
    if name in {WRAPPER_VARIABLE, NEXT_WRAPPER_VARIABLE}:
        return value
    if name.startswith("OTEL_") and name.endswith("_ENDPOINT"):
        return _without_secrets(value)
    return "(not shown)"


def _without_secrets(url: str) -> str:
    """Scheme, host and port; path, query and user may be secrets."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(not shown)"
    return f"{parts.scheme}://{host}{'/…' if parts.path.strip('/') or parts.query else ''}"
