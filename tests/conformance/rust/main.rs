//! What every client's function does; here for lambda_runtime, with as many workers as Lambda says.

use lambda_runtime::streaming::{channel, Body, Sender};
use lambda_runtime::{run_concurrent, service_fn, Error, FunctionResponse, LambdaEvent, StreamResponse};
use serde_json::{json, Value};
use std::time::Duration;
use tokio::time::sleep;

type Answer = FunctionResponse<Value, Body>;

async fn handle(event: LambdaEvent<Value>) -> Result<Answer, Error> {
    let number = |name: &str| event.payload[name].as_u64().unwrap_or(0);
    match event.payload["do"].as_str() {
        Some("trace") => Ok(FunctionResponse::BufferedResponse(trace(&event))),
        Some("fail") => fail(number("depth")),
        Some("crash") => std::process::exit(3),
        Some("large") => Ok(FunctionResponse::BufferedResponse("x".repeat(number("bytes") as usize).into())),
        Some("stream") => Ok(stream(false)),
        Some("break stream") => Ok(stream(true)),
        _ => Ok(FunctionResponse::BufferedResponse(event.payload)),
    }
}

/// Every place where the trace can be found.
fn trace(event: &LambdaEvent<Value>) -> Value {
    json!({
        "environment": std::env::var("_X_AMZN_TRACE_ID").ok(),
        "context": event.context.xray_trace_id,
        "custom": event.context.client_context.as_ref().map(|client| &client.custom["traceparent"]),
        "event": event.payload,
    })
}

/// An error as it is has no stack here; a panic has its place, and the client goes on after it.
fn fail(depth: u64) -> Result<Answer, Error> {
    if depth == 0 {
        return Err("it broke".into());
    }
    dive(depth)
}

fn dive(depth: u64) -> Result<Answer, Error> {
    if depth == 0 {
        panic!("it broke");
    }
    dive(depth - 1)
}

fn stream(breaks: bool) -> Answer {
    let (sender, body) = channel();
    tokio::spawn(halves(sender, breaks));
    FunctionResponse::StreamingResponse(StreamResponse::from(body))
}

/// Half of the result, and after a while the other half or an error.
async fn halves(mut sender: Sender, breaks: bool) {
    let _ = sender.send_data("first half,".into()).await;
    sleep(Duration::from_millis(200)).await;
    if breaks {
        sender.abort();
    } else {
        let _ = sender.send_data("second half".into()).await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    run_concurrent(service_fn(handle)).await
}
