//! Somebody else's Runtime API proxy, as its crate has it: `passthrough COMMAND ...` starts the command behind it, on
//! `AWS_LAMBDA_RUNTIME_PROXY_PORT`, and ends as the command ends.

use aws_lambda_runtime_proxy::Proxy;

#[tokio::main]
async fn main() {
    let mut proxy = Proxy::default().spawn().await.expect("a free port and a command that can be started");
    let status = tokio::select! {
        status = proxy.handler.wait() => status.expect("a command that can be waited for"),
        () = proxy.server.passthrough() => unreachable!("it serves for ever"),
    };
    std::process::exit(status.code().unwrap_or(1));
}
