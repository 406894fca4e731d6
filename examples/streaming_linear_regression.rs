//! Learns a linear regression from one topic while it predicts for another.
//!
//! Lines of both are labelled points, `(label,[x,y,z])`, of the same number of features. Output: key = label, value = prediction, as the
//! model was before the batch. The model is kept over restarts.

use clap::Parser;
use std::process::ExitCode;
use tidegate::{
    StreamingContext,
    codec::AsText,
    config::Args,
    ml::{LabeledPoint, StreamingLinearRegression, Training},
    program,
};

#[derive(Parser)]
#[command(about = "Learns a linear regression from one topic (--input), and predicts for another (--test)")]
struct Program {
    #[command(flatten)]
    args: Args,
    /// Topic with the labelled points whose labels are to be predicted
    #[arg(long)]
    test: String,
    /// Number of features of a point
    #[arg(long)]
    features: usize,
    /// Size of the first step of each batch
    #[arg(long, default_value_t = 0.1)]
    step_size: f64,
}

fn main() -> ExitCode {
    let Program { args, test, features, step_size } = Program::parse();
    program(&args, |args| {
        let ssc = StreamingContext::new(args.config());
        let training = ssc.text(&args.input).try_map(|line| line.parse::<LabeledPoint>());
        let test = ssc.text(&test).try_map(|line| line.parse::<LabeledPoint>());
        let regression = StreamingLinearRegression::new(vec![0.0; features]).step_size(step_size);
        let model = regression.train_on(&training).named("regression");
        let predictions = model.predict_on_values(&test.map(|point| (point.label, point.features)));
        predictions.print();
        predictions.to_kafka(&args.output, AsText, AsText);
        ssc.run()
    })
}
