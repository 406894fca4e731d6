//! Keeps the expensive ones among orders in Avro, exactly once, with schemas from a registry.
//!
//! Input: values in Avro as the registry's serializers write them, with at least the fields `id`, `user` and `price`. Output: the
//! orders with `price > 50.0`, in the schema below, which is registered under `OUTPUT-value`.
//!
//! With Kafka and a registry running, and both topics there:
//!
//! ```sh
//! cargo run --release --example avro_orders -- --input orders --output expensive --application-id expensive --registry http://localhost:8081
//! ```

use clap::Parser;
use serde::{Deserialize, Serialize};
use std::process::ExitCode;
use tidegate::{
    BadRecordPolicy, SourceOptions, StreamingContext,
    codec::{AvroReader, AvroSchema, AvroWriter},
    config::{Args, Topics},
    program,
    registry::{RecordPart, Registry, RegistryConfig, SubjectStrategy},
};

const SCHEMA: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
  {"name":"id","type":"long"},{"name":"user","type":"string"},{"name":"price","type":"double"}]}"#;

/// The fields that are read and written; the others are skipped.
#[derive(Clone, Serialize, Deserialize)]
struct Order {
    id: i64,
    user: String,
    price: f64,
}

#[derive(Parser)]
#[command(about = "Filters the orders in Avro of a topic, exactly once")]
struct Program {
    #[command(flatten)]
    args: Args,
    #[command(flatten)]
    topics: Topics,
    /// URLs of the schema registry, separated by commas
    #[arg(long, env = "TIDEGATE_REGISTRY")]
    registry: String,
    /// User name and password for the registry, with a colon between them
    #[arg(long, env = "TIDEGATE_REGISTRY_USER", hide_env_values = true)]
    registry_user: Option<String>,
}

fn main() -> ExitCode {
    let Program { args, topics, registry, registry_user } = Program::parse();
    program(&args, |args| {
        let mut config = RegistryConfig::new(&registry);
        if let Some((user, password)) = registry_user.as_deref().and_then(|both| both.split_once(':')) {
            config = config.basic_auth(user, password);
        }
        let registry = Registry::connect(&config)?;
        let schema = AvroSchema::parse(SCHEMA)?;
        let subject = SubjectStrategy::TopicName.subject(&topics.output, RecordPart::Value, schema.name());
        let writer = AvroWriter::register(&registry, &subject, &schema)?;

        let ssc = StreamingContext::new(args.config());
        let source = SourceOptions::topic(&topics.input).on_bad_record(BadRecordPolicy::DeadLetter);
        let orders = ssc.source::<Order>(source, AvroReader::new(&registry));
        orders.filter(|order| order.price > 50.0).to_kafka_values(&topics.output, writer);
        ssc.run()
    })
}
