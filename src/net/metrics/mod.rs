//! The metrics for Prometheus and the status page: a small HTTP server on a port of its own. It answers `GET /metrics`,
//! `GET /` and nothing else.

mod backups;
mod families;
mod family;
mod page;
mod replication;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::failures::Failures;
use crate::config::Settings;
use crate::keyspace::Keyspace;
use crate::state::Server;
use crate::system::{ListenError, Passed, listen_all};

/// Where the metrics are.
const PATH: &str = "/metrics";

/// Where the status page is.
const PAGE_PATH: &str = "/";

/// What the status page may load: nothing but its own styles.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// Connections of one socket at once. Where one more comes, the oldest of those that have not asked yet is closed: those
/// that only connect keep nobody out.
const CONNECTIONS_MAX: usize = 16;

/// The most connections in the queue.
const BACKLOG: u32 = 64;

/// How long one connection may take, from its first byte to the last byte of the answer.
const CONNECTION_TIME: Duration = Duration::from_secs(10);

/// The most bytes of a request's head.
const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// The most header lines of a request.
const HEADERS_MAX: usize = 64;

/// The sockets for the metrics; none if `metrics-port` is 0.
#[derive(Debug)]
pub struct Metrics {
    listeners: Vec<TcpListener>,
}

impl Metrics {
    /// Opens the sockets that `metrics-port` and `metrics-bind` name.
    pub fn open(settings: &Settings, passed: &Passed) -> Result<Self, ListenError> {
        let (bind, port) = (&settings.metrics_bind, settings.metrics_port);
        let listeners = listen_all(bind, port, BACKLOG, passed)?;
        for address in listeners.iter().filter_map(|one| one.local_addr().ok()) {
            tracing::info!(
                "metrics are at http://{address}{PATH}, the status page at http://{address}{PAGE_PATH}"
            );
        }
        Ok(Self { listeners })
    }

    /// Answers requests until its task ends.
    pub async fn serve(self, server: Arc<Server>, keyspace: Arc<Keyspace>) {
        let source = Arc::new(Source { server, keyspace });
        let mut tasks = JoinSet::new();
        for listener in self.listeners {
            tasks.spawn(accept(listener, Arc::clone(&source)));
        }
        while tasks.join_next().await.is_some() {}
    }
}

/// The source of the figures.
struct Source {
    server: Arc<Server>,
    keyspace: Arc<Keyspace>,
}

/// A connection that is open.
struct Visit {
    task: AbortHandle,
    /// Whether its request has come.
    asked: Arc<AtomicBool>,
}

async fn accept(listener: TcpListener, source: Arc<Source>) {
    let mut connections = JoinSet::new();
    let mut visits: VecDeque<Visit> = VecDeque::new();
    let mut failures = Failures::default();
    loop {
        while connections.try_join_next().is_some() {}
        visits.retain(|visit| !visit.task.is_finished());
        match listener.accept().await {
            Ok((stream, peer)) => {
                failures.end();
                make_place(&mut visits, &mut connections).await;
                let asked = Arc::new(AtomicBool::new(false));
                let answer = answer(stream, peer, Arc::clone(&source), Arc::clone(&asked));
                let task = connections.spawn(answer);
                visits.push_back(Visit { task, asked });
            }
            Err(error) => failures.pause_after(&error).await,
        }
    }
}

/// Closes connections or waits until there may be one more.
async fn make_place(visits: &mut VecDeque<Visit>, connections: &mut JoinSet<()>) {
    while visits.len() >= CONNECTIONS_MAX {
        let waits = |visit: &Visit| !visit.asked.load(Ordering::Relaxed);
        if let Some(oldest) = visits.iter().position(waits) {
            if let Some(visit) = visits.remove(oldest) {
                visit.task.abort();
            }
        } else {
            // All are being answered, which has its limit of time.
            connections.join_next().await;
            visits.retain(|visit| !visit.task.is_finished());
        }
    }
}

/// Answers the one request that a connection may make.
async fn answer(stream: TcpStream, peer: SocketAddr, source: Arc<Source>, asked: Arc<AtomicBool>) {
    let service = service_fn(move |request| {
        asked.store(true, Ordering::Relaxed);
        respond(request, Arc::clone(&source))
    });
    let connection = http1::Builder::new()
        // The time limit below covers the whole connection.
        .header_read_timeout(None)
        .keep_alive(false)
        .max_buf_size(REQUEST_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_TIME, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%peer, %error, "metrics: a request failed"),
        Err(_) => tracing::debug!(%peer, "metrics: a request took too long"),
    }
}

async fn respond(
    request: Request<Incoming>,
    source: Arc<Source>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_page = match request.uri().path() {
        PATH => false,
        PAGE_PATH => true,
        _ => {
            let text = "Not found. The metrics are at /metrics, the status page at /.\n";
            return Ok(plain(StatusCode::NOT_FOUND, text));
        }
    };
    if request.method() != Method::GET {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "Only GET is answered.\n");
        let headers = response.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static("GET"));
        return Ok(response);
    }
    // Gathering looks at every shard, and this thread also accepts clients. So another thread does it.
    let gathered = tokio::task::spawn_blocking(move || source.answer(is_page));
    Ok(match gathered.await {
        Ok(Ok(text)) => {
            let mut response = Response::new(Full::new(text));
            let headers = response.headers_mut();
            if is_page {
                let form = HeaderValue::from_static("text/html; charset=utf-8");
                headers.insert(CONTENT_TYPE, form);
                let policy = HeaderValue::from_static(PAGE_POLICY);
                headers.insert(CONTENT_SECURITY_POLICY, policy);
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            } else {
                let form = HeaderValue::from_static(prometheus::TEXT_FORMAT);
                headers.insert(CONTENT_TYPE, form);
            }
            response
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "the metrics could not be gathered");
            plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "The metrics could not be gathered.\n",
            )
        }
        Err(error) => {
            tracing::error!(%error, "the thread that gathers the metrics panicked");
            plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "The metrics could not be gathered.\n",
            )
        }
    })
}

impl Source {
    /// The status page, or the metrics.
    fn answer(&self, is_page: bool) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
        Ok(if is_page {
            page::html(&self.server, &self.keyspace)?.into()
        } else {
            families::text(&self.server, &self.keyspace)?.into()
        })
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let form = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, form);
    response
}
