// Functions for OpenTelemetry's own instrumentation, which tracing.mjs puts around them; here for aws-lambda-ric.

import { setTimeout } from "node:timers/promises";

export async function handler(event) {
  if (event.do === "fail") throw new RangeError("it broke");
  return event;
}

export const stream = awslambda.streamifyResponse(async (event, responses) => {
  responses.write("first half,");
  await setTimeout(200);
  if (event.do === "break stream") throw new RangeError("it broke");
  responses.end("second half");
});
