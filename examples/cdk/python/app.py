"""The pet shop's function, traced. ``cdk deploy --context layer=ARN --context endpoint=URL``."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import App, Duration, Stack
from aws_cdk import aws_lambda as lambda_
from lrap_otel_construct import LrapOtel

app = App()
stack = Stack(app, "PetShop")
pets = lambda_.Function(
    stack,
    "Pets",
    runtime=lambda_.Runtime.PYTHON_3_13,
    handler="app.handler",
    code=lambda_.Code.from_asset(str(Path(__file__).parents[2] / "python")),
    memory_size=256,
    timeout=Duration.seconds(10),
)
LrapOtel(
    stack,
    "Tracing",
    function=pets,
    layer_arn=stack.node.get_context("layer"),
    endpoint=stack.node.get_context("endpoint"),
)
app.synth()
