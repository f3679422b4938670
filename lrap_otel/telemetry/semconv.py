"""Every name that leaves the telemetry process: attributes, events, metrics, and values that are
fixed words.

OpenTelemetry's are from semantic conventions 1.44.0, whose schema url we send; a test compares each
with ``opentelemetry.semconv``. Ours start with ``lrap.``.
"""

from lrap_otel import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    Value = str | int | float | bool | list[str]
    Attributes = dict[str, Value]

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
SCOPE_NAME = "lrap-otel"
SCOPE_VERSION = __version__

# The invocation.
FAAS_TRIGGER = "faas.trigger"
FAAS_INVOCATION_ID = "faas.invocation_id"
FAAS_COLDSTART = "faas.coldstart"
FAAS_TIME = "faas.time"
FAAS_DOCUMENT_COLLECTION = "faas.document.collection"
FAAS_DOCUMENT_NAME = "faas.document.name"
FAAS_DOCUMENT_OPERATION = "faas.document.operation"
FAAS_DOCUMENT_TIME = "faas.document.time"
CLOUD_RESOURCE_ID = "cloud.resource_id"
CLOUD_ACCOUNT_ID = "cloud.account.id"
AWS_LAMBDA_INVOKED_ARN = "aws.lambda.invoked_arn"
AWS_XRAY_ANNOTATIONS = "aws.xray.annotations"
ERROR_TYPE = "error.type"

TRIGGER_HTTP = "http"
TRIGGER_PUBSUB = "pubsub"
TRIGGER_DATASOURCE = "datasource"
TRIGGER_TIMER = "timer"
TRIGGER_OTHER = "other"

# HTTP triggers.
HTTP_REQUEST_METHOD = "http.request.method"
HTTP_REQUEST_METHOD_ORIGINAL = "http.request.method_original"
HTTP_RESPONSE_STATUS_CODE = "http.response.status_code"
HTTP_ROUTE = "http.route"
URL_PATH = "url.path"
URL_QUERY = "url.query"
URL_SCHEME = "url.scheme"
CLIENT_ADDRESS = "client.address"
NETWORK_PEER_ADDRESS = "network.peer.address"
NETWORK_PROTOCOL_VERSION = "network.protocol.version"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
USER_AGENT_ORIGINAL = "user_agent.original"

# Messaging triggers.
MESSAGING_SYSTEM = "messaging.system"
MESSAGING_OPERATION_NAME = "messaging.operation.name"
MESSAGING_OPERATION_TYPE = "messaging.operation.type"
MESSAGING_DESTINATION_NAME = "messaging.destination.name"
MESSAGING_BATCH_MESSAGE_COUNT = "messaging.batch.message_count"
MESSAGING_MESSAGE_ID = "messaging.message.id"
MESSAGING_DESTINATION_PARTITION_ID = "messaging.destination.partition.id"
MESSAGING_KAFKA_OFFSET = "messaging.kafka.offset"
MESSAGING_KAFKA_MESSAGE_TOMBSTONE = "messaging.kafka.message.tombstone"
AWS_SQS_QUEUE_URL = "aws.sqs.queue.url"
# The convention has no word for the last three.
SYSTEM_SQS = "aws_sqs"
SYSTEM_SNS = "aws.sns"
SYSTEM_KAFKA = "kafka"
SYSTEM_ACTIVEMQ = "activemq"
SYSTEM_RABBITMQ = "rabbitmq"
SYSTEM_KINESIS = "aws.kinesis"
SYSTEM_FIREHOSE = "aws.firehose"
SYSTEM_EVENTBRIDGE = "aws.eventbridge"
AWS_SNS_TOPIC_ARN = "aws.sns.topic.arn"
AWS_KINESIS_STREAM_NAME = "aws.kinesis.stream_name"
AWS_S3_BUCKET = "aws.s3.bucket"
AWS_S3_KEY = "aws.s3.key"

# Triggers that are `other`, and GraphQL.
GRAPHQL_OPERATION_NAME = "graphql.operation.name"
GRAPHQL_OPERATION_TYPE = "graphql.operation.type"
GEN_AI_AGENT_ID = "gen_ai.agent.id"
GEN_AI_AGENT_NAME = "gen_ai.agent.name"
GEN_AI_AGENT_VERSION = "gen_ai.agent.version"
GEN_AI_CONVERSATION_ID = "gen_ai.conversation.id"
VCS_REPOSITORY_NAME = "vcs.repository.name"
VCS_REF_HEAD_NAME = "vcs.ref.head.name"
VCS_REF_HEAD_REVISION = "vcs.ref.head.revision"
VCS_REF_HEAD_TYPE = "vcs.ref.head.type"
REF_BRANCH = "branch"
REF_TAG = "tag"
AWS_SECRETSMANAGER_SECRET_ARN = "aws.secretsmanager.secret.arn"  # noqa: S105 - a name
AWS_STEP_FUNCTIONS_STATE_MACHINE_ARN = "aws.step_functions.state_machine.arn"
# The conventions have no word for durable functions.
AWS_DURABLE_EXECUTION_ARN = "aws.durable.execution.arn"
AWS_DURABLE_EXECUTION_REPLAY = "aws.durable.execution.replay"

# Data sources: faas.document.operation.
OPERATION_INSERT = "insert"
OPERATION_EDIT = "edit"
OPERATION_DELETE = "delete"

# Exceptions.
EXCEPTION_EVENT = "exception"
EXCEPTION_TYPE = "exception.type"
EXCEPTION_MESSAGE = "exception.message"
EXCEPTION_STACKTRACE = "exception.stacktrace"

# The resource.
CLOUD_PROVIDER = "cloud.provider"
CLOUD_PLATFORM = "cloud.platform"
CLOUD_REGION = "cloud.region"
FAAS_NAME = "faas.name"
FAAS_VERSION = "faas.version"
FAAS_INSTANCE = "faas.instance"
FAAS_MAX_MEMORY = "faas.max_memory"
AWS_LOG_GROUP_NAMES = "aws.log.group.names"
AWS_LOG_STREAM_NAMES = "aws.log.stream.names"
SERVICE_NAME = "service.name"
SERVICE_INSTANCE_ID = "service.instance.id"
TELEMETRY_SDK_NAME = "telemetry.sdk.name"
TELEMETRY_SDK_LANGUAGE = "telemetry.sdk.language"
TELEMETRY_SDK_VERSION = "telemetry.sdk.version"
TELEMETRY_DISTRO_NAME = "telemetry.distro.name"
TELEMETRY_DISTRO_VERSION = "telemetry.distro.version"

# Metrics.
FAAS_INVOKE_DURATION = "faas.invoke_duration"
FAAS_INVOCATIONS = "faas.invocations"
FAAS_ERRORS = "faas.errors"
FAAS_TIMEOUTS = "faas.timeouts"
FAAS_COLDSTARTS = "faas.coldstarts"
FAAS_INIT_DURATION = "faas.init_duration"
FAAS_MEM_USAGE = "faas.mem_usage"

# Ours.
LRAP_PROXY_OVERHEAD = "lrap.proxy.overhead"
LRAP_FLUSH_BILLED = "lrap.flush.billed"
LRAP_RECORDS_DROPPED = "lrap.records.dropped"
LRAP_SPANS_DROPPED = "lrap.spans.dropped"
LRAP_LOGS_DROPPED = "lrap.logs.dropped"
LRAP_EXPORTS_FAILED = "lrap.exports.failed"
LRAP_ENDPOINT = "lrap.endpoint"
LRAP_SIGNAL = "lrap.signal"
LRAP_EXECUTION_ENV = "lrap.execution_env"
LRAP_TRIGGER = "lrap.trigger"
LRAP_LOG_SOURCE = "lrap.log.source"
LRAP_INIT_TYPE = "lrap.init.type"
LRAP_INIT_PHASE = "lrap.init.phase"
LRAP_RUNTIME_VERSION = "lrap.runtime_version"
LRAP_MEMORY_USED = "lrap.memory.used"
LRAP_PLATFORM_INVOKE_DURATION = "lrap.platform.invoke_duration"
LRAP_EXTENSION_OVERHEAD = "lrap.extension.overhead"
# Each of these is an attribute of the span and a metric.
LRAP_BILLED_DURATION = "lrap.billed_duration"
LRAP_EVENT_AGE = "lrap.event.age"
LRAP_BATCH_ITEM_FAILURES = "lrap.batch.item_failures"
LRAP_RUNTIME_API_STATUS_CODE = "lrap.runtime_api.status_code"
LRAP_SAMPLING_KEPT_BY = "lrap.sampling.kept_by"
LRAP_LINK_SOURCE = "source"
LRAP_LINK_SOURCE_XRAY = "x-ray-env"
LRAP_LINK_SOURCE_INIT = "init"

# What Lambda measured of an invocation, in the words of the Telemetry API and of X-Ray's
# annotations.
AWS_RESPONSE_LATENCY = "aws.responseLatency"
AWS_RESPONSE_DURATION = "aws.responseDuration"
AWS_RUNTIME_OVERHEAD = "aws.runtimeOverhead"
AWS_EXTENSION_OVERHEAD = "aws.extensionOverhead"
