//! From a plan to a loop that waits for its assignment.
//!
//! Owns the order of a start: validate, reach the log, topics, what an earlier run left, join the group while the producer is made
//! ready. Knows no batch. Invariant: nothing is processed, and nothing but internal topics is made, before all checks passed.

use super::{
    engine::{Engine, Env},
    meta::Meta,
    pool::Pool,
    topics::{self, Names},
    units::InFlight,
};
use crate::{
    config::{Config, Guarantee},
    error::{Error, Failure, Result},
    log::{GroupSpec, Log, Producer, ProducerSpec},
    plan::{Fingerprint, Topology},
    record::{BatchId, BatchTime},
    task::checkpoint::Phase,
};
use std::{sync::Arc, thread::JoinHandle, time::Duration};

impl Engine {
    /// Checks everything that can be checked before records flow, and joins the group.
    pub(super) fn start(config: Config, plan: Topology, env: Env) -> Result<Self> {
        config.validate()?;
        plan.validate()?;
        let log = env.log.clone();
        log.connect(config.connect_timeout)?;
        let names = Names::of(&config.application_id);
        let topics = topics::prepare(log.as_ref(), &config, &plan, &names)?;
        let meta = Meta::read(log.as_ref(), &names.meta)?;
        meta.check(&topics)?;
        let print = Fingerprint::of(&plan, config.state_partitions);
        if let Some(conflict) = meta.topology.as_ref().and_then(|before| print.conflict_with(before)) {
            return Err(Error::Refused(conflict));
        }
        let mut subscription: Vec<String> = topics.inputs.keys().cloned().collect();
        if plan.is_keyed() {
            subscription.push(names.exchange.to_string());
        }
        let making = make_producer(&log, &config, &env, plan.is_keyed());
        let member = log.join(&GroupSpec {
            group: config.application_id.clone(),
            instance: env.instance.0.to_string(),
            topics: subscription,
            session_timeout: config.session_timeout,
            buffer_bytes: config.receive_buffer_bytes,
        })?;
        Ok(Engine {
            pool: Pool::new(if config.threads <= 1 { 0 } else { config.threads }),
            plan: Arc::new(plan),
            fingerprint: print.short(),
            print,
            names,
            topics,
            meta,
            member,
            producer: None,
            making: Some(making),
            member_id: String::new(),
            incarnation: None,
            sources: vec![],
            states: vec![],
            unrecovered: vec![],
            events: vec![],
            phase: Phase::Barrier,
            flight: InFlight::default(),
            input_ended: Duration::ZERO,
            last_batch: BatchId(0),
            last_time: BatchTime(0),
            failure: None,
            probe: None,
            first_rows_sent: false,
            last_witness: None,
            rejoined: false,
            retries: 0,
            config,
            env,
        })
    }

    /// A new producer of our identity, not yet ready.
    pub(super) fn producer_spec(config: &Config, env: &Env, track_ends: bool) -> ProducerSpec {
        let id = format!("{}-{}", config.application_id, env.instance);
        ProducerSpec {
            transactional_id: (config.guarantee == Guarantee::ExactlyOnce).then_some(id),
            transaction_timeout: config.transaction_timeout,
            group: config.application_id.clone(),
            track_ends,
            buffer_bytes: 64 << 20,
        }
    }
}

/// Makes the producer ready while the group is joined: both wait for the log.
fn make_producer(
    log: &Arc<dyn Log>,
    config: &Config,
    env: &Env,
    track_ends: bool,
) -> JoinHandle<Result<Box<dyn Producer>, Failure>> {
    let (log, spec) = (log.clone(), Engine::producer_spec(config, env, track_ends));
    let make = move || {
        let mut producer = log.producer(&spec).map_err(|e| match e {
            Error::Log(f) => f,
            e => Failure::new(crate::error::Stage::Init, crate::error::Reaction::StopPipeline, e.to_string()),
        })?;
        producer.init()?;
        Ok(producer)
    };
    std::thread::Builder::new().name("producer-init".into()).spawn(make).expect("the system can start a thread")
}
