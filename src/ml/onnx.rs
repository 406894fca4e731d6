//! Scores a stream with models that were trained elsewhere and saved in the ONNX format.
//!
//! Owns loading, the check that a model takes rows and returns rows, and the operator that runs it. The computation
//! is done by the crate `tract-onnx`, which only this file names. Knows no log, no thread and no state. Invariants:
//! whatever a model does not support is reported when it is loaded, so while a program runs only a row can be
//! wrong; the result for a row does not depend on the rows beside it.

use crate::{
    dstream::DStream,
    error::{Error, Result},
    operator::{Context, Operator, PerChunk},
    plan::{Factory, Layout, Operation, Role},
    record::{Chunk, Data},
};
use std::{fmt, fs::File, path::Path, sync::Arc};
use tract_onnx::{
    Onnx,
    prelude::{
        Datum, Framework, InferenceFact, InferenceModel, InferenceModelExt, IntoRunnable, TDim, TVec, Tensor,
        ToDim, TractResult, TypedRunnableModel, tvec,
    },
    tract_hir::{infer::Factoid, internal::DimLike},
};

/// How many rows a model without a fixed batch size gets at once: bounds the memory for what lies between its
/// layers.
const ROWS_MAX: usize = 1024;

/// A model in the ONNX format, ready to score. Cheap to clone: all tasks of a process share one.
///
/// It has one input of 32-bit floats with the shape `[rows, numbers]`, or `[rows, a, b, ..]`, whose rows are then
/// passed flat, the last dimension varying fastest. `rows` may be open, which is the fastest, or fixed: then
/// batches are padded. An output of 32-bit floats has the same first dimension. Needs the cargo feature `onnx`.
///
/// ```
/// use tidegate::{DStream, ml::OnnxModel, testing::outputs};
/// let model = OnnxModel::load("tests/it/data/onnx/perceptron.onnx")?; // tells three kinds of irises apart
/// assert_eq!((model.inputs(), model.outputs()), (4, 3));
/// let species = |irises: DStream<Vec<f32>>| irises.score(&model).map(|p| (0..3).max_by(|a, b| p[*a].total_cmp(&p[*b])));
/// assert_eq!(outputs([[vec![5.1, 3.5, 1.4, 0.2], vec![7.0, 3.2, 4.7, 1.4]]], species)?, [[Some(0), Some(1)]]);
/// # Ok::<(), tidegate::Error>(())
/// ```
#[derive(Clone)]
pub struct OnnxModel(Arc<Loaded>);

struct Loaded {
    path: String,
    input: String,
    /// Shape of one input row.
    row: Vec<usize>,
    /// Rows per run, if the model fixes them.
    rows: Option<usize>,
    inputs: usize,
    outputs: usize,
    plan: Arc<TypedRunnableModel>,
}

impl fmt::Debug for OnnxModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Loaded { path, inputs, outputs, .. } = &*self.0;
        write!(f, "OnnxModel({path}: {inputs} numbers to {outputs})")
    }
}

impl OnnxModel {
    /// Loads a model. Its result is its only output of 32-bit floats.
    ///
    /// ```
    /// use tidegate::ml::OnnxModel;
    /// assert!(OnnxModel::load("tests/it/data/onnx/perceptron.onnx").is_ok());
    /// let why = OnnxModel::load("missing.onnx").unwrap_err().to_string();
    /// assert!(why.contains("missing.onnx"), "{why}");
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] with the path: if the file is missing or not an ONNX model; if it has an operator that is
    /// not supported; if its inputs or outputs differ from [those described above](OnnxModel), with the expected
    /// and the actual shape.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::of(path.as_ref(), None)
    }

    /// Like [`load`](Self::load), for a model with several outputs of 32-bit floats: its result is the one with
    /// this name.
    ///
    /// ```
    /// use tidegate::ml::OnnxModel;
    /// let negated = OnnxModel::load_output("tests/it/data/onnx/two_outputs.onnx", "n")?;
    /// assert_eq!(negated.score(&[vec![1.0, -2.0]]), Ok(vec![vec![-1.0, 2.0]]));
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`load`](Self::load), and if there is no such output.
    pub fn load_output(path: impl AsRef<Path>, output: &str) -> Result<Self> {
        Self::of(path.as_ref(), Some(output))
    }

    /// How many numbers a row has.
    ///
    /// ```
    /// let model = tidegate::ml::OnnxModel::load("tests/it/data/onnx/perceptron.onnx")?;
    /// assert_eq!(model.inputs(), 4);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.0.inputs
    }

    /// How many numbers a result has.
    ///
    /// ```
    /// let model = tidegate::ml::OnnxModel::load("tests/it/data/onnx/perceptron.onnx")?;
    /// assert_eq!(model.outputs(), 3);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.0.outputs
    }

    /// The results for the rows, in the same order.
    ///
    /// ```
    /// let model = tidegate::ml::OnnxModel::load_output("tests/it/data/onnx/two_outputs.onnx", "n")?;
    /// assert_eq!(model.score(&[vec![1.0, -2.0], vec![0.5, 3.0]]), Ok(vec![vec![-1.0, 2.0], vec![-0.5, -3.0]]));
    /// assert!(model.score(&[vec![1.0]]).is_err()); // it takes two numbers
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// If a row does not have [`inputs`](Self::inputs) numbers.
    pub fn score(&self, rows: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, String> {
        let Loaded { path, input, inputs, rows: fixed, .. } = &*self.0;
        if let Some(row) = rows.iter().find(|row| row.len() != *inputs) {
            return Err(format!("model {path}: input `{input}` takes {inputs} numbers, got {}", row.len()));
        }
        let mut answers = Vec::with_capacity(rows.len());
        for rows in rows.chunks(fixed.unwrap_or(ROWS_MAX)) {
            self.0.run(rows, &mut answers).map_err(|e| format!("model {path}: {e:#}"))?;
        }
        Ok(answers)
    }

    fn of(path: &Path, output: Option<&str>) -> Result<Self> {
        let loaded = Loaded::of(path, output);
        let error = |why| Error::Config(format!("model {}: {why}", path.display()));
        loaded.map(|loaded| OnnxModel(Arc::new(loaded))).map_err(error)
    }
}

impl Loaded {
    fn of(path: &Path, output: Option<&str>) -> Result<Self, String> {
        File::open(path).map_err(|e| format!("cannot be opened: {e}"))?;
        let mut model = Onnx { use_output_shapes: true, ..tract_onnx::onnx() }
            .with_ignore_value_info(true)
            .model_for_path(path)
            .map_err(|e| format!("is not a readable ONNX model: {e:#}"))?;
        let (input, mut shape) = input_of(&model)?;
        choose_output(&mut model, output)?;
        let rows = match shape[0].to_usize().ok() {
            Some(0) => return Err(format!("input `{input}` takes no rows")),
            rows => rows,
        };
        if rows.is_none() {
            shape[0] = model.sym("N").to_dim();
        }
        let row: Vec<usize> = shape[1..].iter().filter_map(|d| d.to_usize().ok()).collect();
        refuse_unsupported(&model)?;
        let all = shape[0].clone();
        let typed = Onnx::determinize(&mut model)
            .and_then(|()| model.with_input_fact(0, InferenceFact::dt_shape(f32::datum_type(), shape)))
            .and_then(InferenceModelExt::into_optimized);
        let typed = typed.map_err(|e| format!("cannot be prepared: {e:#}"))?;
        let answer = typed.output_fact(0).map_err(|e| e.to_string())?.shape.to_tvec();
        let outputs = answer.iter().skip(1).try_fold(1, |n, d| Some(n * d.to_usize().ok()?));
        let outputs = outputs.filter(|_| answer.first() == Some(&all)).ok_or_else(|| {
            format!("its output has the shape {}, expected one row for each row: [{all}, ..]", show(&answer))
        })?;
        let plan = typed.into_runnable().map_err(|e| format!("cannot be run: {e:#}"))?;
        let inputs = row.iter().product();
        Ok(Loaded { path: path.display().to_string(), input, row, rows, inputs, outputs, plan })
    }

    /// Runs the model once; `rows` are no more than it takes.
    fn run(&self, rows: &[Vec<f32>], answers: &mut Vec<Vec<f32>>) -> TractResult<()> {
        let mut numbers = rows.concat();
        let count = self.rows.unwrap_or(rows.len());
        numbers.resize(count * self.inputs, 0.0);
        let shape: Vec<usize> = std::iter::once(count).chain(self.row.iter().copied()).collect();
        let found = self.plan.run(tvec![Tensor::from_shape(&shape, &numbers)?.into()])?;
        let found = found[0].to_plain_array_view::<f32>()?;
        let numbers: Vec<f32> = found.iter().copied().collect();
        answers.extend((0..rows.len()).map(|i| numbers[i * self.outputs..(i + 1) * self.outputs].to_vec()));
        Ok(())
    }
}

/// Keeps one output: the one with this name, or the only one of 32-bit floats.
fn choose_output(model: &mut InferenceModel, name: Option<&str>) -> Result<(), String> {
    let outlets = model.output_outlets().map_err(|e| e.to_string())?.to_vec();
    let named = |i: usize| model.outlet_label(outlets[i]).unwrap_or("").to_owned();
    let facts: Vec<&InferenceFact> = outlets.iter().filter_map(|o| model.outlet_fact(*o).ok()).collect();
    let floats = |i: &usize| facts[*i].datum_type.concretize() == Some(f32::datum_type());
    let fitting: Vec<usize> =
        (0..facts.len()).filter(floats).filter(|i| name.is_none_or(|n| n == named(*i))).collect();
    let [one] = fitting[..] else {
        let all = (0..facts.len()).map(|i| format!("`{}` {}", named(i), facts[i].format_dt_shape()));
        let wanted = name.map_or_else(|| "one output".to_owned(), |n| format!("an output `{n}`"));
        let next = if fitting.is_empty() {
            "export it with one; with skl2onnx, `zipmap` must be off"
        } else {
            "choose one of that type with `OnnxModel::load_output`"
        };
        let all = all.collect::<Vec<_>>().join(", ");
        return Err(format!(
            "expected {wanted} of 32-bit floats (F32), but its outputs are {all}\n  next: {next}"
        ));
    };
    // The declared shapes have their own names for the rows; operators that lead only to other outputs need not be
    // supported.
    outlets
        .iter()
        .try_for_each(|o| model.set_outlet_fact(*o, InferenceFact::default()))
        .map_err(|e| e.to_string())?;
    model.select_output_outlets(&[outlets[one]]).and_then(|()| model.compact()).map_err(|e| e.to_string())
}

/// Name and shape of the only input.
fn input_of(model: &InferenceModel) -> Result<(String, TVec<TDim>), String> {
    let expected = "expected one input of 32-bit floats with the shape [rows, numbers]: F32";
    let inputs = model.input_outlets().map_err(|e| e.to_string())?;
    let described: Vec<String> = inputs
        .iter()
        .filter_map(|i| Some((&model.node(i.node).name, model.outlet_fact(*i).ok()?)))
        .map(|(name, fact)| format!("`{name}` {}", fact.format_dt_shape()))
        .collect();
    let wrong = || format!("{expected}, found {}", described.join(", "));
    let [input] = inputs else { return Err(wrong()) };
    let fact = model.outlet_fact(*input).map_err(|e| e.to_string())?;
    let dims: TVec<TDim> =
        fact.shape.dims().map(|d| d.concretize().unwrap_or_else(|| model.sym("N").to_dim())).collect();
    let fits = fact.datum_type.concretize() == Some(f32::datum_type())
        && !fact.shape.is_open()
        && dims.len() > 1
        && dims[1..].iter().all(|d| d.to_usize().is_ok());
    if fits { Ok((model.node(input.node).name.clone(), dims)) } else { Err(wrong()) }
}

fn refuse_unsupported(model: &InferenceModel) -> Result<(), String> {
    let order = model.eval_order().map_err(|e| e.to_string())?;
    let unsupported = |node: usize| {
        let (node, kind) = (model.node(node), model.node(node).op.name().into_owned());
        Some(format!("{} (`{}`)", kind.strip_prefix("Unimplemented(")?.trim_end_matches(')'), node.name))
    };
    let found: Vec<String> = order.into_iter().filter_map(unsupported).collect();
    if found.is_empty() {
        return Ok(());
    }
    Err(format!("it has operators that are not supported: {}", found.join(", ")))
}

fn show(shape: &[TDim]) -> String {
    format!("[{}]", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

fn scored<T: Data, U: Data>(
    rows: &DStream<T>,
    kind: &'static str,
    op: &Operation,
    layout: Layout,
    answer: impl Fn(Vec<T>) -> Result<Vec<U>, String> + Send + Sync + 'static,
) -> DStream<U> {
    let answer = Arc::new(answer);
    let factory: Factory = Arc::new(move |_| {
        let answer = answer.clone();
        Box::new(PerChunk(move |chunk: Chunk, cx: &mut Context<'_>| {
            let (rows, stamps) = chunk.take_stamped();
            cx.out.chunk(Chunk::rows(answer(rows).map_err(Error::Row)?).stamped(stamps));
            Ok(())
        })) as Box<dyn Operator>
    });
    rows.then(kind, op, layout, Role::Operator(factory))
}

impl DStream<Vec<f32>> {
    /// The result of a model for each row. A row whose length differs from the model's is handled as a bad record
    /// of its source; numbers that are not finite are left to the model.
    ///
    /// ```
    /// use tidegate::{DStream, ml::OnnxModel, testing::outputs};
    /// let negated = OnnxModel::load_output("tests/it/data/onnx/two_outputs.onnx", "n")?;
    /// let scores = outputs([[vec![1.0, -2.0]]], |rows: DStream<Vec<f32>>| rows.score(&negated))?;
    /// assert_eq!(scores, [[vec![-1.0, 2.0]]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn score(&self, model: &OnnxModel) -> DStream<Vec<f32>> {
        let model = model.clone();
        scored(self, "score", &self.here(), Layout::Any, move |rows: Vec<_>| model.score(&rows))
    }
}

impl<K: Data> DStream<(K, Vec<f32>)> {
    /// Like [`score`](DStream::score), for the values of pairs: keys are kept with the results, and rows stay in
    /// their partitions.
    ///
    /// ```
    /// use tidegate::{DStream, ml::OnnxModel, testing::outputs};
    /// let negated = OnnxModel::load_output("tests/it/data/onnx/two_outputs.onnx", "n")?;
    /// let scores = outputs([[('a', vec![1.0, -2.0])]], |rows: DStream<(char, Vec<f32>)>| rows.score_values(&negated))?;
    /// assert_eq!(scores, [[('a', vec![-1.0, 2.0])]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn score_values(&self, model: &OnnxModel) -> DStream<(K, Vec<f32>)> {
        let model = model.clone();
        scored(self, "score_values", &self.here(), self.layout(), move |pairs: Vec<(K, Vec<f32>)>| {
            let (keys, rows): (Vec<K>, Vec<Vec<f32>>) = pairs.into_iter().unzip();
            Ok(keys.into_iter().zip(model.score(&rows)?).collect())
        })
    }
}
