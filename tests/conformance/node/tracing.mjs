// What `node --import` runs before the client: the SDK, and the instrumentation that wraps the handler as it is loaded.

import { register } from "node:module";
import { getPropagator } from "@opentelemetry/auto-configuration-propagators";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { registerInstrumentations } from "@opentelemetry/instrumentation";
import { AwsLambdaInstrumentation } from "@opentelemetry/instrumentation-aws-lambda";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

register("@opentelemetry/instrumentation/hook.mjs", import.meta.url);

const tracerProvider = new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())] });
tracerProvider.register({ propagator: getPropagator() });
registerInstrumentations({ tracerProvider, instrumentations: [new AwsLambdaInstrumentation()] });
