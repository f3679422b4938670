/** The pet shop's function, traced: cdk deploy --context layer=ARN --context endpoint=URL */

import { join } from "node:path";
import { App, Duration, Stack } from "aws-cdk-lib";
import * as lambda from "aws-cdk-lib/aws-lambda";
import { LrapOtel } from "./lrap-otel";

const app = new App();
const stack = new Stack(app, "PetShop");
const pets = new lambda.Function(stack, "Pets", {
  runtime: lambda.Runtime.PYTHON_3_13,
  handler: "app.handler",
  code: lambda.Code.fromAsset(join(__dirname, "..", "..", "python")),
  memorySize: 256,
  timeout: Duration.seconds(10),
});
new LrapOtel(stack, "Tracing", {
  function: pets,
  layerArn: stack.node.getContext("layer"),
  endpoint: stack.node.getContext("endpoint"),
});
app.synth();
