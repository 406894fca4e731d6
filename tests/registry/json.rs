//! Programs whose records are JSON that a schema of the registry checks.

use crate::{
    registry,
    running::{log_of, put, run, values},
    unique,
};
use serde::{Deserialize, Serialize};
use tidegate::{
    BadRecordPolicy, SourceOptions,
    codec::{JsonSchema, JsonSchemaReader, JsonSchemaWriter, Message, Messages},
    log,
    record::{Partition, RawChunkBuilder},
    registry::{Reference, Schema, SchemaKind, Subject},
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Reading {
    level: f64,
}

#[test]
fn json_is_checked_on_both_edges_and_a_header_may_name_the_schema() {
    let (registry, name) = (registry(), unique("json"));
    let (config, log) = log_of(&name, &["readings"]);
    let least = Schema::new(
        SchemaKind::Json,
        r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"number","minimum":0}"#,
    );
    let part = Subject::new(format!("{name}-least"));
    registry.register(&part, &least).unwrap();
    let text = r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"level":{"$ref":"least.json"}},"required":["level"]}"#;
    let schema = Schema::new(SchemaKind::Json, text).with_references([Reference {
        name: "least.json".into(),
        subject: part,
        version: 1,
    }]);
    let id = registry.register(&Subject::new(format!("{name}-value")), &schema).unwrap();
    let prefix = [&[0][..], &id.0.to_be_bytes()].concat();
    let framed = |text: &str| [&prefix[..], text.as_bytes()].concat();
    put(
        log.as_ref(),
        "readings",
        0,
        &[&framed(r#"{"level":1.5}"#), &framed(r#"{"level":-1}"#), &framed("{")],
    );
    let mut in_header = RawChunkBuilder::default();
    let write = |out: &mut Vec<u8>| {
        out.extend(br#"{"level":6}"#);
        Ok::<_, ()>(true)
    };
    in_header.push_with(0, None, write).unwrap();
    in_header.push_header("__value_schema_id", Some(&prefix));
    log::write(log.as_ref(), "readings", Some(Partition(1)), &in_header.build()).unwrap();
    let output = Subject::new(format!("{name}-out"));
    let most = JsonSchema::parse(r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"level":{"maximum":10}}}"#).unwrap();
    run(config, |ssc| {
        let options = SourceOptions::topic("readings").on_bad_record(BadRecordPolicy::DeadLetter);
        let readings = ssc.source(options, Messages(JsonSchemaReader::new(&registry)));
        let doubled = readings.map(|m: Message<Reading>| Reading { level: m.value.level * 2.0 });
        let writer = JsonSchemaWriter::register(&registry, &output, &most).unwrap();
        doubled.filter(|reading| reading.level < 10.0).to_kafka_values("doubled", writer);
    });
    let letters = values(log.as_ref(), &format!("{name}-dlq"), "__tidegate.errors.message");
    let whys: Vec<&str> = letters.iter().map(|(_, why)| why.as_str()).collect();
    assert_eq!(whys.len(), 2, "{whys:?}");
    assert!(
        whys[0].contains("`/level`: must be >=0, but got -1") && whys[0].contains(&format!("schema {id}")),
        "{whys:?}"
    );
    assert!(whys[1].contains("not JSON"), "{whys:?}");
    let written = values(log.as_ref(), "doubled", "");
    assert_eq!(written.len(), 1);
    assert_eq!(&written[0].0[5..], br#"{"level":3.0}"#);
    assert_eq!(written[0].0[0], 0);
}
