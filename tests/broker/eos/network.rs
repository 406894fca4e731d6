//! Late requests and lost replies: the network between program and broker is a proxy that a test disturbs.
//!
//! Every test shows by the proxy's counts that its fault happened, and by a reader of committed data that nothing
//! was lost or duplicated by it.

use super::{
    Random,
    client::Client,
    events::{self, Events},
    program::{App, Run},
    until,
    words::{Lines, Stream, judge, violations},
};
use crate::{
    proxy::{Api, Fault, Proxy, error_of},
    subject::bootstrap,
};
use std::collections::BTreeMap;

const EVERY: u64 = u64::MAX;
const FENCED_INSTANCE_ID: i16 = 82;

/// A program behind a proxy, and its input.
pub struct World {
    seed: u64,
    pub client: Client,
    pub proxy: Proxy,
    pub app: App,
    stream: Stream,
}

impl World {
    pub fn new(what: &str) -> World {
        let seed = Random::seed();
        eprintln!("{what}: seed {seed}");
        let (client, proxy) = (Client::new(&bootstrap()), Proxy::start(&bootstrap()));
        let app = App::new("kafka_word_count", &client).via(proxy.bootstrap());
        let stream = Stream::start(Lines::new(&client, &app.input, seed));
        World { seed, client, proxy, app, stream }
    }

    /// A program that has committed.
    pub fn run(&self, failpoints: &str) -> Run {
        let mut run = self.app.start(failpoints);
        self.app.progress(&self.client, &mut run);
        run
    }

    pub fn finish(self, what: &str, mut run: Run) -> String {
        let truth = self.stream.finish();
        self.app.catch_up(&self.client, &mut run);
        let log = run.stop();
        let rows = self.client.read(&self.app.output);
        judge(&format!("{what}, seed {}", self.seed), &truth, &rows);
        println!("{what}: {} words, {} counts, none lost, none twice", truth.len(), rows.len());
        log
    }
}

/// A request to commit is still on its way when the program has repeated it on another connection, and arrives
/// during a later transaction; then the program is killed. Returns the broker's response to the late request, and
/// what the judge finds.
fn late_commit(failpoints: &str) -> (i16, Vec<String>) {
    let world = World::new("late commit");
    let run = world.run(failpoints);
    let late = world.proxy.on(Api::EndTxn, Fault::HoldAndCut, 1);
    until("a request to commit is held", || late.fired() == 1);
    // The next transaction stays open here, with its outputs written.
    let open = world.proxy.on(Api::AddOffsetsToTxn, Fault::Hold, 1);
    until("the next transaction is open", || open.fired() == 1);
    let answer = error_of(&late.deliver());
    run.kill();
    let (truth, mut run) = (world.stream.finish(), world.app.start(""));
    world.app.catch_up(&world.client, &mut run);
    run.stop();
    let found = violations(&truth, &world.client.read(&world.app.output));
    println!("late commit: the broker answers {answer}; {} violations", found.len());
    (answer, found)
}

#[test]
fn a_late_commit_does_not_hit_a_later_transaction() {
    let (answer, found) = late_commit("");
    assert_ne!(answer, 0, "the broker took the late request");
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_producer_that_continues_after_a_lost_connection_is_detected() {
    let (answer, found) = late_commit("mutant-suspect-goes-on=mutant");
    assert_eq!(answer, 0, "the late request should have hit a transaction");
    assert!(!found.is_empty());
}

/// Every request to commit is held and its connection cut, until the program gives up and creates a new producer.
fn commit_in_doubt(what: &str, deliver_before: bool) {
    let world = World::new(what);
    let run = world.run("");
    let producers = world.proxy.passed(Api::InitProducerId);
    let lost = world.proxy.on(Api::EndTxn, Fault::HoldAndCut, EVERY);
    until("a request to commit is held", || lost.fired() > 0);
    let before = deliver_before.then(|| error_of(&lost.deliver()));
    until("the program creates a new producer", || world.proxy.passed(Api::InitProducerId) > producers);
    lost.end();
    // The new producer is ready once the response of the broker has arrived, which it needs before it can continue.
    until("the outcome is settled", || run.text().contains("settled by its token"));
    if let Some(answer) = before {
        assert_eq!(answer, 0, "the broker takes the request, late but in time");
    } else {
        assert_ne!(error_of(&lost.deliver()), 0, "the broker refuses a request of an ended producer");
    }
    let log = world.finish(what, run);
    let settled = log.lines().find(|l| l.contains("settled by its token")).unwrap();
    assert!(settled.contains(&format!("committed={deliver_before}")), "{settled}");
}

#[test]
fn a_commit_that_arrives_after_the_program_gave_it_up_is_found_by_its_token() {
    commit_in_doubt("commit delivered, answers lost", true);
}

#[test]
fn a_commit_that_arrives_after_the_next_producer_is_refused_and_the_batch_replayed() {
    commit_in_doubt("commit delivered too late", false);
}

#[test]
fn lost_replies_to_each_request_of_a_transaction() {
    let what = "lost replies in a transaction";
    let world = World::new(what);
    let mut run = world.run("");
    for api in [Api::AddPartitionsToTxn, Api::Produce, Api::AddOffsetsToTxn, Api::TxnOffsetCommit] {
        for _ in 0..3 {
            let lost = world.proxy.on(api, Fault::LoseReply, 1);
            until(&format!("a reply to {api:?} is lost"), || lost.fired() == 1);
            world.app.progress(&world.client, &mut run);
        }
    }
    // The producer of a new process, and the one that replaces it.
    run.kill();
    let lost = world.proxy.on(Api::InitProducerId, Fault::LoseReply, 1);
    let mut run = world.run("lose-answer=fail@3");
    assert_eq!(lost.fired(), 1);
    let lost = world.proxy.on(Api::InitProducerId, Fault::LoseReply, 1);
    until("a reply to InitProducerId is lost", || lost.fired() == 1);
    world.app.progress(&world.client, &mut run);
    world.finish(what, run);
}

/// Records are on their way while the program sends them again on another connection and commits them; and while it
/// dies, and the next producer ends what it left open. What arrives then is in no transaction: it must not appear, and
/// must leave none open.
#[test]
fn late_records_do_not_appear() {
    let what = "late records";
    let world = World::new(what);
    let mut run = world.run("");
    let late = world.proxy.on(Api::Produce, Fault::HoldAndCut, 1);
    until("records are held", || late.fired() == 1);
    world.app.progress(&world.client, &mut run);
    late.deliver();
    world.app.progress(&world.client, &mut run);
    let late = world.proxy.on(Api::Produce, Fault::Hold, 1);
    until("records are held", || late.fired() == 1);
    run.kill();
    let mut run = world.run("");
    late.deliver();
    world.app.progress(&world.client, &mut run);
    world.finish(what, run);
}

#[test]
fn lost_replies_to_requests_for_offsets() {
    let world = World::new("lost replies to OffsetFetch");
    world.run("").kill();
    let lost = world.proxy.on(Api::OffsetFetch, Fault::LoseReply, 3);
    let mut run = world.app.start("lose-answer=fail@3");
    until("replies at the start are lost", || lost.fired() == 3);
    // Also those by which a doubtful commit is settled.
    run.until_fired("lose-answer");
    let lost = world.proxy.on(Api::OffsetFetch, Fault::LoseReply, 2);
    until("replies while settling are lost", || lost.fired() == 2);
    world.app.progress(&world.client, &mut run);
    let log = world.finish("lost replies to OffsetFetch", run);
    assert!(log.contains("settled by its token"), "{log}");
}

/// A heartbeat is held until the member has lost its membership and joined again, and then arrives: the broker
/// responds that another member has taken its place for good. There is no other process.
#[test]
fn a_process_that_is_fenced_by_its_own_late_heartbeat_continues() {
    let world = World::new("own late heartbeat");
    let mut run = world.run("");
    let late = world.proxy.on(Api::Heartbeat, Fault::Hold, 1);
    until("a heartbeat is held", || late.fired() == 1);
    let joined = world.proxy.passed(Api::SyncGroup);
    until("the member has joined again", || world.proxy.passed(Api::SyncGroup) > joined);
    assert_eq!(
        error_of(&late.deliver()),
        FENCED_INSTANCE_ID,
        "the broker takes the program for its own shadow"
    );
    world.app.progress(&world.client, &mut run);
    world.finish("own late heartbeat", run);
}

/// A static member that joins too late, in the middle of a batch, has been expelled in the meantime, and another
/// member has read its partitions, which then come back to it without notice: it must not continue from where it
/// was. Returns what is wrong with the output.
fn held_join(mutant: &str) -> Vec<String> {
    let (client, proxy) = (Client::new(&bootstrap()), Proxy::start(&bootstrap()));
    let app = App::new("filter_project", &client).via(proxy.bootstrap());
    // The transaction of the batch outlives the session.
    let app = app.with("transaction-timeout-ms", "120000");
    let other = app.elsewhere().via(bootstrap()).with("instance-id", "pod-2");
    let stream = Events::start(&client, &app.input);
    let mut run = app.start(&format!("{mutant}after-flush=hold@10"));
    run.until_fired("after-flush");
    let before = member_id(&client, &app, "pod-1");
    assert!(before.is_some(), "{:?}", client.members(&app.id));
    let join = proxy.on(Api::JoinGroup, Fault::Hold, 1);
    // Fencing is a second guard, which would hide that the first one is missing.
    let mut second = other.start(if mutant.is_empty() { "" } else { "mutant-nobody-is-gone=mutant" });
    until("a request to join is held", || join.fired() == 1);
    // Then the second process has all partitions, and commits offsets beyond those of the batch in flight.
    until("the member whose request is held is expelled", || member_id(&client, &app, "pod-1").is_none());
    other.progress(&client, &mut second);
    join.deliver();
    let mut after = None;
    until("it is admitted again", || {
        after = member_id(&client, &app, "pod-1");
        after.is_some()
    });
    assert_ne!(after, before, "it was never expelled");
    other.progress(&client, &mut second);
    run.go_on();
    if mutant.is_empty() {
        until("it has seen that it was expelled", || {
            run.must_run();
            [
                "expelled from the group and admitted again",
                "the partitions were lost while the batch was computed",
                "this process has not joined the group",
            ]
            .iter()
            .any(|text| run.text().contains(text))
        });
    } else {
        run.until_fired("mutant-expelled-goes-on");
    }
    other.progress(&client, &mut second);
    second.signal("TERM");
    assert_eq!(second.exit_code(), 0, "{}", second.text());
    let written = stream.finish();
    app.catch_up(&client, &mut run);
    run.stop();
    let wrong = events::violations(written, &client.read(&app.output));
    println!("held join: {written} events, {} violations, such as {:?}", wrong.len(), wrong.first());
    wrong
}

/// The broker's id of the member with an instance id.
fn member_id(client: &Client, app: &App, instance: &str) -> Option<String> {
    let mut members = client.members(&app.id).into_iter();
    members.find(|id| id.starts_with(&format!("{instance}-")))
}

#[test]
fn a_join_that_is_held_past_the_session() {
    assert_eq!(held_join(""), Vec::<String>::new());
}

/// If its first commit meets the next rebalance, the broker refuses it, and the mistake has no effect: it has three
/// attempts.
#[test]
fn a_member_that_continues_after_it_was_expelled_is_detected() {
    assert!((0..3).any(|_| !held_join("mutant-expelled-goes-on=mutant,").is_empty()));
}

/// A batch without input moves no offset, so only its token can show whether it was committed.
#[test]
fn a_batch_without_input_whose_commit_is_in_doubt() {
    let (client, proxy) = (Client::new(&bootstrap()), Proxy::start(&bootstrap()));
    let app = App::new("test:ticking", &client).via(proxy.bootstrap());
    let mut lines = Lines::new(&client, &app.input, Random::seed());
    lines.write(4, 4);
    lines.flush();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    // Each batch writes to the output.
    let written = || client.ends(&app.output).values().sum::<i64>();
    let before = written();
    until("batches without input are committed", || written() > before + 40);
    let producers = proxy.passed(Api::InitProducerId);
    let lost = proxy.on(Api::EndTxn, Fault::LoseReply, EVERY);
    until("the program creates a new producer", || proxy.passed(Api::InitProducerId) > producers);
    lost.end();
    assert!(lost.fired() > 1, "each answer to the request to commit was lost");
    until("the outcome is settled", || run.text().contains("settled by its token"));
    let before = written();
    until("the program continues", || written() > before + 40);
    let log = run.stop();
    let settled = log.lines().find(|l| l.contains("settled by its token")).unwrap();
    assert!(settled.contains("committed=true"), "{settled}");
    assert_eq!(wrong_ticks(&client, &app), Vec::<String>::new());
    println!("batch without input in doubt: {} answers lost, no batch lost, none twice", lost.fired());
}

/// Each line must have seen each batch.
fn wrong_ticks(client: &Client, app: &App) -> Vec<String> {
    let (mut last, mut wrong) = (BTreeMap::<String, u64>::new(), vec![]);
    for row in client.read(&app.output) {
        let (tick, before) = (row.value.parse::<u64>().unwrap(), last.entry(row.key.clone()).or_default());
        if tick != *before + 1 {
            wrong.push(format!("{}: {tick} after {before}", row.key));
        }
        *before = tick;
    }
    assert_eq!(last.len(), 4);
    wrong
}

/// A batch without input whose commit did not take place, at the failpoint `lose-request`; returns what is wrong with
/// the ticks.
fn lost_batch_without_input(failpoints: &str) -> Vec<String> {
    let client = Client::new(&bootstrap());
    let app = App::new("test:ticking", &client);
    let mut lines = Lines::new(&client, &app.input, Random::seed());
    lines.write(4, 4);
    lines.flush();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    // Nothing is left to read: every batch of this run is without input.
    let run = app.start(failpoints);
    until("the outcome is settled", || run.text().contains("settled by its token"));
    assert!(run.fired().iter().any(|f| f == "lose-request"), "{}", run.text());
    let written = || client.ends(&app.output).values().sum::<i64>();
    let before = written();
    until("the program continues", || written() > before + 40);
    run.stop();
    wrong_ticks(&client, &app)
}

#[test]
fn a_batch_without_input_whose_commit_did_not_arrive() {
    assert_eq!(lost_batch_without_input("lose-request=fail@5"), Vec::<String>::new());
}

#[test]
fn a_doubtful_commit_that_is_settled_by_offsets_is_detected() {
    assert!(!lost_batch_without_input("mutant-settle-by-offset=mutant,lose-request=fail@5").is_empty());
}
