//! The application as it was started.
//!
//! Owns what does not change while the loop runs: settings, plan, names, environment, workers. Knows no
//! batch. Invariant: nothing here is decided twice.

use super::{
    clock::Clock,
    events::{Observed, Observer},
    names::{Names, transactional_id},
    pool::Pool,
    shutdown::Shutdown,
};
use crate::{
    config::{Config, ExchangeThrough, Guarantee, Trigger},
    log::{Log, ProducerSpec, RequestSizes},
    plan::{Fingerprint, Remains, Takeover, Topology},
    record::{Incarnation, InstanceId, TopicPartition},
    sink::TwoPhaseContext,
    state::Storage,
    task::Stopwatch,
};
use std::{sync::Arc, time::Duration};

/// Before the log is asked again for what it did not answer.
pub const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// What the loop needs from its environment.
pub struct Env {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Where state is kept.
    pub storage: Arc<dyn Storage>,
    /// The source of time.
    pub clock: Arc<dyn Clock>,
    /// Requests that the loop stop.
    pub shutdown: Shutdown,
    /// Receives everything that the loop reports.
    pub observer: Arc<dyn Observer>,
    /// The name of this process.
    pub instance: InstanceId,
    /// The incarnation of the previous process, as far as the state directory knows.
    pub incarnation_before: Incarnation,
}

/// Whether several processes may share the state of a program.
#[must_use]
pub fn is_shared(config: &Config, plan: &Topology) -> bool {
    may_be_shared(config, plan) && (config.shared_files || !plan.writes_files_in_shares())
}

/// The same, if they see the same files.
fn may_be_shared(config: &Config, plan: &Topology) -> bool {
    config.exchange != ExchangeThrough::Memory
        && config.guarantee == Guarantee::ExactlyOnce
        && !matches!(config.trigger, Trigger::AvailableNow | Trigger::Once)
        && plan.may_be_shared()
}

/// The partitions of the exchange topic, by which the group assigns those of the state.
#[must_use]
pub fn exchange_partitions(config: &Config) -> Vec<TopicPartition> {
    let topic = Names::of(&config.application_id).exchange;
    (0..config.state_partitions).map(|partition| TopicPartition::new(topic.clone(), partition)).collect()
}

/// A started application.
pub struct App {
    /// The settings.
    pub config: Config,
    /// What is computed; once what an earlier run left is known, with the names and formats that its state has.
    pub plan: Arc<Topology>,
    /// What is durable in everything that the program names, even in what is not computed.
    pub fingerprint: Fingerprint,
    /// Its short form, carried by every recovery record.
    pub fingerprint_short: String,
    /// What a later start compares itself with.
    pub remains: Remains,
    /// Names of internal topics.
    pub names: Names,
    /// Log, storage, clock, observer, and our identity.
    pub env: Env,
    /// The worker threads.
    pub pool: Pool,
}

impl App {
    /// The application that `config` and `plan` describe.
    #[must_use]
    pub fn new(config: Config, plan: Topology, env: Env) -> Self {
        let fingerprint = Fingerprint::of(&plan, config.state_partitions);
        let Takeover { plan, remains, .. } = Takeover::first(plan.computed(), &fingerprint);
        App {
            pool: Pool::new("worker", config.threads),
            plan: Arc::new(plan),
            remains,
            fingerprint_short: fingerprint.short(),
            fingerprint,
            names: Names::of(&config.application_id),
            config,
            env,
        }
    }

    /// Goes on from what an earlier run left.
    pub fn take_over(&mut self, takeover: Takeover) {
        for (is_warning, what) in &takeover.told {
            if *is_warning {
                tracing::warn!("{what}");
            } else {
                tracing::info!("{what}");
            }
        }
        (self.plan, self.remains) = (Arc::new(takeover.plan), takeover.remains);
    }

    /// Reports to the observer.
    pub fn observe(&self, event: &Observed<'_>) {
        self.env.observer.on(event);
    }

    /// Whether several processes may share the state; otherwise one has all of it, and others stand by.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        is_shared(&self.config, &self.plan)
    }

    /// What would let several processes share the state, if a setting does.
    #[must_use]
    pub fn help_to_share(&self) -> Option<&'static str> {
        let by_setting = !self.is_shared() && may_be_shared(&self.config, &self.plan);
        by_setting.then_some("the program writes files: with --shared-files, and a file system that all processes see, they share the work")
    }

    /// The monotonic clock.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.env.clock.monotonic()
    }

    /// How long ago `began` was, on the monotonic clock.
    #[must_use]
    pub fn since(&self, began: Duration) -> Duration {
        self.now().saturating_sub(began)
    }

    /// The monotonic clock, for tasks.
    #[must_use]
    pub fn stopwatch(&self) -> Stopwatch {
        let clock = self.env.clock.clone();
        Arc::new(move || clock.monotonic())
    }

    /// A producer with our identity.
    #[must_use]
    pub fn producer_spec(&self, sizes: RequestSizes) -> ProducerSpec {
        let id = transactional_id(&self.config.application_id, &self.env.instance);
        ProducerSpec {
            transactional_id: (self.config.guarantee == Guarantee::ExactlyOnce).then_some(id),
            transaction_timeout: self.config.transaction_timeout,
            group: self.config.application_id.clone(),
            buffer_bytes: 32 << 20, // what waits is held by us
            sizes,
        }
    }

    /// What a two-phase sink is given about this process.
    #[must_use]
    pub fn two_phase_context(&self) -> TwoPhaseContext {
        let interval = match self.config.trigger {
            Trigger::Interval(interval) => Some(interval),
            _ => None,
        };
        TwoPhaseContext {
            remember: self.config.remember,
            interval,
            application: self.config.application_id.as_str().into(),
            instance: self.env.instance.0.clone(),
        }
    }

    /// Whether the run ends by itself once everything that was available at its start is processed.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        matches!(self.config.trigger, Trigger::AvailableNow | Trigger::Once)
    }
}
