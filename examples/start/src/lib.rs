//! What each customer has spent.

use serde::{Deserialize, Serialize};
use tidegate::{
    BadRecordPolicy, SourceOptions, StreamingContext, Text,
    codec::{AsText, Json, Pairs, Utf8},
};

/// An order; the key of its record is the customer.
#[derive(Clone, Serialize, Deserialize)]
pub struct Order {
    pub item: Text,
    pub cents: u64,
}

/// Reads `orders` (JSON), writes `totals`: customer and cents, one record per customer and batch.
pub fn totals(ssc: &StreamingContext) {
    let options = SourceOptions::topic("orders").on_bad_record(BadRecordPolicy::DeadLetter);
    let orders = ssc.source::<(Text, Order)>(options, Pairs(Utf8, Json));
    let spent = orders.map_values(|order| order.cents);
    spent.running_reduce_by_key(|a, b| a + b).named("totals").to_kafka("totals", Utf8, AsText);
}
