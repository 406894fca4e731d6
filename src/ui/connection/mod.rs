//! Connections: who is let in, and how much of the process one of them can take up.
//!
//! Owns the loop that accepts, and each connection until it ends. Knows no path and no token. Invariants: the number of connections, in all
//! and of one address, is bounded, and a newcomer takes the place of the one that has been silent for the longest time; whoever sends or reads
//! nothing is let go; an error of one connection ends that one only.

mod stalling;
mod tls;

pub(super) use tls::Tls;

use super::{access::Certified, settings::Limits};
use axum::Router;
use hyper::{server::conn::http1, service::Service as _};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use stalling::Stalling;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot, watch},
    time,
};

/// Wait after an error of the listener, which is most often that no more files may be open.
const PAUSE: Duration = Duration::from_secs(1);

/// Added to the rank of a connection that has asked for something: those that are silent are given up before it.
const ASKED: u64 = 1 << 63;

/// What all connections of a server have in common.
pub(super) struct Serving {
    router: Router,
    tls: Option<Tls>,
    limits: Limits,
    open: Mutex<Vec<Open>>,
    /// How many connections and requests there were.
    events: AtomicU64,
}

/// A connection, as others see it. Dropping it ends the connection.
struct Open {
    address: IpAddr,
    /// The number of its last event; with `ASKED`, if that was a request.
    rank: Arc<AtomicU64>,
    _end: oneshot::Sender<()>,
}

/// The right to one connection, until it is dropped.
struct Place {
    serving: Arc<Serving>,
    rank: Arc<AtomicU64>,
    /// Ends when the place is given to somebody else.
    ended: oneshot::Receiver<()>,
}

/// Serves until `draining` ends; then lets open requests come to their end.
pub(super) async fn serve(listener: TcpListener, serving: Serving, draining: oneshot::Receiver<()>) {
    let serving = Arc::new(serving);
    let (drain, closing) = watch::channel(());
    let (running, mut ended) = mpsc::channel::<()>(1);
    let mut draining = pin!(draining);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut draining => break,
        };
        match accepted {
            Ok((socket, from)) => {
                let place = Place::take(&serving, from);
                let (closing, running) = (closing.clone(), running.clone());
                tokio::spawn(async move {
                    place.hold(socket, closing).await;
                    drop(running);
                });
            }
            Err(e) if is_of_the_connection(&e) => {}
            Err(e) => {
                tracing::warn!("the status page accepts no connection: {e}");
                time::sleep(PAUSE).await;
            }
        }
    }
    drop((listener, drain, running));
    let _ = ended.recv().await; // nothing is ever sent: all are gone
}

fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind as E;
    matches!(error.kind(), E::ConnectionRefused | E::ConnectionAborted | E::ConnectionReset)
}

impl Place {
    /// A place for a newcomer. Where none is left, of its address or at all, the connection that has been silent for the longest time loses its
    /// own, so that nobody keeps others away by being there.
    fn take(serving: &Arc<Serving>, from: SocketAddr) -> Place {
        let Limits { connections, connections_of_one_address, .. } = serving.limits;
        let (end, ended) = oneshot::channel();
        let rank = Arc::new(AtomicU64::new(serving.event()));
        let mut open = serving.open();
        let is_of_address = |other: &Open| other.address == from.ip();
        if open.iter().filter(|other| is_of_address(other)).count() >= connections_of_one_address {
            give_up(&mut open, is_of_address);
        }
        if open.len() >= connections {
            give_up(&mut open, |_| true);
        }
        open.push(Open { address: from.ip(), rank: rank.clone(), _end: end });
        drop(open);
        Place { serving: serving.clone(), rank, ended }
    }

    /// Serves a connection until it ends, or its place is given to somebody else.
    async fn hold(mut self, socket: TcpStream, closing: watch::Receiver<()>) {
        tokio::select! {
            () = self.serving.connection(socket, &self.rank, closing) => {}
            _ = &mut self.ended => tracing::debug!("a silent connection to the status page made room for another one"),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.serving.open().retain(|other| !Arc::ptr_eq(&other.rank, &self.rank));
    }
}

/// Ends the least of some connections.
fn give_up(open: &mut Vec<Open>, of: impl Fn(&Open) -> bool) {
    let ranks = open.iter().enumerate().filter(|(_, other)| of(other));
    let least = ranks.min_by_key(|(_, other)| other.rank.load(Relaxed)).map(|(index, _)| index);
    if let Some(index) = least {
        open.swap_remove(index);
    }
}

impl Serving {
    pub fn new(router: Router, tls: Option<Tls>, limits: Limits) -> Self {
        Serving { router, tls, limits, open: Mutex::default(), events: AtomicU64::new(0) }
    }

    fn open(&self) -> MutexGuard<'_, Vec<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a new event.
    fn event(&self) -> u64 {
        self.events.fetch_add(1, Relaxed)
    }

    async fn connection(&self, socket: TcpStream, rank: &AtomicU64, closing: watch::Receiver<()>) {
        let _ = socket.set_nodelay(true); // only slower without
        let stream = Stalling::new(socket, self.limits.stall_time);
        match &self.tls {
            None => self.requests(stream, Certified(false), rank, closing).await,
            Some(tls) => match time::timeout(self.limits.handshake_time, tls.accept(stream)).await {
                Ok(Ok((stream, certified))) => self.requests(stream, certified, rank, closing).await,
                Ok(Err(e)) => tracing::debug!("a connection to the status page: {e}"),
                Err(_) => tracing::debug!("a connection to the status page: no handshake in time"),
            },
        }
    }

    async fn requests(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        certified: Certified,
        rank: &AtomicU64,
        mut closing: watch::Receiver<()>,
    ) {
        let router = TowerToHyperService::new(self.router.clone());
        let service =
            hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
                rank.store(ASKED | self.event(), Relaxed);
                request.extensions_mut().insert(certified);
                router.call(request)
            });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.limits.head_time)
            .max_buf_size(self.limits.head_bytes);
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        let mut is_told = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(e) = ended {
                        tracing::debug!("a connection to the status page: {e}");
                    }
                    return;
                }
                _ = closing.changed(), if !is_told => {
                    is_told = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}
