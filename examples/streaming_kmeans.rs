//! Learns clusters from the points of one topic while it assigns those of another to them.
//!
//! Training lines are vectors, `[1.0,2.0,3.0]`; test lines are labelled points, `(7,[1.0,2.0,3.0])`, of the same number of dimensions.
//! Output: key = label, value = number of the cluster, as the model was before the batch. The model is kept over restarts.
//!
//! With Kafka running and its commands in the `PATH`, the program in a terminal of its own. The training data is
//! written first, as a batch is scored with the model as it was before it:
//!
//! ```sh
//! for topic in points test-points clusters; do kafka-topics.sh --bootstrap-server localhost:9092 --create --if-not-exists --topic $topic --partitions 4; done
//! cargo run --release --example streaming_kmeans -- --input points --test test-points --output clusters --application-id clusters --clusters 2 --dimensions 2
//! printf '[0.0,0.1]\n[0.1,0.0]\n[9.0,9.1]\n[9.1,9.0]\n' | kafka-console-producer.sh --bootstrap-server localhost:9092 --topic points
//! printf '(1,[0.2,0.0])\n(2,[9.2,9.0])\n' | kafka-console-producer.sh --bootstrap-server localhost:9092 --topic test-points
//! kafka-console-consumer.sh --bootstrap-server localhost:9092 --topic clusters --from-beginning --isolation-level read_committed --property print.key=true
//! ```

use clap::Parser;
use std::process::ExitCode;
use tidegate::{
    StreamingContext,
    codec::AsText,
    config::{Args, Topics},
    ml::{LabeledPoint, StreamingKMeans, TimeUnit, Training, parse_vector},
    program,
};

#[derive(Parser)]
#[command(
    about = "Learns clusters from the points of one topic (--input), and assigns those of another (--test)"
)]
struct Program {
    #[command(flatten)]
    args: Args,
    #[command(flatten)]
    topics: Topics,
    /// Topic with the labelled points that are to be assigned to clusters
    #[arg(long)]
    test: String,
    /// Number of clusters
    #[arg(long)]
    clusters: usize,
    /// Number of dimensions of a point
    #[arg(long)]
    dimensions: usize,
    /// How much what was learned counts against a new batch: 1 = as much as each of its points, 0 = not at all
    #[arg(long, default_value_t = 1.0)]
    decay_factor: f64,
}

fn main() -> ExitCode {
    let Program { args, topics, test, clusters, dimensions, decay_factor } = Program::parse();
    program(&args, |args| {
        let ssc = StreamingContext::new(args.config());
        let training = ssc.text(&topics.input).try_map(|line| parse_vector(&line));
        let test = ssc.text(&test).try_map(|line| line.parse::<LabeledPoint>());
        let kmeans = StreamingKMeans::with_random_centers(clusters, dimensions, 0.0, 42)
            .decay_factor(decay_factor, TimeUnit::Batches);
        let model = kmeans.train_on(&training).named("clusters");
        let predictions = model.predict_on_values(&test.map(|point| (point.label, point.features)));
        predictions.print();
        predictions.to_kafka(&topics.output, AsText, AsText);
        ssc.run()
    })
}
