//! A stream as the Python package holds it.
//!
//! Owns the translation of its methods into those of `tidegate::DStream`; the names that a program uses are in the Python package. Knows no
//! log. Invariants: a keyed operation leaves pairs, whose placement the next one uses; each operation stands at the line of the program that
//! called it.

use crate::{
    function::{Function, Made, Row, key_of, list_of, lists_of, pair_of, pairs_in, values_in},
    kafka::KafkaSink,
    value::Value,
};
use pyo3::{prelude::*, types::PyList};
use std::{sync::Arc, time::Duration};
use tidegate::{
    BatchTime, DStream, PrintOptions,
    host::{self, Line},
    sink::Remembered,
};

type Pair = (Value, Value);

/// The rows of a stream.
#[derive(Clone)]
pub enum Rows {
    Plain(DStream<Value>),
    Pairs(DStream<Pair>),
}

/// A stream.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub struct Stream {
    pub rows: Rows,
}

/// A line of the program: its file and its number.
#[derive(FromPyObject)]
pub struct At(String, u32);

impl At {
    pub fn line(self) -> Line {
        Line { file: self.0.into(), line: self.1 }
    }
}

/// Does the same with either kind of rows.
macro_rules! either {
    ($rows:expr, $stream:ident => $made:expr) => {
        match $rows {
            Rows::Plain($stream) => $made,
            Rows::Pairs($stream) => $made,
        }
    };
}

pub fn plain(rows: DStream<Value>) -> Stream {
    Stream { rows: Rows::Plain(rows) }
}

pub fn pairs(rows: DStream<Pair>) -> Stream {
    Stream { rows: Rows::Pairs(rows) }
}

/// Seconds of a program.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

fn optional(value: Option<Value>) -> Value {
    value.unwrap_or_else(Value::none)
}

/// A function that calls one of the program for a chunk of rows.
fn chunks<T: Row>(
    stream: &DStream<T>,
    f: Function,
    call: impl Fn(&Function, Vec<T>) -> Result<Made, String> + Send + Sync + 'static,
) -> DStream<Value> {
    stream.flat_map_chunks(move |rows| call(&f, rows))
}

impl Stream {
    pub fn plain(&self) -> DStream<Value> {
        match &self.rows {
            Rows::Plain(rows) => rows.clone(),
            Rows::Pairs(rows) => rows.map(Row::into_value),
        }
    }

    pub fn pairs(&self, operation: &'static str) -> DStream<Pair> {
        match &self.rows {
            Rows::Plain(rows) => rows.try_map(move |row| pair_of(row, operation)),
            Rows::Pairs(rows) => rows.clone(),
        }
    }
}

#[pymethods]
impl Stream {
    fn map(&self, f: Py<PyAny>, at: At) -> Stream {
        let line = at.line();
        let f = Function::new("map", f, &line);
        host::called_from(line, || plain(either!(&self.rows, rows => chunks(rows, f, Function::map))))
    }

    fn flat_map(&self, f: Py<PyAny>, at: At) -> Stream {
        let line = at.line();
        let f = Function::new("flatMap", f, &line);
        host::called_from(line, || plain(either!(&self.rows, rows => chunks(rows, f, Function::flat_map))))
    }

    fn filter(&self, f: Py<PyAny>, at: At) -> Stream {
        let line = at.line();
        let f = Function::new("filter", f, &line);
        host::called_from(line, || match &self.rows {
            Rows::Plain(rows) => plain(chunks(rows, f, Function::filter)),
            Rows::Pairs(rows) => pairs(rows.filter(move |row| f.holds(row))),
        })
    }

    /// `f` is called with the number of the partition, and its rows.
    fn map_partitions(&self, f: Py<PyAny>, at: At) -> Stream {
        fn each<T: Row>(rows: &DStream<T>, f: Function) -> DStream<Value> {
            rows.map_partitions_with_index(move |at, rows| {
                f.or_reject(|py| values_in(&f.call(py, (at.0, list_of(py, &rows)?))?))
            })
        }
        let line = at.line();
        let f = Function::new("mapPartitions", f, &line);
        host::called_from(line, || plain(either!(&self.rows, rows => each(rows, f))))
    }

    fn glom(&self, at: At) -> Stream {
        fn each<T: Row>(rows: &DStream<T>) -> DStream<Value> {
            rows.glom().map(|rows| {
                let rows: Vec<Value> = rows.into_iter().map(Row::into_value).collect();
                Value::list(&rows)
            })
        }
        host::called_from(at.line(), || plain(either!(&self.rows, rows => each(rows))))
    }

    fn repartition(&self, partitions: u32, at: At) -> Stream {
        host::called_from(at.line(), || plain(self.plain().repartition(partitions)))
    }

    fn union(&self, others: Vec<PyRef<'_, Stream>>, at: At) -> Stream {
        host::called_from(at.line(), || {
            let others: Vec<DStream<Value>> = others.iter().map(|other| other.plain()).collect();
            plain(self.plain().union_all(&others))
        })
    }

    fn count(&self, at: At) -> Stream {
        host::called_from(at.line(), || plain(either!(&self.rows, rows => rows.count().map(Value::count))))
    }

    fn reduce(&self, f: Py<PyAny>, at: At) -> Stream {
        let line = at.line();
        let f = Function::new("reduce", f, &line);
        host::called_from(line, || plain(self.plain().reduce(move |a, b| f.of_two(&a, &b))))
    }

    fn count_by_value(&self, at: At) -> Stream {
        host::called_from(at.line(), || {
            let keys = self.plain().try_map(|row| key_of(row, "countByValue"));
            pairs(keys.count_by_value().map_values(Value::count))
        })
    }

    fn partition_by(&self, at: At) -> Stream {
        host::called_from(at.line(), || pairs(self.pairs("partitionBy").partition_by()))
    }

    fn map_values(&self, f: Py<PyAny>, at: At) -> Stream {
        let line = at.line();
        let f = Function::new("mapValues", f, &line);
        host::called_from(line, || pairs(self.pairs("mapValues").map_values(move |value| f.of_one(&value))))
    }

    fn flat_map_values(&self, f: Py<PyAny>, at: At) -> Stream {
        let line = at.line();
        let f = Function::new("flatMapValues", f, &line);
        host::called_from(line, || {
            pairs(self.pairs("flatMapValues").flat_map_values(move |value| f.many_of(&value)))
        })
    }

    fn reduce_by_key(&self, f: Py<PyAny>, at: At) -> Stream {
        let line = at.line();
        let f = Function::new("reduceByKey", f, &line);
        host::called_from(line, || {
            pairs(self.pairs("reduceByKey").reduce_by_key(move |a, b| f.of_two(&a, &b)))
        })
    }

    fn running_reduce_by_key(&self, f: Py<PyAny>, at: At) -> Stream {
        let line = at.line();
        let f = Function::new("runningReduceByKey", f, &line);
        host::called_from(line, || {
            pairs(self.pairs("runningReduceByKey").running_reduce_by_key(move |a, b| f.of_two(&a, &b)))
        })
    }

    fn combine_by_key(
        &self,
        create: Py<PyAny>,
        merge: Py<PyAny>,
        merge_combiners: Py<PyAny>,
        at: At,
    ) -> Stream {
        let line = at.line();
        let [create, merge, merge_combiners] =
            [create, merge, merge_combiners].map(|f| Function::new("combineByKey", f, &line));
        host::called_from(line, || {
            pairs(self.pairs("combineByKey").combine_by_key(
                move |value| create.of_one(&value),
                move |combined, value| merge.of_two(&combined, &value),
                move |a, b| merge_combiners.of_two(&a, &b),
            ))
        })
    }

    fn group_by_key(&self, at: At) -> Stream {
        host::called_from(at.line(), || {
            pairs(self.pairs("groupByKey").group_by_key().map_values(|values| Value::list(&values)))
        })
    }

    /// `kind` is the name of the method.
    fn join(&self, kind: &str, other: PyRef<'_, Stream>, at: At) -> PyResult<Stream> {
        let joined = |operation: &'static str| (self.pairs(operation), other.pairs(operation));
        host::called_from(at.line(), || {
            Ok(pairs(match kind {
                "join" => {
                    let (a, b) = joined("join");
                    a.join(&b).map_values(|(v, w)| Value::tuple([&v, &w]))
                }
                "leftOuterJoin" => {
                    let (a, b) = joined("leftOuterJoin");
                    a.left_outer_join(&b).map_values(|(v, w)| Value::tuple([&v, &optional(w)]))
                }
                "rightOuterJoin" => {
                    let (a, b) = joined("rightOuterJoin");
                    a.right_outer_join(&b).map_values(|(v, w)| Value::tuple([&optional(v), &w]))
                }
                "fullOuterJoin" => {
                    let (a, b) = joined("fullOuterJoin");
                    a.full_outer_join(&b).map_values(|(v, w)| Value::tuple([&optional(v), &optional(w)]))
                }
                "cogroup" => {
                    let (a, b) = joined("cogroup");
                    a.cogroup(&b).map_values(|(v, w)| Value::tuple([&Value::list(&v), &Value::list(&w)]))
                }
                _ => {
                    return Err(pyo3::exceptions::PyValueError::new_err(format!(
                        "no join is called `{kind}`"
                    )));
                }
            }))
        })
    }

    #[pyo3(signature = (f, initial, at))]
    fn update_state_by_key(
        &self,
        f: Py<PyAny>,
        initial: Option<Bound<'_, PyAny>>,
        at: At,
    ) -> PyResult<Stream> {
        let line = at.line();
        let f = Function::new("updateStateByKey", f, &line);
        let initial = initial.map(|rows| pairs_in(&rows)).transpose()?;
        let update = move |new: Vec<Value>, state: Option<Value>| {
            f.or_reject(|py| {
                let state = state.as_ref().map(|state| state.object(py)).transpose()?;
                let updated = f.call(py, (list_of(py, &new)?, state))?;
                if updated.is_none() { Ok(None) } else { crate::encode::value_of(&updated).map(Some) }
            })
        };
        Ok(host::called_from(line, || {
            let rows = self.pairs("updateStateByKey");
            pairs(match initial {
                Some(initial) => rows.update_state_by_key_from(initial, update),
                None => rows.update_state_by_key(update),
            })
        }))
    }

    #[pyo3(signature = (length, slide, at))]
    fn window(&self, length: f64, slide: Option<f64>, at: At) -> Stream {
        host::called_from(at.line(), || {
            let rows = self.plain();
            plain(match slide {
                Some(slide) => rows.window_by(seconds(length), seconds(slide)),
                None => rows.window(seconds(length)),
            })
        })
    }

    fn count_by_window(&self, length: f64, slide: f64, at: At) -> Stream {
        host::called_from(at.line(), || {
            let (length, slide) = (seconds(length), seconds(slide));
            plain(either!(&self.rows, rows => rows.count_by_window(length, slide).map(Value::count)))
        })
    }

    fn count_by_value_and_window(&self, length: f64, slide: f64, at: At) -> Stream {
        host::called_from(at.line(), || {
            let keys = self.plain().try_map(|row| key_of(row, "countByValueAndWindow"));
            pairs(keys.count_by_value_and_window(seconds(length), seconds(slide)).map_values(Value::count))
        })
    }

    #[pyo3(signature = (f, inverse, length, slide, at))]
    fn reduce_by_window(
        &self,
        f: Py<PyAny>,
        inverse: Option<Py<PyAny>>,
        length: f64,
        slide: f64,
        at: At,
    ) -> Stream {
        let line = at.line();
        let of = |f| Function::new("reduceByWindow", f, &line);
        let (f, inverse) = (of(f), inverse.map(of));
        let f = move |a: Value, b: Value| f.of_two(&a, &b);
        let (length, slide) = (seconds(length), seconds(slide));
        host::called_from(line.clone(), || {
            let rows = self.plain();
            plain(match inverse {
                Some(inverse) => {
                    rows.reduce_by_window_inverse(f, move |a, b| inverse.of_two(&a, &b), length, slide)
                }
                None => rows.reduce_by_window(f, length, slide),
            })
        })
    }

    #[pyo3(signature = (f, inverse, length, slide, filter, at))]
    #[expect(clippy::too_many_arguments, reason = "they are the arguments of a method of PySpark")]
    fn reduce_by_key_and_window(
        &self,
        f: Py<PyAny>,
        inverse: Option<Py<PyAny>>,
        length: f64,
        slide: f64,
        filter: Option<Py<PyAny>>,
        at: At,
    ) -> Stream {
        let line = at.line();
        let of = |f| Function::new("reduceByKeyAndWindow", f, &line);
        let (f, inverse, filter) = (of(f), inverse.map(of), filter.map(of));
        let f = move |a: Value, b: Value| f.of_two(&a, &b);
        let (length, slide) = (seconds(length), seconds(slide));
        host::called_from(line.clone(), || {
            let rows = self.pairs("reduceByKeyAndWindow");
            let Some(inverse) = inverse else {
                let reduced = rows.reduce_by_key_and_window(f, length, slide);
                return pairs(match filter {
                    Some(filter) => reduced.filter(move |row| filter.holds(row)),
                    None => reduced,
                });
            };
            let inverse = move |a: Value, b: Value| inverse.of_two(&a, &b);
            pairs(match filter {
                Some(filter) => {
                    rows.reduce_by_key_and_window_filtered(f, inverse, length, slide, move |key, value| {
                        filter.holds(&(key.clone(), value.clone()))
                    })
                }
                None => rows.reduce_by_key_and_window_inverse(f, inverse, length, slide),
            })
        })
    }

    fn group_by_key_and_window(&self, length: f64, slide: f64, at: At) -> Stream {
        host::called_from(at.line(), || {
            let groups =
                self.pairs("groupByKeyAndWindow").group_by_key_and_window(seconds(length), seconds(slide));
            pairs(groups.map_values(|values| Value::list(&values)))
        })
    }

    /// `f` is called with the time of the batch, in milliseconds, and its rows.
    fn transform(&self, f: Py<PyAny>, at: At) -> Stream {
        let line = at.line();
        let f = Function::new("transform", f, &line);
        host::called_from(line, || {
            plain(self.plain().transform(move |rows, time: BatchTime| {
                f.or_reject(|py| values_in(&f.call(py, (time.0, list_of(py, &rows)?))?))
            }))
        })
    }

    /// `f` is called with the time of the batch, in milliseconds, and the rows of both streams.
    fn transform_with(&self, other: PyRef<'_, Stream>, f: Py<PyAny>, at: At) -> Stream {
        let line = at.line();
        let f = Function::new("transformWith", f, &line);
        host::called_from(line, || {
            plain(self.plain().transform_with(&other.plain(), move |left, right, time: BatchTime| {
                f.or_reject(|py| values_in(&f.call(py, (time.0, list_of(py, &left)?, list_of(py, &right)?))?))
            }))
        })
    }

    /// `f` is called with the time of the batch, in milliseconds, and a list of the rows of each partition.
    fn foreach_rdd(&self, f: Py<PyAny>, at: At) {
        fn each<T: Row>(rows: &DStream<T>, f: Arc<Function>) {
            rows.foreach_rdd(move |rdd, time: BatchTime| {
                f.attached(|py| f.call(py, (time.0, lists_of(py, rdd.partitions())?)).map(drop))
                    .map_err(Into::into)
            });
        }
        let line = at.line();
        let f = Arc::new(Function::new("foreachRDD", f, &line));
        host::called_from(line, || either!(&self.rows, rows => each(rows, f)));
    }

    fn print(&self, rows_max: usize, at: At) {
        host::called_from(at.line(), || self.plain().pprint(PrintOptions::rows(rows_max).python()));
    }

    fn save_as_text_files(&self, prefix: &str, suffix: &str, at: At) {
        host::called_from(at.line(), || self.plain().save_as_text_files(prefix, suffix));
    }

    fn to_kafka(&self, topic: &str, at: At) {
        host::called_from(at.line(), || self.plain().to_sink(KafkaSink::new(topic)));
    }

    /// The rows of past batches, for the program.
    fn remembered(&self, at: At) -> Past {
        Past(host::called_from(at.line(), || self.plain().remembered()))
    }

    /// The same stream, whose last operation is known by this name.
    fn named(&self, name: &str) -> Stream {
        match &self.rows {
            Rows::Plain(rows) => plain(rows.clone().named(name)),
            Rows::Pairs(rows) => pairs(rows.clone().named(name)),
        }
    }
}

/// The rows of past batches.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub struct Past(Remembered<Value>);

#[pymethods]
impl Past {
    /// The rows of each batch between two times in milliseconds, both included, with its time.
    fn slice<'py>(
        &self,
        py: Python<'py>,
        from_ms: i64,
        to_ms: i64,
    ) -> PyResult<Vec<(i64, Bound<'py, PyList>)>> {
        let batches = py.detach(|| self.0.slice(BatchTime(from_ms), BatchTime(to_ms)));
        batches.into_iter().map(|(time, rows)| Ok((time.0, list_of(py, &rows)?))).collect()
    }
}
