//! What a good engineer would write in Rust: hyper 1.x on both sides, pooled connections, bodies streamed, nothing else.
//! Addresses as every peer takes them: AWS_LAMBDA_RUNTIME_API and LRAP_LISTENER_PORT.

use std::env;
use std::error::Error;

use hyper::body::Incoming;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

type Upstream = Client<HttpConnector, Incoming>;
type Failure = Box<dyn Error + Send + Sync>;

async fn forward(upstream: Upstream, api: Authority, mut request: Request<Incoming>) -> Result<Response<Incoming>, Failure> {
    let target = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::builder().scheme(Scheme::HTTP).authority(api).path_and_query(target).build()?;
    Ok(upstream.request(request).await?)
}

fn pooled_client() -> Upstream {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).pool_idle_timeout(None).build(connector)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let api: Authority = env::var("AWS_LAMBDA_RUNTIME_API")?.parse()?;
    let listener = TcpListener::bind(("127.0.0.1", env::var("LRAP_LISTENER_PORT")?.parse()?)).await?;
    let upstream = pooled_client();
    loop {
        let (runtime, _) = listener.accept().await?;
        runtime.set_nodelay(true)?;
        let (upstream, api) = (upstream.clone(), api.clone());
        let service = service_fn(move |request| forward(upstream.clone(), api.clone(), request));
        tokio::spawn(async move {
            if let Err(ended) = http1::Builder::new().serve_connection(TokioIo::new(runtime), service).await {
                eprintln!("{ended}");
            }
        });
    }
}
