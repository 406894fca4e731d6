//! Learns a linear regression from one topic while it predicts for another.
//!
//! Lines of both are labelled points, `(label,[x,y,z])`, of the same number of features. Output: key = label, value = prediction, as the
//! model was before the batch. The model is kept over restarts.
//!
//! With Kafka running and its commands in the `PATH`, the program in a terminal of its own. The training data is
//! written first, as a batch is scored with the model as it was before it:
//!
//! ```sh
//! for topic in examples test-examples predictions; do kafka-topics.sh --bootstrap-server localhost:9092 --create --if-not-exists --topic $topic --partitions 4; done
//! cargo run --release --example streaming_linear_regression -- --input examples --test test-examples --output predictions --application-id regression --features 1 --step-size 0.5
//! printf '(2.0,[1.0])\n(4.0,[2.0])\n(-2.0,[-1.0])\n' | kafka-console-producer.sh --bootstrap-server localhost:9092 --topic examples
//! printf '(6.0,[3.0])\n' | kafka-console-producer.sh --bootstrap-server localhost:9092 --topic test-examples
//! kafka-console-consumer.sh --bootstrap-server localhost:9092 --topic predictions --from-beginning --isolation-level read_committed --property print.key=true
//! ```

use clap::Parser;
use std::process::ExitCode;
use tidegate::{
    StreamingContext,
    codec::AsText,
    config::{Args, Topics},
    ml::{LabeledPoint, StreamingLinearRegression, Training},
    program,
};

#[derive(Parser)]
#[command(about = "Learns a linear regression from one topic (--input), and predicts for another (--test)")]
struct Program {
    #[command(flatten)]
    args: Args,
    #[command(flatten)]
    topics: Topics,
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
    let Program { args, topics, test, features, step_size } = Program::parse();
    program(&args, |args| {
        let ssc = StreamingContext::new(args.config());
        let training = ssc.text(&topics.input).try_map(|line| line.parse::<LabeledPoint>());
        let test = ssc.text(&test).try_map(|line| line.parse::<LabeledPoint>());
        let regression = StreamingLinearRegression::new(vec![0.0; features]).step_size(step_size);
        let model = regression.train_on(&training).named("regression");
        let predictions = model.predict_on_values(&test.map(|point| (point.label, point.features)));
        predictions.print();
        predictions.to_kafka(&topics.output, AsText, AsText);
        ssc.run()
    })
}
