//! From a plan to a loop that waits for its assignment.
//!
//! Owns the order of a start: validate, reach the log, prepare topics and join the group while the producer is made ready. Knows no
//! batch. Invariant: nothing is processed, and nothing but internal topics is made, before all checks passed; what an earlier run
//! left is looked at with the first assignment, when the producer is ready.

use super::{
    ends::Ends,
    engine::{Engine, Env},
    local_input::LocalInput,
    outboxes::Outboxes,
    pool::Pool,
    rate::Rates,
    receivers::Receivers,
    staging::Staging,
    topics::{self, Names, Topics},
    two_phase,
    unassigned::Unassigned,
    units::InFlight,
};
use crate::{
    config::{Config, Guarantee, Trigger},
    error::Result,
    log::{GroupSpec, Log, Producer, ProducerSpec},
    plan::{Fingerprint, Topology},
    record::{BatchId, BatchTime, Partition, TaskId},
    sink::TwoPhaseContext,
    task::{Task, checkpoint::Phase},
};
use std::{sync::Arc, thread::JoinHandle, time::Duration};

fn two_phase_context(config: &Config, env: &Env) -> TwoPhaseContext {
    let interval = match config.trigger {
        Trigger::Interval(interval) => Some(interval),
        _ => None,
    };
    TwoPhaseContext {
        remember: config.remember,
        interval,
        application: config.application_id.as_str().into(),
        instance: env.instance.0.clone(),
    }
}

impl Engine {
    /// Checks everything that can be checked before records flow, and joins the group.
    pub(super) fn start(config: Config, plan: Topology, env: Env) -> Result<Self> {
        config.validate()?;
        plan.validate(config.trigger)?;
        let log = env.log.clone();
        log.connect(config.connect_timeout)?;
        let names = Names::of(&config.application_id);
        let spec = Self::producer_spec(&config, &env);
        let pending_producer = if config.threads == 0 {
            PendingProducer::Asked(spec)
        } else {
            PendingProducer::start(&log, spec)
        };
        let print = Fingerprint::of(&plan, config.state_partitions); // of all that the program names
        let plan = Arc::new(plan.computed());
        let topics = topics::prepare(log.as_ref(), &config, &plan, &names)?;
        let member = log.join(&Self::group_spec(&config, &env, &plan, &names, &topics))?;
        Ok(Engine {
            pool: Pool::new(config.threads),
            plan: plan.clone(),
            fingerprint: print.short(),
            print,
            names,
            topics,
            meta: None,
            member,
            producer: None,
            pending_producer: Some(pending_producer),
            member_id: String::new(),
            incarnation: None,
            sources: vec![],
            locals: locals(&plan, config.state_partitions),
            two_phase: two_phase::outputs(&plan, &two_phase_context(&config, &env)),
            outboxes: Outboxes::new(
                plan.outboxes.clone(),
                &config.application_id,
                config.threads > 0,
                log.clone(),
                env.clock.clone(),
            ),
            ends: Ends::new(log.clone(), (config.threads > 0).then_some("changelog-ends"))?,
            receivers: Receivers::new(plan.receivers.clone(), log, env.observer.clone(), env.clock.clone()),
            states: vec![],
            unrecovered: vec![],
            events: vec![],
            phase: Phase::Barrier,
            flight: InFlight::default(),
            input_ended: Duration::ZERO,
            last_batch: BatchId(0),
            last_time: BatchTime(0),
            whole_batches: 0,
            failure: None,
            probe: None,
            accused: None,
            first_rows_sent: false,
            last_witness: None,
            last_commit: None,
            last_replaced: None,
            rejoined: false,
            unassigned: Unassigned::default(),
            refreshed: None,
            rates: Rates::new(&config),
            staging: Staging::new(config.staged_bytes_max, config.transaction_timeout),
            must_rejoin: false,
            retries: 0,
            config,
            env,
        })
    }

    /// Our place in the group.
    pub(super) fn group_spec(
        config: &Config,
        env: &Env,
        plan: &Topology,
        names: &Names,
        topics: &Topics,
    ) -> GroupSpec {
        let mut subscription: Vec<String> = topics.inputs.keys().cloned().collect();
        if plan.has_state_partitions() {
            subscription.push(names.exchange.to_string());
        }
        GroupSpec {
            group: config.application_id.clone(),
            instance: env.instance.0.to_string(),
            topics: subscription,
            session_timeout: config.session_timeout,
            buffer_bytes: config.receive_buffer_bytes,
        }
    }

    /// A new producer of our identity, not yet ready.
    pub(super) fn producer_spec(config: &Config, env: &Env) -> ProducerSpec {
        let id = format!("{}-{}", config.application_id, env.instance);
        ProducerSpec {
            transactional_id: (config.guarantee == Guarantee::ExactlyOnce).then_some(id),
            transaction_timeout: config.transaction_duration_max(),
            group: config.application_id.clone(),
            buffer_bytes: 64 << 20,
        }
    }
}

fn locals(plan: &Topology, state_partitions: u32) -> Vec<LocalInput> {
    let unit = |(index, (node, make)): (u32, (_, &crate::source::MakeLocal))| {
        let id = TaskId { stage: 0, partition: Partition(index) };
        let task = Task::open(plan, id, Some(node), state_partitions, None);
        LocalInput::new(node, &plan.node(node).path, task, make())
    };
    (0..).zip(plan.locals()).map(unit).collect()
}

/// The first producer, made ready while the group is joined: both wait for the log.
pub(super) enum PendingProducer {
    /// On a thread of its own.
    Started(JoinHandle<Result<Box<dyn Producer>>>),
    /// When it is needed, on the calling thread.
    Asked(ProducerSpec),
}

impl PendingProducer {
    fn start(log: &Arc<dyn Log>, spec: ProducerSpec) -> Self {
        let log = log.clone();
        let make = move || ready_producer(log.as_ref(), &spec);
        let thread = std::thread::Builder::new().name("producer-init".into());
        PendingProducer::Started(thread.spawn(make).expect("the system can start a thread"))
    }

    /// Whether waiting would not block for long.
    pub(super) fn is_finished(&self) -> bool {
        match self {
            PendingProducer::Started(handle) => handle.is_finished(),
            PendingProducer::Asked(_) => true,
        }
    }

    /// The producer, ready.
    pub(super) fn wait(self, log: &dyn Log) -> Result<Box<dyn Producer>> {
        match self {
            PendingProducer::Started(handle) => match handle.join() {
                Ok(made) => made,
                Err(panic) => std::panic::resume_unwind(panic),
            },
            PendingProducer::Asked(spec) => ready_producer(log, &spec),
        }
    }
}

/// A producer that has ended what a dead process left open under the same id.
pub(super) fn ready_producer(log: &dyn Log, spec: &ProducerSpec) -> Result<Box<dyn Producer>> {
    let mut producer = log.producer(spec)?;
    producer.init()?;
    Ok(producer)
}
