//! Stopping a program from elsewhere: while others await it, from a listener, twice, and before it started.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tidegate::{
    Config, StreamingContext,
    config::Trigger,
    log::{self, TopicSpec},
};

/// A program that prints the lines of an empty topic, ten times a second.
fn idle(name: &str) -> Arc<StreamingContext> {
    let mut config = Config::new("idle", format!("memory:stopping-{name}"));
    config.trigger = Trigger::Interval(Duration::from_millis(100));
    config.admin_bind = Some("127.0.0.1:0".into());
    config.threads = 1;
    let log = log::open(&config.bootstrap, &BTreeMap::new()).unwrap();
    let topic =
        TopicSpec { name: "lines".into(), partitions: 1, replication_factor: None, config: BTreeMap::new() };
    log.create(&topic).unwrap();
    let ssc = StreamingContext::new(config);
    ssc.text("lines").print();
    Arc::new(ssc)
}

fn waiter(ssc: &Arc<StreamingContext>) -> thread::JoinHandle<tidegate::Result> {
    let ssc = ssc.clone();
    thread::spawn(move || ssc.await_termination())
}

#[test]
fn a_program_is_stopped_from_elsewhere_while_several_threads_await_it() {
    for graceful in [true, false] {
        let ssc = idle(if graceful { "graceful" } else { "at-once" });
        ssc.start().unwrap();
        let waiters = [waiter(&ssc), waiter(&ssc)];
        assert!(!ssc.await_termination_or_timeout(Duration::from_millis(200)).unwrap(), "it runs");
        assert!(ssc.is_running() && ssc.admin_address().is_some() && ssc.metrics().is_some());
        assert!(ssc.start().unwrap_err().to_string().contains("has already been started"));
        ssc.stop(graceful);
        assert!(ssc.await_termination_or_timeout(Duration::from_secs(60)).unwrap(), "it was stopped");
        for waiter in waiters {
            waiter.join().unwrap().unwrap();
        }
        assert!(!ssc.is_running() && ssc.admin_address().is_none() && ssc.metrics().is_some());
        ssc.await_termination().unwrap();
        assert!(ssc.start().unwrap_err().to_string().contains("was stopped and cannot be started again"));
    }
}

#[test]
fn a_listener_may_stop_the_program() {
    let ssc = idle("by-a-listener");
    let (own, notified) = (Arc::downgrade(&ssc), Arc::new(AtomicBool::new(false)));
    let seen = notified.clone();
    ssc.add_listener(move |_| {
        seen.store(true, Ordering::SeqCst);
        own.upgrade().expect("it is awaited").stop(false);
    });
    ssc.start().unwrap();
    assert!(ssc.await_termination_or_timeout(Duration::from_secs(60)).unwrap());
    assert!(notified.load(Ordering::SeqCst));
}

#[test]
fn a_listener_that_panics_ends_nothing() {
    let ssc = idle("panicking");
    let notified = Arc::new(AtomicBool::new(false));
    let seen = notified.clone();
    ssc.add_listener(|_| panic!("on purpose"));
    ssc.add_listener(move |_| seen.store(true, Ordering::SeqCst));
    ssc.start().unwrap();
    crate::contract::until("the other listener is notified", || notified.load(Ordering::SeqCst));
    ssc.stop(false);
    ssc.await_termination().unwrap();
}

#[test]
fn all_waiters_get_the_same_failure() {
    let mut config = Config::new("app", "memory:stopping-failure");
    config.admin_bind = None;
    let ssc = Arc::new(StreamingContext::new(config));
    ssc.text("nothing").print();
    ssc.start().unwrap();
    let waiter = waiter(&ssc);
    let failure = ssc.await_termination().unwrap_err().to_string();
    assert!(failure.contains("`nothing`"), "{failure}");
    assert_eq!(waiter.join().unwrap().unwrap_err().to_string(), failure);
    assert_eq!(ssc.await_termination().unwrap_err().to_string(), failure);
}

#[test]
fn a_program_stopped_before_it_started_does_not_start() {
    let ssc = idle("early");
    ssc.stop(true);
    assert!(ssc.start().unwrap_err().to_string().contains("cannot be started again"));
    ssc.await_termination().unwrap();
    assert!(ssc.await_termination_or_timeout(Duration::ZERO).unwrap());
    assert!(!ssc.is_running());
}

fn panic_of(work: impl FnOnce()) -> String {
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_err();
    panic.downcast_ref::<String>().unwrap().clone()
}

#[test]
fn nothing_can_be_added_or_set_after_a_start_or_stop() {
    let stopped = idle("built");
    stopped.stop(true);
    let text = panic_of(|| stopped.text("more").print());
    assert!(text.ends_with("output operations after stopping a context is not supported"), "{text}");

    let ssc = idle("set");
    ssc.start().unwrap();
    let settings: [(&str, &dyn Fn()); 4] = [
        ("checkpoint", &|| ssc.checkpoint("elsewhere")),
        ("remember", &|| ssc.remember(Duration::from_secs(1))),
        ("add_listener", &|| ssc.add_listener(|_| ())),
        ("add_streaming_listener", &|| {
            ssc.add_streaming_listener(tidegate::observe::metrics::Metrics::new("x"));
        }),
    ];
    for (name, set) in settings {
        let text = panic_of(set);
        assert!(text.starts_with("tests/it/stopping.rs:"), "{text}");
        assert!(text.ends_with(&format!("`{name}` after starting a context is not supported")), "{text}");
    }
    let text = panic_of(|| ssc.text("more").print());
    assert!(text.ends_with("output operations after starting a context is not supported"), "{text}");
    ssc.stop(false);
    ssc.await_termination().unwrap();
    let text = panic_of(|| ssc.text("more").print());
    assert!(text.ends_with("output operations after stopping a context is not supported"), "{text}");
}
