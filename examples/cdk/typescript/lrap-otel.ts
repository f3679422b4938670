/** A construct that puts lrap-otel in front of a function that a stack has already. */

import { Token } from "aws-cdk-lib";
import * as lambda from "aws-cdk-lib/aws-lambda";
import { Construct } from "constructs";

export const WRAPPER = "/opt/lrap-otel/wrapper";

/** The managed runtimes that Lambda starts through a wrapper; the others' bootstraps ignore the variable. */
const STARTED_BY_WRAPPER = [
  lambda.RuntimeFamily.PYTHON,
  lambda.RuntimeFamily.NODEJS,
  lambda.RuntimeFamily.JAVA,
  lambda.RuntimeFamily.DOTNET_CORE,
  lambda.RuntimeFamily.RUBY,
];

export interface LrapOtelProps {
  readonly function: lambda.Function;
  /** With its version. */
  readonly layerArn: string;
  /** Where the collector takes OTLP over HTTP. */
  readonly endpoint: string;
  /** The wrapper that the function was started through before. */
  readonly nextWrapper?: string;
  /** More variables, for example OTEL_SERVICE_NAME. */
  readonly environment?: Readonly<Record<string, string>>;
}

/**
 * Adds the layer, the wrapper and the collector's endpoint, and nothing else. A function of another
 * runtime gets the layer and the endpoint; its bootstrap has to start the program through the wrapper.
 */
export class LrapOtel extends Construct {
  constructor(scope: Construct, id: string, props: LrapOtelProps) {
    super(scope, id);
    if (!Token.isUnresolved(props.endpoint) && !/^https?:\/\//.test(props.endpoint)) {
      throw new Error(`endpoint is no http:// or https:// address: ${props.endpoint}`);
    }
    props.function.addLayers(lambda.LayerVersion.fromLayerVersionArn(this, "Layer", props.layerArn));
    const variables: Record<string, string> = {
      OTEL_EXPORTER_OTLP_ENDPOINT: props.endpoint,
      ...props.environment,
    };
    const family = props.function.runtime.family;
    if (family !== undefined && STARTED_BY_WRAPPER.includes(family)) {
      variables.AWS_LAMBDA_EXEC_WRAPPER = WRAPPER;
    }
    if (props.nextWrapper) {
      variables.LRAP_NEXT_WRAPPER = props.nextWrapper;
    }
    for (const [name, value] of Object.entries(variables)) {
      props.function.addEnvironment(name, value);
    }
  }
}
