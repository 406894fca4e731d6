//! `update_state_by_key` and `map_with_state`: initial state, timeouts, snapshots, and the errors that a wrong
//! function gets.

use crate::driver::check;
use expect_test::expect;
use std::time::Duration;
use tidegate::{
    BatchTime, DStream, State, StateSpec, StreamingContext, Text,
    codec::{AsText, Utf8},
    testing::{Driver, Settings, outputs, ways},
};

fn pairs(ssc: &StreamingContext) -> DStream<(Text, i64)> {
    ssc.text("n").filter_map(|line| line.split_once(':').map(|(k, v)| (k.into(), v.parse().unwrap())))
}

/// The running sum; 0 removes it. A value of 0 emits no row.
fn sum(time: BatchTime, key: &Text, value: Option<i64>, state: &mut State<i64>) -> Option<(Text, String)> {
    let before = state.get().copied();
    let Some(value) = value else {
        assert!(state.is_timing_out() && state.exists());
        return Some((key.clone(), format!("{} left with {before:?}", time.0)));
    };
    let now = before.unwrap_or(0) + value;
    if now == 0 {
        state.remove();
    } else {
        state.update(now);
    }
    (value != 0).then(|| (key.clone(), format!("{} {now} {}", time.0, state.exists())))
}

#[test]
fn initial_state_is_loaded_once_in_the_lifetime_of_the_store() {
    let program = |ssc: &StreamingContext| {
        let initial = [("a".into(), 10), ("b".into(), 20)];
        let sums = pairs(ssc).update_state_by_key_from(initial, |new: Vec<i64>, sum: Option<i64>| {
            let sum = sum.unwrap_or(0) + new.into_iter().sum::<i64>();
            (sum > 0).then_some(sum)
        });
        sums.to_kafka("sums", Utf8, AsText);
    };
    check(
        program,
        "n 0 | - | a:1\n---\nn 1 | - | b:-20\n---\n---\nn 1 | - | b:3\n",
        &expect![[r#"
        sums | a | 11
        sums | b | 20
        ---
        sums | a | 11
        ---
        sums | a | 11
        ---
        sums | a | 11
        sums | b | 3
    "#]],
    );
}

#[test]
fn map_with_state_touches_only_keys_with_rows() {
    check(
        |ssc| pairs(ssc).map_with_state(StateSpec::function(sum)).to_kafka("sums", Utf8, Utf8),
        "n 0 | - | a:1\nn 0 | - | a:2\nn 1 | - | b:1\n---\nn 0 | - | b:0\n---\nn 0 | - | a:-3\n---\nn 2 | - | a:5\n",
        &expect![[r#"
            sums | a | 1000 1 true
            sums | a | 1000 3 true
            sums | b | 1000 1 true
            ---
            ---
            sums | a | 3000 0 false
            ---
            sums | a | 4000 5 true
        "#]],
    );
}

#[test]
fn an_idle_key_times_out_once_and_a_touched_one_later() {
    let spec = || StateSpec::function(sum).idle_timeout(Duration::from_secs(2));
    check(
        move |ssc| pairs(ssc).map_with_state(spec()).to_kafka("sums", Utf8, Utf8),
        // a is touched again at 3 s, b is not; a is removed by its function at 8 s and never times out.
        "n 0 | - | a:1\nn 1 | - | b:1\n---\n---\nn 0 | - | a:1\n---\n---\n---\n---\nn 2 | - | a:7\n---\nn 2 | - | a:-7\n---\n---\n---\n---\n",
        &expect![[r#"
            sums | a | 1000 1 true
            sums | b | 1000 1 true
            ---
            ---
            sums | a | 3000 2 true
            ---
            sums | b | 4000 left with Some(1)
            ---
            ---
            sums | a | 6000 left with Some(2)
            ---
            sums | a | 7000 7 true
            ---
            sums | a | 8000 0 false
            ---
            ---
            ---
            ---
        "#]],
    );
}

#[test]
fn a_key_that_was_touched_every_time_keeps_one_row_in_the_index_of_timeouts() {
    let mut driver = Driver::new(|ssc| {
        let spec = StateSpec::function(sum).idle_timeout(Duration::from_secs(3));
        pairs(ssc).map_with_state(spec).named("s").to_kafka("sums", Utf8, Utf8);
    });
    for _ in 0..9 {
        driver.batch("n 0 | - | a:1\n").unwrap();
    }
    let rows = driver.new_rows("app-changelog").unwrap();
    // One row for the state in each batch; the index is written when the key is new, and when it is examined.
    let index = rows.iter().filter(|row| row.ends_with("| \\x01") || row.ends_with("| -")).count();
    assert_eq!((rows.len() - index, index), (9, 5), "{rows:#?}");
}

#[test]
fn more_keys_than_are_processed_at_a_time_time_out_in_one_batch() {
    const KEYS: i64 = 20_000;
    let settings = Settings { state_partitions: 1, ..Settings::default() };
    let mut driver = Driver::with(settings, |ssc| {
        let keys = ssc.text("n").flat_map(|n| (0..n.parse::<i64>().unwrap()).map(|key| (key, key)));
        let keep = |_: BatchTime, key: &i64, value: Option<i64>, state: &mut State<i64>| match value {
            Some(value) => {
                state.update(value);
                None
            }
            None => Some(*key + state.get()?),
        };
        let mapped = keys.map_with_state(StateSpec::function(keep).idle_timeout(Duration::from_secs(1)));
        mapped.reduce(|a, b| a + b).map(|sum| ("left", sum)).to_kafka("out", Utf8, AsText);
        mapped.state_snapshots().count().map(|n| ("states", n)).to_kafka("out", Utf8, AsText);
    });
    let written = driver.batch(&format!("n 0 | - | {KEYS}\n")).unwrap();
    assert_eq!(written.to_string(), format!("out | states | {KEYS}\n"));
    let written = driver.batch_at(4_000, "").unwrap().by_time();
    let sum = KEYS * (KEYS - 1);
    let expected = format!(
        "2000:\nout | states | {KEYS}\n3000:\nout | left | {sum}\nout | states | 0\n4000:\nout | states | 0\n"
    );
    assert_eq!(written, expected);
}

#[test]
fn snapshots_emit_every_state_in_every_batch() {
    check(
        |ssc| {
            let spec = StateSpec::function(sum)
                .idle_timeout(Duration::from_secs(2))
                .initial_state([("i".into(), 5), ("a".into(), 40)]);
            let mapped = pairs(ssc).map_with_state(spec);
            mapped.to_kafka("sums", Utf8, Utf8);
            let states = mapped.state_snapshots();
            states.running_reduce_by_key(|_, b| b).to_kafka("changed", Utf8, AsText);
            states.to_kafka("states", Utf8, AsText);
            assert_eq!(ssc.topology().stages(), 2, "states are partitioned by key");
        },
        "n 0 | - | a:1\nn 1 | - | b:1\n---\nn 0 | - | a:1\n---\n---\n---\n---\n",
        &expect![[r#"
            changed | a | 41
            changed | b | 1
            changed | i | 5
            states | a | 41
            states | b | 1
            states | i | 5
            sums | a | 1000 41 true
            sums | b | 1000 1 true
            ---
            changed | a | 42
            states | a | 42
            states | b | 1
            states | i | 5
            sums | a | 2000 42 true
            ---
            states | a | 42
            states | b | 1
            states | i | 5
            ---
            states | a | 42
            sums | b | 4000 left with Some(1)
            sums | i | 4000 left with Some(5)
            ---
            sums | a | 5000 left with Some(42)
            ---
        "#]],
    );
}

#[test]
fn a_function_that_breaks_the_rules_is_reported() {
    let failure_of = |f: fn(&mut State<i64>)| {
        let mut driver = Driver::new(move |ssc| {
            let function = move |_: BatchTime, _: &Text, value: Option<i64>, state: &mut State<i64>| {
                if value.is_none() || state.exists() {
                    f(state);
                } else {
                    state.update(1);
                }
                value
            };
            let spec = StateSpec::function(function).idle_timeout(Duration::from_secs(1));
            pairs(ssc).map_with_state(spec).print();
        });
        driver.batch("n 0 | - | a:1\n").unwrap();
        driver.batch_at(5_000, "").unwrap_err().to_string()
    };
    assert!(failure_of(|s| s.update(2)).ends_with("panicked: Cannot update the state that is timing out"));
    assert!(failure_of(State::remove).ends_with("panicked: Cannot remove the state that is timing out"));
    assert!(
        failure_of(|s| assert!(s.get_mut().is_some()))
            .ends_with("panicked: Cannot update the state that is timing out")
    );
    let mut driver = Driver::new(|ssc| {
        let function = |_: BatchTime, _: &Text, value: Option<i64>, state: &mut State<i64>| {
            state.remove();
            state.update(1);
            value
        };
        pairs(ssc).map_with_state(StateSpec::function(function)).print();
    });
    let failed = driver.batch("n 0 | - | a:1\n").unwrap_err().to_string();
    assert!(failed.contains("Cannot update the state that has been removed"), "{failed}");
    assert!(failed.contains("n-0 at offset 0"), "the record is named: {failed}");
}

#[test]
fn a_program_gets_timeouts_and_initial_state_over_existing_state() {
    for settings in ways() {
        let mut driver = Driver::with(settings, |ssc| {
            pairs(ssc).map_with_state(StateSpec::function(sum)).to_kafka("s", Utf8, Utf8);
        });
        driver.batch("n 0 | - | a:1\nn 0 | - | b:1\n").unwrap();
        driver.restart_as(|ssc| {
            let spec = StateSpec::function(sum).idle_timeout(Duration::from_secs(1));
            let spec = spec.initial_state([("a".into(), 100), ("c".into(), 100)]);
            pairs(ssc).map_with_state(spec).to_kafka("s", Utf8, Utf8);
        });
        // c starts now, a is touched and then times out; b waits for its next row.
        let written = driver.batch("n 1 | - | a:1\n").unwrap();
        assert_eq!(written.to_string(), "s | a | 2000 2 true\n", "{settings:?}");
        let written = driver.batch_at(6_000, "n 0 | - | b:1\n").unwrap();
        let expected = "4000:\ns | a | 4000 left with Some(2)\ns | c | 4000 left with Some(100)\n6000:\ns | b | 6000 2 true\n";
        assert_eq!(written.by_time(), expected, "{settings:?}");
    }
}

/// States are emitted in parts; there are more keys than fit into one part.
#[test]
fn many_states_are_emitted_once_each_in_every_batch() {
    const KEYS: u32 = 30_000;
    let first: Vec<(u32, u32)> = (0..KEYS).map(|n| (n, n)).collect();
    let second = vec![(7, 1), (KEYS, 5)];
    let update = |pairs: DStream<(u32, u32)>| {
        pairs.update_state_by_key(|new, sum: Option<u32>| {
            Some(sum.unwrap_or(0) + new.into_iter().sum::<u32>())
        })
    };
    let snapshots = |pairs: DStream<(u32, u32)>| {
        let add = |_: BatchTime, _: &u32, new: Option<u32>, sum: &mut State<u32>| {
            let before = sum.get().copied().unwrap_or(0);
            sum.update(before + new?);
            None::<()>
        };
        pairs.map_with_state(StateSpec::function(add)).state_snapshots()
    };
    let expected: Vec<(u32, u32)> = (0..=KEYS)
        .map(|n| {
            if n == 7 {
                (7, 8)
            } else if n == KEYS {
                (KEYS, 5)
            } else {
                (n, n)
            }
        })
        .collect();
    let batches = [first.clone(), second, vec![]];
    for mut written in [outputs(batches.clone(), update).unwrap(), outputs(batches, snapshots).unwrap()] {
        written.iter_mut().for_each(|rows| rows.sort_unstable());
        assert!(written[0] == first && written[1] == expected && written[2] == expected);
    }
}
