//! Models in the ONNX format compared with scikit-learn, on Fisher's irises, and as part of programs.
//!
//! `it/data/onnx/make.py` created the models and `probabilities.csv`: the results of scikit-learn 1.9.1 for each
//! iris, those of the perceptron, the logistic regression and the forest side by side.

use tidegate::{
    StreamingContext,
    codec::{AsText, Utf8},
    ml::OnnxModel,
    testing::{Driver, Settings, run, run_every_way},
};

fn load(name: &str) -> OnnxModel {
    OnnxModel::load(format!("tests/it/data/onnx/{name}.onnx")).unwrap()
}

fn numbers(line: &str) -> Vec<f32> {
    line.split(',').map(|x| x.parse().unwrap()).collect()
}

/// The expected result of each model for each iris.
fn irises() -> (Vec<Vec<f32>>, [(&'static str, Vec<Vec<f32>>); 4]) {
    let rows = include_str!("it/data/iris.csv").lines().map(|line| numbers(line)[..4].to_vec()).collect();
    let answers: Vec<Vec<f32>> =
        include_str!("it/data/onnx/probabilities.csv").lines().map(numbers).collect();
    let part = |at: usize| answers.iter().map(|a| a[at..at + 3].to_vec()).collect::<Vec<_>>();
    (rows, [("perceptron", part(0)), ("logistic", part(3)), ("forest", part(6)), ("fixed_batch", part(0))])
}

#[test]
fn the_probabilities_agree_with_scikit_learn() {
    let (rows, models) = irises();
    assert_eq!(rows.len(), 150);
    for (name, expected) in models {
        let model = load(name);
        assert_eq!((model.inputs(), model.outputs()), (4, 3), "{name}");
        let found = model.score(&rows).unwrap();
        assert_eq!(found.len(), rows.len());
        let off =
            found.concat().iter().zip(expected.concat()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off < 1e-5, "{name} is {off} off");
    }
}

#[test]
fn a_result_does_not_depend_on_the_rows_beside_it() {
    let (rows, models) = irises();
    let many: Vec<Vec<f32>> = rows.iter().cycle().take(3_000).cloned().collect();
    for (name, _) in models {
        let model = load(name);
        assert_eq!(model.score(&[]), Ok(vec![]));
        let alone: Vec<Vec<f32>> =
            rows.iter().map(|row| model.score(std::slice::from_ref(row)).unwrap().remove(0)).collect();
        let together = model.score(&many).unwrap();
        for (i, found) in together.iter().enumerate() {
            let off = found.iter().zip(&alone[i % 150]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < 1e-6, "{name}: row {i} is {off} off");
        }
    }
}

#[test]
fn one_of_several_outputs_is_chosen_by_its_name() {
    let path = "tests/it/data/onnx/two_outputs.onnx";
    let negated = OnnxModel::load_output(path, "n").unwrap();
    assert_eq!(
        negated.score(&[vec![1.0, -2.0], vec![0.5, 0.0]]),
        Ok(vec![vec![-1.0, 2.0], vec![-0.5, -0.0]])
    );
    assert_eq!(negated.score(&[vec![f32::INFINITY, 0.0]]), Ok(vec![vec![f32::NEG_INFINITY, 0.0]]));
    let why = OnnxModel::load_output(path, "x").unwrap_err().to_string();
    assert!(why.contains(path) && why.contains("expected an output `x`") && why.contains("`e` "), "{why}");
}

#[test]
fn a_model_that_cannot_score_rows_is_refused_when_it_is_loaded() {
    for (file, expected) in [
        ("none.onnx", &["cannot be opened: No such file"][..]),
        ("make.py", &["is not a readable ONNX model"]),
        ("unsupported.onnx", &["operators that are not supported: Det (`area`)"]),
        ("doubles.onnx", &["32-bit floats with the shape [rows, numbers]", "found `X`", "4,F64"]),
        ("two_inputs.onnx", &["expected one input", "found `a`", ", `b`"]),
        (
            "two_outputs.onnx",
            &["expected one output", "but its outputs are `e`", "`n`", "OnnxModel::load_output"],
        ),
        ("no_rows.onnx", &["its output has the shape [1, 1], expected one row for each row: [N, ..]"]),
        ("zipmap.onnx", &["expected one output", "`zipmap` must be off"]),
    ] {
        let path = format!("tests/it/data/onnx/{file}");
        let error = OnnxModel::load(&path).unwrap_err();
        let why = error.to_string();
        println!("{why}");
        assert_eq!(error.exit_code(), 3, "{why}");
        assert!(why.contains(&path), "{why}");
        for part in expected {
            assert!(why.contains(part), "`{part}` is not in: {why}");
        }
    }
}

fn species(ssc: &StreamingContext) {
    let model = load("perceptron");
    let measured = ssc.text("irises").map(|line| (line.clone(), numbers(&line)));
    let best = |answer: Vec<f32>| (0..answer.len()).max_by(|a, b| answer[*a].total_cmp(&answer[*b]));
    measured.score_values(&model).map_values(move |a| best(a).unwrap_or(9)).to_kafka("species", Utf8, AsText);
    measured
        .map(|(_, row)| row)
        .score(&model)
        .map(|a| ("sum", a.iter().sum::<f32>().round()))
        .to_kafka("sums", Utf8, AsText);
}

#[test]
fn a_model_scores_a_stream() {
    let input = "irises 0 | - | 5.1,3.5,1.4,0.2\nirises 1 | - | 7.0,3.2,4.7,1.4\n---\nirises 1 | - | 6.3,3.3,6.0,2.5\n";
    let expected = "species | 5.1,3.5,1.4,0.2 | 0\nspecies | 7.0,3.2,4.7,1.4 | 1\nsums | sum | 1\nsums | sum | 1\n---\n\
        species | 6.3,3.3,6.0,2.5 | 2\nsums | sum | 1\n";
    assert_eq!(run_every_way(species, input), expected);
}

#[test]
fn a_score_carries_the_time_of_its_row() {
    let mut driver = Driver::new(species);
    let input = "irises 0 | - | 5.1,3.5,1.4,0.2 | @200\nirises 0 | - | 7.0,3.2,4.7,1.4 | @100\n";
    let expected = [
        "species | 5.1,3.5,1.4,0.2 | 0 | @200",
        "species | 7.0,3.2,4.7,1.4 | 1 | @100",
        "sums | sum | 1 | @100",
        "sums | sum | 1 | @200",
    ];
    let written = driver.batch_at(1_000, input).unwrap();
    assert_eq!(written.rows().collect::<Vec<_>>(), expected);
}

#[test]
fn scoring_needs_no_exchange_and_keeps_keys_in_their_partitions() {
    let ssc = StreamingContext::builder("app").build();
    let model = OnnxModel::load_output("tests/it/data/onnx/two_outputs.onnx", "n").unwrap();
    let sums = ssc.text("words").map(|w| (w, 1.0f32)).reduce_by_key(|a, b| a + b);
    let scores = sums.map_values(|n| vec![n, 0.0]).score_values(&model);
    scores.group_by_key().print();
    ssc.text("rows").map(|line| numbers(&line)).score(&model).print();
    let plan = ssc.topology().to_string();
    let exchanges = plan.lines().filter(|line| line.contains("exchange"));
    assert_eq!(exchanges.count(), 1, "{plan}");
}

#[test]
fn a_row_that_does_not_fit_is_a_bad_record() {
    let why = run(Settings::default(), species, "irises 1 | - | 1,2,3,4\nirises 1 | - | 1,2,3\n")
        .unwrap_err()
        .to_string();
    let expected = "model tests/it/data/onnx/perceptron.onnx: input `X` takes 4 numbers, got 3";
    assert!(why.contains("irises-1 at offset 1") && why.contains(expected), "{why}");
}
