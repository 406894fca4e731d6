//! The HTTP server of one process: metrics, health, and the routes to the streaming page and its JSON API.
//!
//! Owns one thread with a small async runtime; all other threads stay synchronous. Knows metrics, status and
//! history, never the loop. Invariants: liveness fails only when the loop stops turning; readiness names what is
//! missing to those who may read everything; without requests, the server does nothing but check the loop.

#![allow(clippy::disallowed_methods, reason = "liveness is about real time, whichever clock the loop uses")]

use super::{
    access::{Caller, Rules, guarded, readiness},
    api,
    connection::{Serving, Tls, serve as serve_connections},
    events, page,
    queries::{self, Queries},
    settings::{Limits, Settings},
    state::{Shared, as_json},
};
use crate::{
    error::{Error, Result},
    event_loop::event_loop,
    observe::{history::History, metrics::Metrics, queries::QueryBoard, status::Status},
};
use axum::{
    Extension, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::{oneshot, watch};

/// How many ports are tried, the first one included.
const PORTS: u16 = 16;
/// How often the server checks whether the loop has turned.
const CHECK_EVERY: Duration = Duration::from_millis(200);
/// How long open requests may take once the shutdown has begun.
const GRACE: Duration = Duration::from_secs(1);

/// The running server; dropping it stops it.
pub struct Server {
    address: SocketAddr,
    is_tls: bool,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// Binds the first free port of 16 and serves from a thread of its own.
    ///
    /// # Errors
    /// [`Error::Config`] if no port is free, the address is not one of this machine, or what callers have to show cannot be read.
    pub fn start(
        settings: &Settings,
        metrics: Arc<Metrics>,
        status: Arc<Status>,
        history: Arc<History>,
    ) -> Result<Server> {
        let listener = Listening::bind(settings)?;
        let last_turn = Mutex::new((status.turns(), Instant::now()));
        let (changes, (close, closing)) = (watch::Sender::new(0u64), watch::channel(false));
        let changed = changes.clone();
        history.on_change(move || changed.send_modify(|n| *n = n.wrapping_add(1)));
        let Settings { liveness, now_ms, .. } = *settings;
        let shared =
            Arc::new(Shared { metrics, status, history, now_ms, changes, closing, liveness, last_turn });
        let router = Router::new()
            .merge(page::routes())
            .merge(api::routes())
            .route("/api/v1/events", get(events::events))
            .route("/metrics", get(metrics_of))
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/version", get(version))
            .with_state(shared.clone());
        listener.serve(router, move || note_turns(&shared), close)
    }

    /// The same, for the queries of a board.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn for_queries(settings: &Settings, board: QueryBoard) -> Result<Server> {
        let listener = Listening::bind(settings)?;
        let queries = Arc::new(Queries::new(board, settings.now_ms, settings.liveness));
        let router = queries::routes().route("/version", get(version)).with_state(queries.clone());
        listener.serve(router, move || queries.look(), watch::channel(false).0)
    }

    /// The address that the server actually listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where a browser finds it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}/", if self.is_tls { "https" } else { "http" }, self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic there has been printed
        }
    }
}

fn bind(address: IpAddr, first: u16) -> Result<TcpListener> {
    let last = if first == 0 { 0 } else { first.saturating_add(PORTS - 1) };
    let mut refused = None;
    for port in first..=last {
        match TcpListener::bind((address, port)) {
            Ok(listener) => return Ok(listener),
            Err(e) => refused = Some(e),
        }
    }
    let why = refused.map(|e| e.to_string()).unwrap_or_default();
    Err(Error::Config(format!(
        "the status page cannot listen on {address}, ports {first} to {last}: {why}\n  next: choose another address or port"
    )))
}

/// A socket that is bound, what those have to show who connect, and the thread's runtime.
struct Listening {
    listener: TcpListener,
    address: SocketAddr,
    rules: Rules,
    tls: Option<Tls>,
    limits: Limits,
    runtime: tokio::runtime::Runtime,
}

impl Listening {
    fn bind(settings: &Settings) -> Result<Self> {
        let tls = Tls::of(&settings.access)?;
        let listener = bind(settings.bind, settings.port)?;
        let failed = |e| Error::io("the status page's socket")(e);
        let address = listener.local_addr().map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let rules = Rules::new(&settings.access, address)?;
        let runtime = event_loop().map_err(failed)?;
        Ok(Listening { listener, address, rules, tls, limits: settings.limits, runtime })
    }

    /// Serves from a thread of its own; `look` is called again and again. `close` is dropped when the server ends.
    fn serve(
        self,
        router: Router,
        look: impl Fn() + Send + 'static,
        close: watch::Sender<bool>,
    ) -> Result<Server> {
        let Listening { listener, address, rules, tls, limits, runtime } = self;
        let is_tls = tls.is_some();
        let serving = Serving::new(guarded(router, rules, limits.answer_time), tls, limits);
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("status-page".into())
            .spawn(move || {
                if let Err(e) = runtime.block_on(serve(listener, serving, look, stopped, close)) {
                    tracing::error!("the status page has ended: {e}");
                }
            })
            .map_err(Error::io("the status page's thread"))?;
        Ok(Server { address, is_tls, stop: Some(stop), thread: Some(thread) })
    }
}

async fn serve(
    listener: TcpListener,
    serving: Serving,
    look: impl Fn(),
    stopped: oneshot::Receiver<()>,
    close: watch::Sender<bool>,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (drain, draining) = oneshot::channel::<()>();
    let server = serve_connections(listener, serving, draining); // the closed channel is the signal
    let shutdown = async {
        let _ = stopped.await;
        drop((drain, close));
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        () = server => Ok(()),
        () = shutdown => Ok(()),
        () = watch(look) => Ok(()),
    }
}

/// Looks whether loops turn; never ends.
async fn watch(look: impl Fn()) {
    loop {
        tokio::time::sleep(CHECK_EVERY).await;
        look();
    }
}

/// Notes when the loop turns.
fn note_turns(shared: &Shared) {
    let turns = shared.status.turns();
    let mut last = shared.last_turn.lock().unwrap_or_else(PoisonError::into_inner);
    if last.0 != turns {
        *last = (turns, Instant::now());
    }
}

async fn metrics_of(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], shared.metrics.render())
}

async fn livez(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let still = shared.last_turn.lock().unwrap_or_else(PoisonError::into_inner).1.elapsed();
    if still <= shared.liveness {
        (StatusCode::OK, "ok\n".to_string())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("the loop has not turned for {} s\n", still.as_secs()))
    }
}

async fn readyz(State(shared): State<Arc<Shared>>, Extension(caller): Extension<Caller>) -> Response {
    let snapshot = shared.status.snapshot();
    let missing = snapshot.missing();
    readiness(
        caller,
        missing.is_empty(),
        || json!({ "ready": missing.is_empty(), "missing": missing, "phase": snapshot.phase, "notice": snapshot.notice() }),
    )
}

async fn version() -> impl IntoResponse {
    as_json(&json!({ "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Trigger,
        observe::{history::Program, status::Phase},
        operator::{Counters, Volume},
        record::Map,
        runtime::BatchReport,
    };
    use std::{
        io::{Read, Write},
        net::TcpStream,
    };

    struct Fixture {
        server: Server,
        status: Arc<Status>,
        metrics: Arc<Metrics>,
        history: Arc<History>,
    }

    fn start(liveness: Duration) -> Fixture {
        let status = Arc::new(Status::new("orders <1>", "pod-0", "kafka at b:9092"));
        let history = Arc::new(History::new(Program {
            application_id: "orders".into(),
            instance: "pod-0".into(),
            host: "host".into(),
            trigger: Trigger::AsSoonAsPossible,
            streams: vec![],
            operators: vec![],
            settings: vec![],
            operations: vec![],
            topology: "[store {{data}}: <b>]".into(),
            views: vec![],
            launched_ms: 0,
        }));
        let metrics = Arc::new(Metrics::new("orders"));
        let settings = Settings { port: 0, liveness, ..Settings::default() };
        let server = Server::start(&settings, metrics.clone(), status.clone(), history.clone()).unwrap();
        Fixture { server, status, metrics, history }
    }

    /// Status code, head and body of a GET.
    fn get(from: &Fixture, path: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(from.server.address()).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), head.to_lowercase(), body.to_string())
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn readiness_turns_with_the_phase_and_names_what_is_missing() {
        let f = start(LONG);
        let (code, _, body) = get(&f, "/readyz");
        assert_eq!((code, body.contains("has not been reached")), (503, true), "{body}");
        f.status.phase(Phase::Restoring { done: 1, of: 4 });
        let (code, _, body) = get(&f, "/readyz");
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((code, &json["ready"]), (503, &json!(false)));
        assert_eq!(json["missing"], json!(["3 of 4 state partitions are not restored yet"]));
        assert_eq!(get(&f, "/livez").0, 200, "restoring does not make the process count as dead");
        f.status.phase(Phase::Running);
        let (code, _, body) = get(&f, "/readyz");
        assert_eq!((code, body.contains("\"ready\":true")), (200, true), "{body}");
    }

    #[test]
    fn liveness_fails_when_the_loop_stands_still_and_returns_when_it_turns() {
        let f = start(Duration::from_millis(600));
        assert_eq!(get(&f, "/livez").0, 200);
        wait(|| get(&f, "/livez").0 == 503);
        assert!(get(&f, "/livez").2.contains("has not turned"));
        wait(|| {
            f.status.turned();
            get(&f, "/livez").0 == 200
        });
    }

    #[test]
    fn metrics_and_version_are_served() {
        let f = start(LONG);
        let read = Map::from_iter([("in".into(), Volume { records: 3, bytes: 30 })]);
        let counters = Counters { read, ..Counters::default() };
        f.metrics.batch(&BatchReport { counters, ..BatchReport::default() }, 0);
        let (code, head, body) = get(&f, "/metrics");
        assert_eq!((code, head.contains("content-type: text/plain; version=0.0.4")), (200, true), "{head}");
        assert!(
            body.contains("tidegate_records_in_total{topic=\"in\",application_id=\"orders\"} 3"),
            "{body}"
        );
        let (code, _, body) = get(&f, "/version");
        assert_eq!((code, body.contains(env!("CARGO_PKG_VERSION"))), (200, true));
        assert_eq!(get(&f, "/nothing").0, 404);
    }

    #[test]
    fn text_of_the_user_cannot_become_markup() {
        let f = start(LONG);
        let (code, head, body) = get(&f, "/");
        assert_eq!((code, head.contains("content-type: text/html")), (200, true), "{head}");
        assert!(head.contains("content-security-policy: default-src 'self'"), "{head}");
        for part in ["orders &lt;1&gt;", "pod-0", "kafka at b:9092", "[store &#123;&#123;data}}: &lt;b&gt;]"]
        {
            assert!(body.contains(part), "{part}: {body}");
        }
        assert!(!body.contains("<1>") && !body.contains("<b>") && !body.contains("{{"), "{body}");
    }

    #[test]
    fn all_files_of_the_page_are_served_from_the_program() {
        let f = start(LONG);
        let (_, _, body) = get(&f, "/streaming");
        let mut files = 0;
        for part in body.split(['"']).filter(|p| p.starts_with("/static/") || *p == "/favicon.ico") {
            assert_eq!(get(&f, part).0, 200, "{part}");
            files += 1;
        }
        assert!(files >= 6, "{files}");
        for text in [&body, &get(&f, "/static/page.js").2, &get(&f, "/static/charts.js").2] {
            let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"));
        }
        assert!(get(&f, "/static/uplot.LICENSE").2.starts_with("The MIT License"));
    }

    #[test]
    fn a_taken_port_is_skipped_and_a_dropped_server_is_gone_even_with_a_client_connected() {
        let f = start(LONG);
        let taken = f.server.address();
        let settings = Settings { port: taken.port(), ..Settings::default() };
        let second =
            Server::start(&settings, f.metrics.clone(), f.status.clone(), f.history.clone()).unwrap();
        assert!((1..16).contains(&(second.address().port() - taken.port())), "{}", second.address());
        let mut idle = TcpStream::connect(taken).unwrap();
        idle.write_all(b"GET / HTTP/1.1\r\n").unwrap(); // never finished
        let begin = Instant::now();
        drop(f.server);
        assert!(begin.elapsed() < Duration::from_secs(10));
        assert!(TcpStream::connect(taken).is_err());
        let foreign = Settings { bind: [192, 0, 2, 1].into(), ..Settings::default() };
        let error = Server::start(&foreign, f.metrics, f.status, f.history).err().unwrap().to_string();
        assert!(error.contains("192.0.2.1, ports 4040 to 4055") && error.contains("next:"), "{error}");
    }

    fn wait(mut until: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !until() {
            assert!(Instant::now() < end, "waited for 20 s");
            thread::sleep(Duration::from_millis(50));
        }
    }
}
