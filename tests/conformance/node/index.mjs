// What every client's function does; here for aws-lambda-ric, with one handler for results and one for streams.

import { setTimeout } from "node:timers/promises";

export async function handler(event, context) {
  switch (event.do) {
    case "trace":
      return {
        environment: process.env._X_AMZN_TRACE_ID,
        context: context.xRayTraceId,
        custom: context.clientContext.custom.traceparent,
        event,
      };
    case "fail":
      return fail(event.depth);
    case "crash":
      process.exit(3);
    case "large":
      return "x".repeat(event.bytes);
  }
  return event;
}

function fail(depth) {
  if (depth) return fail(depth - 1);
  throw new RangeError("it broke");
}

export const stream = awslambda.streamifyResponse(async (event, responses) => {
  responses.setContentType("text/plain");
  responses.write("first half,");
  await setTimeout(200);
  if (event.do === "break stream") throw new RangeError("it broke");
  responses.write("second half");
  responses.end();
});
