//! A network between a program and its broker that a test can disturb: it holds requests, cuts connections, loses
//! replies, is slow, and stands still.
//!
//! Forwards frames of Kafka's protocol and reads only their heads (kind of request, correlation id). Where a reply
//! names the broker's address, the proxy's port is substituted, so that a client never finds a way around it. Knows
//! no test and no topic. Invariants: frames of one connection keep their order, except for those that are held;
//! every rule counts how often it acted.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

/// Kinds of requests, by their numbers in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Api {
    Produce = 0,
    Fetch = 1,
    ListOffsets = 2,
    Metadata = 3,
    OffsetFetch = 9,
    FindCoordinator = 10,
    JoinGroup = 11,
    Heartbeat = 12,
    SyncGroup = 14,
    DescribeGroups = 15,
    InitProducerId = 22,
    AddPartitionsToTxn = 24,
    AddOffsetsToTxn = 25,
    EndTxn = 26,
    DescribeCluster = 60,
    TxnOffsetCommit = 28,
}

/// Replies that contain addresses of brokers.
const WITH_ADDRESSES: [Api; 3] = [Api::Metadata, Api::FindCoordinator, Api::DescribeCluster];
const HOST: &[u8] = b"127.0.0.1";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request does not reach the broker until it is delivered; everything after it passes.
    Hold,
    /// The same, and the client's connection is cut: the client does not know what became of the request.
    HoldAndCut,
    /// The broker answers, but the connection is cut before the client gets the answer.
    LoseReply,
}

/// What happens to requests of one kind.
pub struct Rule {
    api: Api,
    fault: Fault,
    left: AtomicU64,
    fired: AtomicU64,
    held: Mutex<Vec<Held>>,
}

struct Held {
    link: Arc<Link>,
    frame: Vec<u8>,
}

impl Rule {
    /// How often it acted.
    pub fn fired(&self) -> u64 {
        self.fired.load(Ordering::SeqCst)
    }

    /// From now on it does nothing.
    pub fn end(&self) {
        self.left.store(0, Ordering::SeqCst);
    }

    /// Delivers the oldest held request to the broker; returns its reply (without the length), which also goes to
    /// the client if that is still there.
    pub fn deliver(&self) -> Vec<u8> {
        let Held { link, frame } = self.held.lock().unwrap().remove(0);
        let answer = link.expect_copy(correlation(&frame[8..]));
        link.to_broker(&frame).expect("the broker is there");
        answer.recv_timeout(Duration::from_secs(30)).expect("the broker replies to a late request")
    }

    /// Sends the oldest held request to the broker, if its connection is still there; the reply goes to the client if that is.
    pub fn send_on(&self) {
        let Held { link, frame } = self.held.lock().unwrap().remove(0);
        let _ = link.to_broker(&frame);
    }

    fn acts(&self, api: i16, fault: impl Fn(Fault) -> bool) -> bool {
        let mine = self.api as i16 == api && fault(self.fault);
        let take = |left: u64| left.checked_sub(1);
        mine && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
    }

    fn count(&self) {
        self.fired.fetch_add(1, Ordering::SeqCst);
    }
}

/// The error code in the reply to an `EndTxn` or a `Heartbeat`, in the versions that librdkafka sends.
pub fn error_of(answer: &[u8]) -> i16 {
    i16::from_be_bytes([answer[8], answer[9]])
}

/// A direction of the network.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    ToBroker,
    ToClient,
}

/// What every frame meets on one way.
#[derive(Default)]
struct Road {
    is_shut: AtomicBool,
    delay_ms: AtomicU64,
    /// 0 = without a limit.
    bytes_a_second: AtomicU64,
    waited: AtomicU64,
}

impl Road {
    fn pass(&self, bytes: usize) {
        let rate = self.bytes_a_second.load(Ordering::SeqCst);
        let bytes = u64::try_from(bytes).expect("at most 64 bits");
        let pause_ms = self.delay_ms.load(Ordering::SeqCst) + (bytes * 1_000).checked_div(rate).unwrap_or(0);
        if pause_ms > 0 || self.is_shut.load(Ordering::SeqCst) {
            self.waited.fetch_add(1, Ordering::SeqCst);
        }
        thread::sleep(Duration::from_millis(pause_ms));
        while self.is_shut.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

struct Shared {
    broker: SocketAddr,
    port: u16,
    to_broker: Road,
    to_client: Road,
    rules: Mutex<Vec<Arc<Rule>>>,
    passed: Mutex<BTreeMap<i16, u64>>,
}

/// A proxy on a port of its own.
pub struct Proxy(Arc<Shared>);

impl Proxy {
    /// Starts a proxy in front of the broker at `host:port`.
    pub fn start(broker: &str) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let shared = Arc::new(Shared {
            broker: broker.parse().expect("an address in numbers"),
            port: listener.local_addr().unwrap().port(),
            to_broker: Road::default(),
            to_client: Road::default(),
            rules: Mutex::default(),
            passed: Mutex::default(),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let _ = Link::open(client, &of_thread);
            }
        });
        Proxy(shared)
    }

    /// `host:port`.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.0.port)
    }

    /// The next `times` requests of this kind meet the fault.
    pub fn on(&self, api: Api, fault: Fault, times: u64) -> Arc<Rule> {
        let rule = Arc::new(Rule {
            api,
            fault,
            left: AtomicU64::new(times),
            fired: AtomicU64::new(0),
            held: Mutex::default(),
        });
        self.0.rules.lock().unwrap().push(Arc::clone(&rule));
        rule
    }

    /// Frames of all connections take so much longer, in both directions.
    pub fn slow(&self, delay: Duration, bytes_a_second: u64) {
        for way in [Way::ToBroker, Way::ToClient] {
            let road = self.road(way);
            road.delay_ms.store(delay.as_millis().try_into().expect("a short time"), Ordering::SeqCst);
            road.bytes_a_second.store(bytes_a_second, Ordering::SeqCst);
        }
    }

    /// Nothing arrives on this way until it is opened; then everything does, late.
    pub fn shut(&self, way: Way) {
        self.road(way).is_shut.store(true, Ordering::SeqCst);
    }

    pub fn open(&self, way: Way) {
        self.road(way).is_shut.store(false, Ordering::SeqCst);
    }

    /// How many frames had to wait on this way so far.
    pub fn waited(&self, way: Way) -> u64 {
        self.road(way).waited.load(Ordering::SeqCst)
    }

    fn road(&self, way: Way) -> &Road {
        match way {
            Way::ToBroker => &self.0.to_broker,
            Way::ToClient => &self.0.to_client,
        }
    }

    /// How many requests of this kind have reached the broker undisturbed.
    pub fn passed(&self, api: Api) -> u64 {
        self.0.passed.lock().unwrap().get(&(api as i16)).copied().unwrap_or(0)
    }
}

impl Shared {
    fn rule(&self, api: i16, fault: impl Fn(Fault) -> bool + Copy) -> Option<Arc<Rule>> {
        self.rules.lock().unwrap().iter().find(|r| r.acts(api, fault)).cloned()
    }
}

/// One connection of a client, and the one to the broker behind it.
struct Link {
    client: Mutex<TcpStream>,
    broker: Mutex<TcpStream>,
    /// Requests that are waiting for their reply, by correlation id.
    waiting: Mutex<BTreeMap<i32, Waiting>>,
    /// Something is held for this connection, so the broker's side stays open.
    holds: AtomicBool,
}

struct Waiting {
    api: i16,
    lose: Option<Arc<Rule>>,
    copy: Option<Sender<Vec<u8>>>,
}

impl Link {
    fn open(client: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
        let broker = TcpStream::connect(shared.broker)?;
        client.set_nodelay(true)?;
        broker.set_nodelay(true)?;
        let link = Arc::new(Link {
            client: Mutex::new(client.try_clone()?),
            broker: Mutex::new(broker.try_clone()?),
            waiting: Mutex::default(),
            holds: AtomicBool::new(false),
        });
        let (up, down) = (Arc::clone(&link), link);
        let (for_up, for_down) = (Arc::clone(shared), Arc::clone(shared));
        thread::spawn(move || {
            let _ = up.pass_requests(client, &for_up);
            up.close_client();
        });
        thread::spawn(move || {
            let _ = down.pass_replies(broker, &for_down);
            let _ = locked(&down.client).shutdown(Shutdown::Both);
        });
        Ok(())
    }

    fn pass_requests(self: &Arc<Self>, mut client: TcpStream, shared: &Shared) -> io::Result<()> {
        loop {
            let frame = read_frame(&mut client)?;
            shared.to_broker.pass(frame.len());
            let (api, id) = (i16::from_be_bytes([frame[4], frame[5]]), correlation(&frame[8..]));
            let held = shared.rule(api, |fault| fault != Fault::LoseReply);
            let lose = match held {
                None => shared.rule(api, |fault| fault == Fault::LoseReply),
                Some(_) => None,
            };
            locked(&self.waiting).insert(id, Waiting { api, lose, copy: None });
            if let Some(rule) = held {
                self.holds.store(true, Ordering::SeqCst);
                let cut = rule.fault == Fault::HoldAndCut;
                rule.held.lock().unwrap().push(Held { link: Arc::clone(self), frame });
                rule.count();
                if cut {
                    return Ok(());
                }
                continue;
            }
            *shared.passed.lock().unwrap().entry(api).or_default() += 1;
            self.to_broker(&frame)?;
        }
    }

    fn pass_replies(&self, mut broker: TcpStream, shared: &Shared) -> io::Result<()> {
        loop {
            let mut frame = read_frame(&mut broker)?;
            shared.to_client.pass(frame.len());
            let Some(Waiting { api, lose, copy }) = locked(&self.waiting).remove(&correlation(&frame[4..]))
            else {
                continue;
            };
            if let Some(copy) = copy {
                let _ = copy.send(frame[4..].to_vec());
            }
            if let Some(rule) = lose {
                self.close_client();
                rule.count();
                continue;
            }
            if WITH_ADDRESSES.iter().any(|a| *a as i16 == api) {
                put_port(&mut frame, shared.broker.port(), shared.port);
            }
            // A client that is gone misses the reply.
            let _ = locked(&self.client).write_all(&frame);
        }
    }

    fn to_broker(&self, frame: &[u8]) -> io::Result<()> {
        locked(&self.broker).write_all(frame)
    }

    fn expect_copy(&self, id: i32) -> Receiver<Vec<u8>> {
        let (sender, receiver) = channel();
        locked(&self.waiting).get_mut(&id).expect("a held request waits for its reply").copy = Some(sender);
        receiver
    }

    fn close_client(&self) {
        let _ = locked(&self.client).shutdown(Shutdown::Both);
        if !self.holds.load(Ordering::SeqCst) {
            let _ = locked(&self.broker).shutdown(Shutdown::Both);
        }
    }
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap()
}

/// A frame, which is preceded by its length.
fn read_frame(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let bytes = usize::try_from(u32::from_be_bytes(length)).expect("at least 32 bits");
    let mut frame = vec![0; 4 + bytes];
    frame[..4].copy_from_slice(&length);
    from.read_exact(&mut frame[4..])?;
    Ok(frame)
}

fn correlation(bytes: &[u8]) -> i32 {
    i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// An address is the host's name, followed by the port in four bytes.
fn put_port(frame: &mut [u8], from: u16, to: u16) {
    let old = [HOST, &u32::from(from).to_be_bytes()].concat();
    let (mut at, new) = (0, u32::from(to).to_be_bytes());
    while let Some(found) = frame[at..].windows(old.len()).position(|w| w == old) {
        let port = at + found + HOST.len();
        frame[port..port + 4].copy_from_slice(&new);
        at = port + 4;
    }
}

#[test]
fn every_address_in_a_reply_becomes_the_proxys() {
    let of = |port: u32| [&b"x"[..], HOST, &port.to_be_bytes(), b"y"].concat();
    let mut frame = [of(9092), of(9092), of(9093)].concat();
    put_port(&mut frame, 9092, 40_000);
    assert_eq!(frame, [of(40_000), of(40_000), of(9093)].concat());
}
