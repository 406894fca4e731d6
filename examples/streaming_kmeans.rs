//! Clusters the points of one topic while it tells the clusters of those of another.
//!
//! Training lines are vectors, `[1.0,2.0,3.0]`; test lines are labelled points, `(7,[1.0,2.0,3.0])`, of the same number of dimensions.
//! Output: key = label, value = number of the cluster, as the model was before the batch. The model is kept over restarts.

use clap::Parser;
use std::process::ExitCode;
use tidegate::{
    StreamingContext,
    codec::AsText,
    config::Args,
    ml::{LabeledPoint, StreamingKMeans, TimeUnit, Training, parse_vector},
    program,
};

#[derive(Parser)]
#[command(
    about = "Clusters the points of one topic (--input), and tells the clusters of those of another (--test)"
)]
struct Program {
    #[command(flatten)]
    args: Args,
    /// Topic with the labelled points that are to be assigned to clusters
    #[arg(long)]
    test: String,
    /// Number of clusters
    #[arg(long)]
    clusters: usize,
    /// Number of dimensions of a point
    #[arg(long)]
    dimensions: usize,
    /// How much what was learnt counts beside a new batch: 1 = as much as each of its points, 0 = not at all
    #[arg(long, default_value_t = 1.0)]
    decay_factor: f64,
}

fn main() -> ExitCode {
    let Program { args, test, clusters, dimensions, decay_factor } = Program::parse();
    program(&args, |args| {
        let ssc = StreamingContext::new(args.config());
        let training = ssc.text(&args.input).try_map(|line| parse_vector(&line));
        let test = ssc.text(&test).try_map(|line| line.parse::<LabeledPoint>());
        let kmeans = StreamingKMeans::with_random_centers(clusters, dimensions, 0.0, 42)
            .decay_factor(decay_factor, TimeUnit::Batches);
        let model = kmeans.train_on(&training).named("clusters");
        let predictions = model.predict_on_values(&test.map(|point| (point.label, point.features)));
        predictions.print();
        predictions.to_kafka(&args.output, AsText, AsText);
        ssc.run()
    })
}
