"""An example event of every trigger, small, with the members that Lambda's documentation gives it.

The names are those of ``lrap.trigger`` (docs/telemetry.md).
"""

from __future__ import annotations

import base64
import gzip
import json
import time
from typing import Any

ACCOUNT = "123456789012"
# The moment that all events are written for.
MADE_S = 1767225600
MADE_DATE = "2026-01-01T00:00:00"
PET = '{"pet": 42}'
PET_BASE64 = base64.b64encode(PET.encode()).decode()


def _arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:us-east-1:{ACCOUNT}:{resource}"


def _v2(domain: str, route: str) -> dict[str, Any]:
    http = {
        "method": "GET",
        "path": "/pets/42",
        "protocol": "HTTP/1.1",
        "sourceIp": "192.0.2.1",
        "userAgent": "curl",
    }
    return {
        "version": "2.0",
        "routeKey": route,
        "rawPath": "/pets/42",
        "rawQueryString": "color=red",
        "headers": {"host": domain, "accept": "*/*"},
        "queryStringParameters": {"color": "red"},
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": domain.partition(".")[0],
            "domainName": domain,
            "http": http,
            "requestId": "id=",
            "routeKey": route,
            "stage": "$default",
            "timeEpoch": 1767225600000,
        },
        "isBase64Encoded": False,
    }


def _v1() -> dict[str, Any]:
    return {
        "version": "1.0",
        "resource": "/pets/{id}",
        "path": "/pets/42",
        "httpMethod": "GET",
        "headers": {"Host": "abc.execute-api.us-east-1.amazonaws.com"},
        "multiValueHeaders": {"Host": ["abc.execute-api.us-east-1.amazonaws.com"]},
        "queryStringParameters": {"color": "red"},
        "multiValueQueryStringParameters": {"color": ["red"]},
        "pathParameters": {"id": "42"},
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "abc",
            "domainName": "abc.execute-api.us-east-1.amazonaws.com",
            "httpMethod": "GET",
            "identity": {"sourceIp": "192.0.2.1", "userAgent": "curl"},
            "path": "/prod/pets/42",
            "protocol": "HTTP/1.1",
            "requestId": "id",
            "requestTimeEpoch": 1767225600000,
            "resourcePath": "/pets/{id}",
            "stage": "prod",
        },
        "body": None,
        "isBase64Encoded": False,
    }


def _records(source: str, *records: dict[str, Any]) -> dict[str, Any]:
    return {
        "Records": [
            {"eventSource": source, "awsRegion": "us-east-1"} | record for record in records
        ]
    }


def _sqs() -> dict[str, Any]:
    message = {
        "messageId": "19dd0b57-b21e-4ac1-bd88-01bbb068cb78",
        "receiptHandle": "handle",
        "body": PET,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1767225600000",
            "SenderId": "AIDAEXAMPLE",
            "ApproximateFirstReceiveTimestamp": "1767225600000",
        },
        "messageAttributes": {},
        "md5OfBody": "md5",
        "eventSourceARN": _arn("sqs", "orders"),
    }
    return _records("aws:sqs", message)


def _sns() -> dict[str, Any]:
    notification = {
        "Type": "Notification",
        "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb5e",
        "TopicArn": _arn("sns", "orders"),
        "Subject": "order",
        "Message": PET,
        "Timestamp": "2026-01-01T00:00:00.000Z",
        "MessageAttributes": {},
    }
    subscription = _arn("sns", "orders:1")
    return {
        "Records": [
            {
                "EventSource": "aws:sns",
                "EventVersion": "1.0",
                "EventSubscriptionArn": subscription,
                "Sns": notification,
            }
        ]
    }


def _eventbridge(source: str, kind: str, detail: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": "0",
        "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "detail-type": kind,
        "source": source,
        "account": ACCOUNT,
        "time": "2026-01-01T00:00:00Z",
        "region": "us-east-1",
        "resources": [],
        "detail": detail,
    }


def _kinesis() -> dict[str, Any]:
    record = {
        "eventID": "shardId-000000000006:1",
        "eventName": "aws:kinesis:record",
        "eventSourceARN": _arn("kinesis", "stream/orders"),
        "kinesis": {
            "partitionKey": "1",
            "sequenceNumber": "1",
            "data": PET_BASE64,
            "approximateArrivalTimestamp": 1767225600.0,
        },
    }
    return _records("aws:kinesis", record)


def _dynamodb() -> dict[str, Any]:
    change = {
        "Keys": {"Id": {"N": "42"}},
        "NewImage": {"Id": {"N": "42"}},
        "ApproximateCreationDateTime": 1767225600,
        "SequenceNumber": "1",
        "SizeBytes": 26,
        "StreamViewType": "NEW_IMAGE",
    }
    arn = _arn("dynamodb", "table/pets/stream/2026-01-01T00:00:00.000")
    return _records(
        "aws:dynamodb",
        {"eventID": "1", "eventName": "INSERT", "eventSourceARN": arn, "dynamodb": change},
    )


def _s3() -> dict[str, Any]:
    stored = {
        "bucket": {"name": "pets", "arn": "arn:aws:s3:::pets"},
        "object": {"key": "42.json", "size": 11},
    }
    return _records(
        "aws:s3",
        {"eventName": "ObjectCreated:Put", "eventTime": "2026-01-01T00:00:00.000Z", "s3": stored},
    )


def _logs() -> dict[str, Any]:
    entries = [{"id": "1", "timestamp": 1767225600000, "message": "hello"}]
    told = {
        "messageType": "DATA_MESSAGE",
        "owner": ACCOUNT,
        "logGroup": "pets",
        "logStream": "1",
        "subscriptionFilters": ["all"],
        "logEvents": entries,
    }
    return {
        "awslogs": {
            "data": base64.b64encode(gzip.compress(json.dumps(told).encode(), mtime=0)).decode()
        }
    }


_KAFKA_RECORD = {
    "topic": "orders",
    "partition": 0,
    "offset": 15,
    "timestamp": 1767225600000,
    "timestampType": "CREATE_TIME",
    "value": PET_BASE64,
    "headers": [],
}
_STATE = {
    "Execution": {"Id": _arn("states", "execution:shop:1")},
    "State": {"Name": "Pay"},
    "StateMachine": {},
}

SAMPLES: dict[str, Any] = {
    "direct": {"pet": 42},
    "api_gateway_http": _v2("abc.execute-api.us-east-1.amazonaws.com", "GET /pets/{id}"),
    "api_gateway_rest": _v1(),
    "api_gateway_websocket": {
        "headers": {"Host": "abc.execute-api.us-east-1.amazonaws.com"},
        "requestContext": {
            "connectionId": "c=",
            "eventType": "CONNECT",
            "routeKey": "$connect",
            "stage": "prod",
        },
        "isBase64Encoded": False,
    },
    "api_gateway_authorizer": {
        "type": "TOKEN",
        "methodArn": _arn("execute-api", "abc/prod/GET/pets"),
        "authorizationToken": "t",
    },
    "function_url": _v2("abc.lambda-url.us-east-1.on.aws", "$default"),
    "load_balancer": {
        "requestContext": {
            "elb": {"targetGroupArn": _arn("elasticloadbalancing", "targetgroup/pets/1")}
        },
        "httpMethod": "GET",
        "path": "/pets/42",
        "queryStringParameters": {"color": "red"},
        "headers": {"host": "pets.example.com"},
        "body": "",
        "isBase64Encoded": False,
    },
    "vpc_lattice": {
        "version": "2.0",
        "path": "/pets/42",
        "method": "GET",
        "headers": {"host": ["pets.example.com"]},
        "requestContext": {
            "serviceNetworkArn": _arn("vpc-lattice", "servicenetwork/sn-1"),
            "serviceArn": _arn("vpc-lattice", "service/svc-1"),
            "timeEpoch": "1767225600000000",
        },
    },
    "appsync_resolver": {
        "arguments": {"id": "42"},
        "info": {"fieldName": "pet", "parentTypeName": "Query"},
        "request": {"headers": {}},
    },
    "appsync_events": {
        "info": {
            "channel": {"path": "/pets/42", "segments": ["pets", "42"]},
            "operation": "PUBLISH",
        },
        "request": {"headers": {}},
        "events": [{"id": "1", "payload": {"pet": 42}}],
    },
    "appsync_authorizer": {
        "authorizationToken": "t",
        "requestContext": {
            "apiId": "abc",
            "queryString": "query { pet }",
            "operationName": "pet",
            "variables": {},
        },
    },
    "schedule": _eventbridge("aws.events", "Scheduled Event", {})
    | {"resources": [_arn("events", "rule/every-minute")]},
    "sqs": _sqs(),
    "sns": _sns(),
    "eventbridge": _eventbridge("shop.orders", "Order placed", {"pet": 42}),
    "kafka": {
        "eventSource": "aws:kafka",
        "eventSourceArn": _arn("kafka", "cluster/pets/1"),
        "bootstrapServers": "b-1:9092",
        "records": {"orders-0": [_KAFKA_RECORD]},
    },
    "kinesis": _kinesis(),
    "firehose": {
        "invocationId": "1",
        "deliveryStreamArn": _arn("firehose", "deliverystream/pets"),
        "region": "us-east-1",
        "records": [
            {"recordId": "1", "approximateArrivalTimestamp": 1767225600000, "data": PET_BASE64}
        ],
    },
    "activemq": {
        "eventSource": "aws:mq",
        "eventSourceArn": _arn("mq", "broker:pets:b-1"),
        "messages": [
            {
                "messageID": "1",
                "messageType": "jms/text-message",
                "destination": {"physicalName": "orders"},
                "timestamp": 1767225600000,
                "data": PET_BASE64,
            }
        ],
    },
    "rabbitmq": {
        "eventSource": "aws:rmq",
        "eventSourceArn": _arn("mq", "broker:pets:b-1"),
        "rmqMessagesByQueue": {
            "orders::/": [
                {"basicProperties": {"headers": {}}, "redelivered": False, "data": PET_BASE64}
            ]
        },
    },
    "dynamodb": _dynamodb(),
    "s3": _s3(),
    "documentdb": {
        "eventSourceArn": _arn("rds", "cluster:pets"),
        "eventSource": "aws:docdb",
        "events": [{"event": {"operationType": "insert", "ns": {"db": "shop", "coll": "pets"}}}],
    },
    "cloudwatch_logs": _logs(),
    "cloudwatch_alarm": {
        "source": "aws.cloudwatch",
        "alarmArn": _arn("cloudwatch", "alarm:too-slow"),
        "accountId": ACCOUNT,
        "time": "2026-01-01T00:00:00.000+0000",
        "region": "us-east-1",
        "alarmData": {"alarmName": "too-slow", "state": {"value": "ALARM"}},
    },
    "durable_execution": {
        "DurableExecutionArn": _arn("lambda", "function:function:$LATEST/durable-execution/1/1"),
        "CheckpointToken": "t",
        "InitialExecutionState": {"Operations": [], "NextMarker": ""},
    },
    "step_functions": {"pet": 42} | _STATE,
    "bedrock_agent": {
        "messageVersion": "1.0",
        "agent": {"name": "pets", "id": "A", "alias": "1", "version": "1"},
        "actionGroup": "pets",
        "apiPath": "/pets",
        "httpMethod": "GET",
        "sessionId": "1",
        "parameters": [],
    },
    "s3_batch": {
        "invocationSchemaVersion": "1.0",
        "invocationId": "1",
        "job": {"id": "j"},
        "tasks": [
            {
                "taskId": "1",
                "s3Key": "42.json",
                "s3VersionId": None,
                "s3BucketArn": "arn:aws:s3:::pets",
            }
        ],
    },
    "codecommit": _records(
        "aws:codecommit",
        {
            "eventName": "ReferenceChanges",
            "eventSourceARN": _arn("codecommit", "pets"),
            "eventTime": "2026-01-01T00:00:00.000+0000",
            "codecommit": {"references": [{"commit": "c0ffee", "ref": "refs/heads/main"}]},
        },
    ),
    "secrets_manager": {
        "SecretId": _arn("secretsmanager", "secret:pets"),
        "ClientRequestToken": "1",
        "Step": "createSecret",
    },
    "config": {
        "version": "1.0",
        "invokingEvent": '{"messageType":"ScheduledNotification"}',
        "ruleParameters": "{}",
        "configRuleName": "pets",
        "configRuleArn": _arn("config", "config-rule/1"),
        "accountId": ACCOUNT,
    },
    "ses": _records(
        "aws:ses",
        {
            "eventVersion": "1.0",
            "ses": {
                "mail": {
                    "messageId": "1",
                    "source": "a@example.com",
                    "timestamp": "2026-01-01T00:00:00.000Z",
                },
                "receipt": {"recipients": ["b@example.com"]},
            },
        },
    ),
    "lambda_destination": {
        "version": "1.0",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "requestContext": {
            "requestId": "1",
            "functionArn": _arn("lambda", "function:other:$LATEST"),
            "condition": "Success",
            "approximateInvokeCount": 1,
        },
        "requestPayload": {"pet": 42},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
        "responsePayload": None,
    },
    "iot_1_click": {
        "deviceEvent": {
            "buttonClicked": {"clickType": "SINGLE", "reportedTime": "2026-01-01T00:00:00.000Z"}
        },
        "deviceInfo": {"attributes": {}, "deviceId": "G030", "type": "button"},
        "placementInfo": {},
    },
    "cognito_user_pool": {
        "version": "1",
        "triggerSource": "PreSignUp_SignUp",
        "region": "us-east-1",
        "userPoolId": "us-east-1_pets",
        "userName": "ada",
        "callerContext": {"clientId": "1"},
        "request": {"userAttributes": {}},
        "response": {},
    },
    "cognito_sync": {
        "datasetName": "pets",
        "eventType": "SyncTrigger",
        "region": "us-east-1",
        "identityId": "us-east-1:1",
        "identityPoolId": "us-east-1:2",
        "datasetRecords": {},
        "version": 2,
    },
    "lex": {
        "bot": {"name": "pets", "id": "B", "aliasId": "1", "version": "1"},
        "sessionState": {"intent": {"name": "Order"}},
        "sessionId": "1",
        "inputTranscript": "hello",
    },
    "connect": {
        "Name": "ContactFlowEvent",
        "Details": {"ContactData": {"ContactId": "1", "Channel": "VOICE"}, "Parameters": {}},
    },
    "s3_object_lambda": {
        "xAmzRequestId": "1",
        "getObjectContext": {
            "inputS3Url": "https://example.com/42.json",
            "outputRoute": "r",
            "outputToken": "t",
        },
        "userRequest": {"url": "https://example.com/42.json", "headers": {}},
        "configuration": {},
        "protocolVersion": "1.01",
    },
    "codepipeline": {"CodePipeline.job": {"id": "1", "accountId": ACCOUNT, "data": {}}},
    "cloudformation": {
        "RequestType": "Create",
        "ResponseURL": "http://127.0.0.1:9/",
        "StackId": _arn("cloudformation", "stack/pets/1"),
        "RequestId": "1",
        "ResourceType": "Custom::Pet",
        "LogicalResourceId": "Pet",
        "ResourceProperties": {},
    },
    "kinesis_analytics": {
        "invocationId": "1",
        "applicationArn": _arn("kinesisanalytics", "application/pets"),
        "records": [{"recordId": "1", "data": PET_BASE64}],
    },
    "iot_button": {"serialNumber": "G030", "batteryVoltage": "1600mV", "clickType": "SINGLE"},
    "iot_authorizer": {
        "protocolData": {"mqtt": {"username": "ada"}},
        "protocols": ["mqtt"],
        "signatureVerified": False,
        "connectionMetadata": {"id": "1"},
    },
    "iot_provisioning": {
        "claimCertificateId": "1",
        "certificateId": "2",
        "templateArn": _arn("iot", "provisioningtemplate/pets"),
        "clientId": "3",
        "parameters": {},
    },
    "client_vpn": {
        "connection-id": "cvpn-connection-1",
        "endpoint-id": "cvpn-endpoint-1",
        "username": "ada",
        "platform": "linux",
        "schema-version": "v3",
    },
}


def sample(trigger: str) -> Any:
    """The trigger's event as if it had just been made, so that its age can be seen; KeyError if
    there is no such trigger.
    """
    text = json.dumps(SAMPLES[trigger])
    now_s = time.time() - 0.1
    date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now_s))
    for written, now in (
        (f"{MADE_S}000000", int(now_s * 1e6)),
        (f"{MADE_S}000", int(now_s * 1e3)),
        (f"{MADE_S}", int(now_s)),
        (f"{MADE_DATE}.000", f"{date}.{int(now_s * 1000) % 1000:03d}"),
        (MADE_DATE, date),
    ):
        text = text.replace(written, str(now))
    return json.loads(text)


def change(event: Any, assignment: str) -> None:
    """Set one member, ``Records.0.body=text``: numbers are places in a list, and a value that is
    JSON is that JSON. What is missing on the way is made. ValueError if it cannot be followed.
    """
    path, equals, text = assignment.partition("=")
    names = path.split(".")
    if not equals or not all(names):
        raise ValueError(f"{assignment}: write PATH=VALUE, such as Records.0.body=text")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    here = event
    for name, following in zip(names, [*names[1:], None], strict=True):
        key = _key(here, name, assignment)
        if following is None:
            here[key] = value
        elif isinstance(here, dict) and key not in here:
            here[key] = [] if following == "0" else {}
            here = here[key]
        else:
            here = here[key]


def _key(here: Any, name: str, assignment: str) -> Any:
    if isinstance(here, dict):
        return name
    if isinstance(here, list) and name.isdecimal() and int(name) <= len(here):
        if int(name) == len(here):
            here.append({})
        return int(name)
    raise ValueError(f"{assignment}: {name} leads nowhere; the event has no such member there")
