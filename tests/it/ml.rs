//! Streaming models compared with scikit-learn, on Fisher's irises (1936), and as part of programs that crash.
//!
//! The expected numbers are those of scikit-learn 1.7: `KMeans` from the same initial centers, `Ridge`, `Lasso`,
//! `LinearRegression` and `LogisticRegression` without an intercept, with equivalent penalties (`Ridge(alpha=n*r)`,
//! `Lasso(alpha=r)`, `LogisticRegression(C=1/(n*r))`).

use crate::driver::{PLAIN, Session};
use std::collections::BTreeMap;
use tidegate::{
    StreamingContext, Text,
    codec::{AsText, Utf8},
    ml::{
        Algorithm, LabeledPoint, Regularization, StreamingKMeans, StreamingLinearRegression,
        StreamingLogisticRegression, TimeUnit, Training,
    },
    testing::{Settings, run, run_every_way},
};

/// Sepal length and width, petal length and width in centimetres, and the species: 0 setosa, 1 versicolor, 2 virginica.
fn irises() -> Vec<(Vec<f64>, u8)> {
    let row = |line: &str| {
        let numbers: Vec<f64> = line.split(',').map(|x| x.parse().unwrap()).collect();
        (numbers[..4].to_vec(), line.as_bytes()[line.len() - 1] - b'0')
    };
    include_str!("data/iris.csv").lines().map(row).collect()
}

fn assert_near(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(off < tolerance, "{found:?} is {off} off {expected:?}");
}

fn trained<A: Algorithm>(algorithm: &A, examples: &[A::Example], batches: usize) -> A::Model {
    let mut model = algorithm.initial();
    assert_eq!(algorithm.check(), Ok(()));
    assert!(examples.iter().all(|e| algorithm.refuses(e).is_none()));
    (0..batches).for_each(|_| algorithm.train(&mut model, examples).unwrap());
    model
}

#[test]
fn k_means_without_memory_is_lloyds_algorithm() {
    let points: Vec<Vec<f64>> = irises().into_iter().map(|(x, _)| x).collect();
    let first = [0, 50, 100].map(|i| points[i].clone()).to_vec();
    let kmeans = StreamingKMeans::with_centers(first, vec![0.0; 3]).decay_factor(0.0, TimeUnit::Batches);
    let model = trained(&kmeans, &points, 10);
    assert_near(&model.centers[0], &[5.006, 3.428, 1.462, 0.246], 1e-9);
    assert_near(
        &model.centers[1],
        &[5.901_612_903_225_806, 2.748_387_096_774_194, 4.393_548_387_096_774, 1.433_870_967_741_936],
        1e-9,
    );
    assert_near(
        &model.centers[2],
        &[6.85, 3.073_684_210_526_316, 5.742_105_263_157_894, 2.071_052_631_578_947],
        1e-9,
    );
    assert_eq!(model.weights, [50.0, 62.0, 38.0]);
}

#[test]
fn k_means_that_forgets_nothing_is_the_mean_of_all_points_assigned_to_each_center() {
    let kmeans = StreamingKMeans::with_centers(vec![vec![0.0], vec![10.0]], vec![0.0; 2]);
    let model = trained(&kmeans, &[vec![1.0], vec![2.0], vec![9.0]], 4);
    assert_near(&[model.centers[0][0], model.centers[1][0]], &[1.5, 9.0], 1e-12);
    assert_eq!(model.weights, [8.0, 4.0]);
}

#[test]
fn linear_regression_agrees_with_least_squares_ridge_and_lasso() {
    let point = |(x, _): (Vec<f64>, u8)| LabeledPoint { label: x[0], features: x[1..].to_vec() };
    let examples: Vec<LabeledPoint> = irises().into_iter().map(point).collect();
    for (regularization, expected) in [
        (Regularization::None, [1.121_061_685_538_484, 0.923_528_866_428_717, -0.895_675_827_813_731]),
        (Regularization::L2(0.1), [1.154_841_105_803_438, 0.656_716_023_605_825, -0.179_204_295_339_587]),
        (Regularization::L1(0.5), [1.126_456_628_416_203, 0.589_587_552_238_831, 0.0]),
    ] {
        let regression = StreamingLinearRegression::new(vec![0.0; 3])
            .step_size(0.05)
            .convergence_tolerance(0.0)
            .regularization(regularization);
        assert_near(&trained(&regression, &examples, 400), &expected, 1e-4);
    }
}

#[test]
fn logistic_regression_agrees_with_scikit_learn() {
    let point = |(features, species): (Vec<f64>, u8)| {
        (species > 0).then(|| LabeledPoint { label: f64::from(species - 1), features })
    };
    let examples: Vec<LabeledPoint> = irises().into_iter().filter_map(point).collect();
    let regression = StreamingLogisticRegression::new(vec![0.0; 4])
        .convergence_tolerance(0.0)
        .regularization(Regularization::L2(0.01));
    let weights = trained(&regression, &examples, 400);
    assert_near(
        &weights,
        &[-1.863_341_081_420_424, -1.646_020_516_601_174, 2.477_246_723_021_982, 2.593_142_807_949_388],
        1e-3,
    );
    let predicted = examples.iter().map(|e| (regression.predict(&weights, &e.features).unwrap(), e));
    let (right, wrong): (Vec<_>, Vec<_>) =
        predicted.partition(|(label, e)| label.total_cmp(&e.label).is_eq());
    assert_eq!((right.len(), wrong.len()), (96, 4));
    assert!(wrong.iter().all(|(label, _)| [0.0, 1.0].contains(label)), "{wrong:?}");
    for (label, e) in right {
        let probability = regression.probability(&weights, &e.features).unwrap();
        let sigmoid = 1.0 / (1.0 + (-weights.iter().zip(&e.features).map(|(w, x)| w * x).sum::<f64>()).exp());
        assert!((probability - sigmoid).abs() < 1e-12 && (probability > 0.5) == (label > 0.5));
    }
}

#[test]
fn an_intercept_is_the_last_weight_and_misfits_are_reported() {
    let examples: Vec<LabeledPoint> = (0..10)
        .map(|x| LabeledPoint { label: 3.0 - f64::from(x) / 2.0, features: vec![f64::from(x) / 10.0] })
        .collect();
    let regression = StreamingLinearRegression::new(vec![0.0; 2])
        .step_size(1.0)
        .convergence_tolerance(0.0)
        .with_intercept();
    assert_near(&trained(&regression, &examples, 200), &[-5.0, 3.0], 1e-6);
    assert!(regression.refuses(&LabeledPoint { label: 1.0, features: vec![1.0; 2] }).is_some());
    assert!(
        regression
            .predict(&vec![1.0, 1.0], &[1.0, 2.0])
            .unwrap_err()
            .contains("a vector of 2 numbers for a model of 1")
    );
    let wild = StreamingLinearRegression::new(vec![0.0]).step_size(1e9).iterations(500);
    let far = [LabeledPoint { label: 1.0, features: vec![1e9] }];
    assert!(wild.train(&mut vec![0.0], &far).unwrap_err().contains("choose a smaller step size"));
    let logistic = StreamingLogisticRegression::new(vec![0.0]);
    assert!(logistic.refuses(&LabeledPoint { label: 2.0, features: vec![1.0] }).unwrap().contains("0 or 1"));
}

fn vector(line: &Text) -> Vec<f64> {
    str::split(line, " ").map(|x| x.parse().unwrap_or(f64::NAN)).collect()
}

fn clusters(ssc: &StreamingContext) {
    let points = ssc.text("points").map(|line| vector(&line));
    let kmeans = StreamingKMeans::with_centers(vec![vec![0.0, 0.0], vec![9.0, 9.0]], vec![1.0; 2]);
    let model = kmeans.train_on(&points).named("clusters");
    model.models().map(|m| ("model", format!("{:?}", m.centers))).to_kafka("models", Utf8, AsText);
    let asked = ssc.text("asked").map(|line| (line.clone(), vector(&line)));
    model.predict_on_values(&asked).to_kafka("answers", Utf8, AsText);
}

const POINTS: &str = "points 0 | - | 4 4\nasked 1 | - | 5 5\n---\n\
    points 1 | - | 2 2\npoints 2 | - | 7 7\nasked 1 | - | 5 5\nasked 0 | - | 6 6\n---\n\
    asked 2 | - | 5 5\nasked 0 | - | 1 1\n---\nasked 2 | - | 5 5\n";

#[test]
fn a_model_learns_each_batch_once_and_predicts_with_what_it_knew_before_the_batch() {
    let expected = "answers | 5 5 | 1\nmodels | model | [[2.0, 2.0], [9.0, 9.0]]\n---\n\
        answers | 5 5 | 0\nanswers | 6 6 | 1\nmodels | model | [[2.0, 2.0], [8.0, 8.0]]\n---\n\
        answers | 1 1 | 0\nanswers | 5 5 | 0\n---\nanswers | 5 5 | 0\n";
    assert_eq!(run_every_way(clusters, POINTS), expected);
}

#[test]
fn k_means_forgets_in_each_batch_even_without_points() {
    let program = |ssc: &StreamingContext| {
        let points = ssc.text("points").map(|line| vector(&line));
        let kmeans = StreamingKMeans::with_centers(vec![vec![0.0], vec![100.0]], vec![0.0, 8.0])
            .decay_factor(0.5, TimeUnit::Batches);
        let model = kmeans.train_on(&points).named("clusters");
        model
            .models()
            .map(|m| ("model", format!("{:?} {:?}", m.centers, m.weights)))
            .to_kafka("models", Utf8, AsText);
        ssc.text("other").map(|line| ("row", line)).to_kafka("others", Utf8, Utf8);
    };
    let input = "points 0 | - | 3\npoints 0 | - | 5\n---\nother 0 | - | x\n---\npoints 0 | - | 10\n";
    // MLlib: weights [0, 8] and two points; half of [2, 4] without points; half of [1, 2], plus the point 10.
    let expected = "models | model | [[4.0], [100.0]] [2.0, 4.0]\n---\n\
        models | model | [[4.0], [100.0]] [1.0, 2.0]\nothers | row | x\n---\nmodels | model | [[8.0], [100.0]] [1.5, 1.0]\n";
    assert_eq!(run(Settings::default(), program, input).unwrap(), expected);
}

#[test]
fn logistic_regression_predicts_the_label_and_the_probability() {
    let program = |ssc: &StreamingContext| {
        let examples = ssc.text("examples").try_map(|line| line.parse::<LabeledPoint>());
        let model = StreamingLogisticRegression::new(vec![2.0]).train_on(&examples);
        let asked = ssc.text("asked").map(|line| (line.clone(), vector(&line)));
        let vectors = asked.map(|(_, v)| v);
        let text = |p: f64| ("p", format!("{p:.3}"));
        model.predict_on(&vectors).map(text).to_kafka("labels", Utf8, AsText);
        model.predict_probability_on(&vectors).map(text).to_kafka("probabilities", Utf8, AsText);
        let keyed = model.predict_probability_on_values(&asked).map(|(k, p)| (k, format!("{p:.3}")));
        keyed.to_kafka("keyed", Utf8, AsText);
    };
    let expected = "keyed | -0.5 | 0.269\nkeyed | 0.5 | 0.731\nlabels | p | 0.000\nlabels | p | 1.000\n\
        probabilities | p | 0.269\nprobabilities | p | 0.731\n";
    let found = run(Settings::default(), program, "asked 0 | - | 0.5\nasked 0 | - | -0.5\n").unwrap();
    assert_eq!(found, expected);
}

#[test]
fn an_example_that_does_not_fit_is_a_bad_record() {
    let why = run(Settings::default(), clusters, "points 1 | - | 1 2\npoints 1 | - | 1 x\n").unwrap_err();
    let why = why.to_string();
    assert!(why.contains("points-1 at offset 1") && why.contains("number 1 of the vector is NaN"), "{why}");
}

#[test]
fn wrong_settings_are_reported_as_mistakes_of_the_program() {
    let none = |ssc: &StreamingContext| {
        let points = ssc.text("points").map(|line| vector(&line));
        StreamingKMeans::with_centers(vec![], vec![]).train_on(&points).models().print();
    };
    let why = run(Settings::default(), none, "points 0 | - | 1\n").unwrap_err().to_string();
    assert!(why.contains("tests/it/ml.rs") && why.contains("k-means needs a center"), "{why}");
}

#[test]
fn a_model_of_other_settings_in_the_state_ends_the_program_with_the_way_out() {
    fn clusters(ssc: &StreamingContext, centers: usize, name: &str) {
        let points = ssc.text("points").map(|line| vector(&line));
        let model = StreamingKMeans::with_random_centers(centers, 1, 0.0, 7).train_on(&points).named(name);
        model.predict_on(&ssc.text("asked").map(|line| vector(&line))).to_kafka_values("answers", AsText);
    }
    for asked in ["points 0 | - | 2\n", "asked 0 | - | 2\n"] {
        let mut session = Session::new(PLAIN);
        let two = |ssc: &StreamingContext| clusters(ssc, 2, "clusters");
        assert_eq!(session.step(&two, "points 0 | - | 1\n"), Vec::<String>::new());
        let told = session.step(&|ssc| clusters(ssc, 3, "clusters"), asked).join("\n");
        assert!(
            told.contains(
                "the model in the state has 2 centers of 1 numbers, and the program asks for 3 of 1"
            ),
            "{told}"
        );
        assert!(told.contains("next: go back to them; or give the model another name"), "{told}");
        session.config.accept_state_changes = true;
        let anew = session.step(&|ssc| clusters(ssc, 3, "three clusters"), "points 0 | - | 5\n").join("\n");
        assert!(!anew.contains("error"), "{anew}");
    }
}

#[test]
fn the_irises_are_of_three_species() {
    let mut species: BTreeMap<u8, usize> = BTreeMap::new();
    irises().into_iter().for_each(|(_, s)| *species.entry(s).or_default() += 1);
    assert_eq!(species, BTreeMap::from([(0, 50), (1, 50), (2, 50)]));
}
