"""A construct that puts lrap-otel in front of a function that a stack has already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Token
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Mapping

WRAPPER = "/opt/lrap-otel/wrapper"
# Lambda hands these to the wrapper; the other managed runtimes' bootstraps ignore the variable.
STARTED_BY_WRAPPER = {
    lambda_.RuntimeFamily.PYTHON,
    lambda_.RuntimeFamily.NODEJS,
    lambda_.RuntimeFamily.JAVA,
    lambda_.RuntimeFamily.DOTNET_CORE,
    lambda_.RuntimeFamily.RUBY,
}


class LrapOtel(Construct):
    """Adds the layer, the wrapper and the collector's endpoint to `function`, and nothing else.

    `layer_arn` has a version. A function of another runtime gets the layer and the endpoint; its
    ``bootstrap`` has to start the program through the wrapper. `next_wrapper` is the wrapper that
    the function was started through before. `environment` holds more variables, for example
    ``OTEL_SERVICE_NAME``.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        function: lambda_.Function,
        layer_arn: str,
        endpoint: str,
        next_wrapper: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        if not Token.is_unresolved(endpoint) and not endpoint.startswith(("http://", "https://")):
            raise ValueError(f"endpoint is no http:// or https:// address: {endpoint}")
        function.add_layers(lambda_.LayerVersion.from_layer_version_arn(self, "Layer", layer_arn))
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, **(environment or {})}
        if function.runtime.family in STARTED_BY_WRAPPER:
            variables["AWS_LAMBDA_EXEC_WRAPPER"] = WRAPPER
        if next_wrapper:
            variables["LRAP_NEXT_WRAPPER"] = next_wrapper
        for name, value in variables.items():
            function.add_environment(name, value)
