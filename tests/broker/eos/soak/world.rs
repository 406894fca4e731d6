//! Three processes that share the state of `programs::stages`, each behind a network of its own, on a broker of their own, and what
//! happens to them.
//!
//! Knows no row. Invariants: each fault proves that it happened; a process ends only if it is told to or killed, or finds that its
//! disk is damaged.

use super::{
    super::{
        Random,
        client::Client,
        program::{App, Run},
        until,
    },
    INPUTS,
};
use crate::{
    contract::unique,
    kafka::Kafka,
    proxy::{Api, Fault, Proxy, Rule, Way},
};
use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

const PROCESSES: [&str; 3] = ["pod-1", "pod-2", "pod-3"];
/// Longer than sessions and transactions last, with what the broker takes to notice.
const LONG: Duration = Duration::from_secs(8);
/// Requests that a process at work sends all the time.
const AT_WORK: [Api; 6] = [
    Api::Produce,
    Api::Fetch,
    Api::AddPartitionsToTxn,
    Api::AddOffsetsToTxn,
    Api::TxnOffsetCommit,
    Api::EndTxn,
];
/// Requests that a process sends at its start.
const AT_START: [Api; 7] = [
    Api::Metadata,
    Api::FindCoordinator,
    Api::JoinGroup,
    Api::SyncGroup,
    Api::OffsetFetch,
    Api::InitProducerId,
    Api::ListOffsets,
];

/// What a process says that stops because it has met damage in an open database; it is started again then.
const DAMAGED: &str = "it is moved aside and restored when it is opened again";

/// What happens to a process, or to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// SIGKILL, and a new start at once.
    Kill,
    /// The same, but the others take its place first.
    KillForGood,
    /// All of them.
    KillAll,
    /// SIGTERM, and a new start.
    Stop,
    /// SIGSTOP for longer than its session and its transaction last.
    Freeze,
    /// Its requests, or the replies to them, arrive only after its session has ended.
    CutOff,
    /// Its network is slow for a while.
    Slow,
    /// SIGKILL, and the disk is gone.
    LoseDisk,
    /// SIGKILL, and bytes of its databases are overwritten.
    DamageDisk,
    /// The broker is stopped and started.
    EndBroker,
    /// The same with SIGKILL.
    KillBroker,
    /// A request arrives late, or its connection is cut before or after it arrives.
    DisturbRequest,
    /// The same, and the process is killed while the request is on its way.
    DieDuringRequest,
    /// The same with a request of a process that starts.
    DisturbStart,
}

pub const STEPS: [Step; 14] = [
    Step::Kill,
    Step::KillForGood,
    Step::KillAll,
    Step::Stop,
    Step::Freeze,
    Step::CutOff,
    Step::Slow,
    Step::LoseDisk,
    Step::DamageDisk,
    Step::EndBroker,
    Step::KillBroker,
    Step::DisturbRequest,
    Step::DieDuringRequest,
    Step::DisturbStart,
];

/// One of the processes.
struct Process {
    app: App,
    proxy: Proxy,
    /// `None` only during a step.
    run: Option<Run>,
    /// Whether it leaves the group when it is stopped.
    leaves: bool,
    /// Whether its disk was damaged.
    is_damaged: bool,
}

impl Process {
    fn start(&mut self, random: &mut Random) {
        self.leaves = random.below(2) == 0;
        let environment = [("TIDEGATE_LEAVE", if self.leaves { "true" } else { "false" })];
        self.run = Some(self.app.start_in("", &environment));
    }

    fn run(&mut self) -> &mut Run {
        self.run.as_mut().expect("it runs")
    }

    fn kill(&mut self) {
        self.run.take().expect("it runs").kill();
    }
}

pub struct World {
    kafka: Kafka,
    pub client: Client,
    processes: Vec<Process>,
    random: Random,
    /// How often a process stopped because it had met damage.
    pub stopped_by_damage: usize,
}

impl World {
    pub fn new(seed: u64) -> World {
        let kafka = Kafka::start();
        let client = Client::new(&kafka.bootstrap());
        let mut first =
            App::new("test:stages", &client).with("batch-interval-ms", "250").with("state-partitions", "6");
        first.input = unique("soak-in");
        client.create(&first.input, i32::try_from(INPUTS).expect("few"));
        let apps = PROCESSES.map(|id| first.elsewhere().with("instance-id", id));
        let process = |app: App| {
            let proxy = Proxy::start(&kafka.bootstrap());
            Process { app: app.via(proxy.bootstrap()), proxy, run: None, leaves: false, is_damaged: false }
        };
        let processes = apps.into_iter().map(process).collect();
        World { kafka, client, processes, random: Random(seed), stopped_by_damage: 0 }
    }

    pub fn app(&self) -> &App {
        &self.processes[0].app
    }

    pub fn start(&mut self) {
        (0..PROCESSES.len()).for_each(|index| self.start_one(index));
    }

    /// All of those that were not ended are still there. One that has met damage is started again.
    pub fn must_run(&mut self) {
        for index in 0..PROCESSES.len() {
            let Process { run: Some(run), is_damaged, .. } = &mut self.processes[index] else { continue };
            if *is_damaged && !run.is_running() && run.text().contains(DAMAGED) {
                self.stopped_by_damage += 1;
                self.start_one(index);
            } else {
                run.must_run();
            }
        }
    }

    /// How many batches each has committed, once all serve their pages.
    fn committed(&mut self) -> Vec<u64> {
        let mut committed = vec![];
        until("all processes serve their pages", || {
            self.must_run();
            let runs: Vec<&mut Run> = self.processes.iter_mut().map(Process::run).collect();
            let serves = |run: &&mut Run| run.text().contains("http://");
            let asked =
                runs.iter().all(serves).then(|| runs.iter().map(|run| run.try_checkpoints("committed")));
            committed = asked.into_iter().flatten().filter_map(Result::ok).collect();
            committed.len() == PROCESSES.len()
        });
        committed
    }

    /// Waits until each of them has committed something since, and the group has them all.
    pub fn all_work(&mut self) {
        let (mut before, mut stopped) = (self.committed(), self.stopped_by_damage);
        until(&format!("all processes of {} commit", self.app().id), || {
            let now = self.committed();
            if self.stopped_by_damage != stopped {
                (before, stopped) = (now, self.stopped_by_damage);
                return false;
            }
            let moved = now.iter().zip(&before).all(|(now, before)| *now > before + 3);
            moved && PROCESSES.iter().all(|id| self.is_member(id))
        });
    }

    /// Stops all of them, one after the other.
    pub fn stop(&mut self) {
        for process in &mut self.processes {
            process.run.take().expect("it runs").stop();
        }
    }

    /// How many databases were found to be damaged so far.
    pub fn moved_aside(&self) -> usize {
        let folders = self.processes.iter().map(|p| databases(&p.app).join("quarantine"));
        folders.flat_map(|folder| fs::read_dir(folder).into_iter().flatten()).count() / 2 // with a note for each
    }

    fn is_member(&self, id: &str) -> bool {
        self.client.members(&self.app().id).iter().any(|member| member.starts_with(&format!("{id}-")))
    }

    fn until_gone(&mut self, id: &str) {
        until(&format!("the group is without {id}"), || {
            self.must_run();
            !self.is_member(id)
        });
    }

    fn pause(&mut self, most_ms: u64) {
        sleep(Duration::from_millis(self.random.below(most_ms)));
    }

    /// Performs a step; returns what it was in particular.
    pub fn take(&mut self, step: Step) -> String {
        let victim = self.random.index(PROCESSES.len());
        let id = PROCESSES[victim];
        self.must_run();
        if matches!(step, Step::Freeze | Step::CutOff | Step::KillForGood) {
            // A broker that has just started keeps a member for ever that goes before its first heartbeat.
            self.all_work();
        }
        let particular = match step {
            Step::Kill => {
                self.processes[victim].kill();
                String::new()
            }
            Step::KillForGood => {
                self.processes[victim].kill();
                self.until_gone(id);
                self.pause(2_000);
                String::new()
            }
            Step::KillAll => {
                self.processes.iter_mut().for_each(Process::kill);
                self.pause(4_000);
                String::new()
            }
            Step::Stop => self.stop_one(victim),
            Step::Freeze => self.freeze(victim),
            Step::CutOff => self.cut_off(victim),
            Step::Slow => self.slow(victim),
            Step::LoseDisk => {
                self.processes[victim].kill();
                self.processes[victim].app.lose_state();
                String::new()
            }
            Step::DamageDisk => {
                self.processes[victim].kill();
                self.processes[victim].is_damaged = true;
                self.damage(victim)
            }
            Step::EndBroker | Step::KillBroker => self.restart_broker(step == Step::KillBroker),
            Step::DisturbRequest => self.disturb_request(victim, false),
            Step::DieDuringRequest => self.disturb_request(victim, true),
            Step::DisturbStart => self.disturb_start(victim),
        };
        for index in 0..PROCESSES.len() {
            if self.processes[index].run.is_none() {
                self.start_one(index);
            }
        }
        format!("{step:?} of {id} {particular}")
    }

    fn stop_one(&mut self, victim: usize) -> String {
        let leaves = self.processes[victim].leaves;
        // It hears of a stop once it listens to signals.
        until("it serves its page", || {
            self.must_run();
            self.processes[victim].run().text().contains("http://")
        });
        self.processes[victim].run.take().expect("it runs").stop();
        if leaves {
            self.until_gone(PROCESSES[victim]);
        }
        let waits = self.random.below(2) == 0;
        if waits {
            self.pause(9_000);
        }
        format!("leaves: {leaves}, comes back later: {waits}")
    }

    fn freeze(&mut self, victim: usize) -> String {
        let id = PROCESSES[victim];
        self.processes[victim].run().signal("STOP");
        sleep(LONG);
        assert!(self.processes[victim].run().is_stopped());
        self.until_gone(id);
        self.processes[victim].run().signal("CONT");
        String::new()
    }

    fn cut_off(&mut self, victim: usize) -> String {
        let id = PROCESSES[victim];
        let way = [Way::ToBroker, Way::ToClient][self.random.index(2)];
        self.processes[victim].proxy.shut(way);
        let began = Instant::now();
        self.until_gone(id);
        sleep(LONG.saturating_sub(began.elapsed()));
        self.processes[victim].proxy.open(way);
        format!("{way:?}")
    }

    fn slow(&mut self, victim: usize) -> String {
        let delay_ms = 50 + self.random.below(400);
        let proxy = &self.processes[victim].proxy;
        let before = proxy.waited(Way::ToClient);
        proxy.slow(Duration::from_millis(delay_ms), 1 << 20);
        sleep(Duration::from_secs(4));
        until("frames had to wait", || proxy.waited(Way::ToClient) > before);
        proxy.slow(Duration::ZERO, 0);
        format!("by {delay_ms} ms")
    }

    /// Overwrites bytes in files of the databases.
    fn damage(&mut self, victim: usize) -> String {
        let files = files(&databases(&self.processes[victim].app));
        let mut names = vec![];
        for _ in 0..files.len().min(3) {
            let path = &files[self.random.index(files.len())];
            overwrite(path, &mut self.random);
            let name = path.strip_prefix(&self.processes[victim].app.folder).unwrap_or(path);
            names.push(name.display().to_string());
        }
        names.join(", ")
    }

    fn restart_broker(&mut self, kill: bool) -> String {
        if kill {
            self.kafka.kill9();
        } else {
            self.kafka.end();
        }
        let away = self.random.below(4_000);
        sleep(Duration::from_millis(away));
        self.kafka.restart();
        format!("away for {away} ms")
    }

    fn disturb_request(&mut self, victim: usize, dies: bool) -> String {
        let disturbance = self.disturb(victim, &AT_WORK);
        self.until_fired(&disturbance);
        if dies {
            self.processes[victim].kill();
            self.start_one(victim);
        }
        self.send_on(&disturbance)
    }

    fn disturb_start(&mut self, victim: usize) -> String {
        self.processes[victim].kill();
        let disturbance = self.disturb(victim, &AT_START);
        self.start_one(victim);
        self.until_fired(&disturbance);
        self.send_on(&disturbance)
    }

    fn disturb(&mut self, victim: usize, apis: &[Api]) -> Disturbance {
        let api = apis[self.random.index(apis.len())];
        let fault = [Fault::Hold, Fault::HoldAndCut, Fault::LoseReply][self.random.index(3)];
        Disturbance { api, fault, rule: self.processes[victim].proxy.on(api, fault, 1) }
    }

    fn until_fired(&mut self, Disturbance { api, fault, rule }: &Disturbance) {
        until(&format!("{fault:?} of {api:?} fires"), || {
            self.must_run();
            rule.fired() == 1
        });
    }

    /// Sends on what is held, late.
    fn send_on(&mut self, Disturbance { api, fault, rule }: &Disturbance) -> String {
        let late_ms = self.random.below(9_000);
        if *fault != Fault::LoseReply {
            sleep(Duration::from_millis(late_ms));
            rule.send_on();
        }
        format!("{fault:?} of {api:?}, {late_ms} ms")
    }

    fn start_one(&mut self, index: usize) {
        self.processes[index].start(&mut self.random);
    }
}

/// What happens to one request.
struct Disturbance {
    api: Api,
    fault: Fault,
    rule: Arc<Rule>,
}

/// The folder with the databases of an application.
fn databases(app: &App) -> PathBuf {
    app.folder.join("state").join(&app.id).join("partitions")
}

/// The files of all databases that are not empty, in order.
fn files(databases: &Path) -> Vec<PathBuf> {
    let paths = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    };
    let all = paths(databases).into_iter().filter(|folder| !folder.ends_with("quarantine"));
    let is_data = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_data = ["MANIFEST", "CURRENT"].iter().any(|start| name.starts_with(start))
            || [".log", ".sst"].iter().any(|end| name.ends_with(end));
        is_data && path.metadata().is_ok_and(|found| found.len() > 0)
    };
    let mut files: Vec<PathBuf> = all.flat_map(|folder| paths(&folder)).filter(is_data).collect();
    files.sort();
    files
}

/// Overwrites up to 64 bytes at some place.
fn overwrite(path: &Path, random: &mut Random) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    let at = random.below(length);
    let mut bytes = vec![0; usize::try_from((length - at).min(64)).expect("few")];
    file.read_exact_at(&mut bytes, at).unwrap();
    bytes.iter_mut().for_each(|byte| *byte = !*byte);
    file.write_all_at(&bytes, at).unwrap();
}
