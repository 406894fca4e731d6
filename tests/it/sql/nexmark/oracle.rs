//! The events as tables of a batch engine.

use super::{
    super::fuzz::{Rows, batch_context, shown},
    events::{Auction, Bid, Event, Person},
};
use datafusion::{
    arrow::{
        array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray},
        datatypes::{Field, Schema},
    },
    datasource::MemTable,
    prelude::SessionContext,
};
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

/// All events so far.
pub struct Oracle {
    runtime: Runtime,
    persons: Vec<Person>,
    auctions: Vec<Auction>,
    /// Each with the time at which it was read.
    bids: Vec<(Bid, i64)>,
}

fn integers<T>(rows: &[T], of: impl Fn(&T) -> i64) -> ArrayRef {
    Arc::new(rows.iter().map(|row| Some(of(row))).collect::<Int64Array>())
}

fn times<T>(rows: &[T], of: impl Fn(&T) -> i64) -> ArrayRef {
    Arc::new(rows.iter().map(|row| Some(of(row))).collect::<TimestampMillisecondArray>())
}

fn texts<'t, T>(rows: &'t [T], of: impl Fn(&'t T) -> &'t str) -> ArrayRef {
    Arc::new(rows.iter().map(|row| Some(of(row))).collect::<StringArray>())
}

fn register(context: &SessionContext, name: &str, columns: Vec<(&str, ArrayRef)>) {
    let field = |(name, column): &(&str, ArrayRef)| Field::new(*name, column.data_type().clone(), true);
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    let rows = RecordBatch::try_new(schema.clone(), columns).unwrap();
    context.register_table(name, Arc::new(MemTable::try_new(schema, vec![vec![rows]]).unwrap())).unwrap();
}

impl Oracle {
    pub fn new() -> Self {
        let runtime = Builder::new_current_thread().build().unwrap();
        Oracle { runtime, persons: vec![], auctions: vec![], bids: vec![] }
    }

    pub fn add(&mut self, event: Event, now_ms: i64) {
        match event {
            Event::Person(person) => self.persons.push(person),
            Event::Auction(auction) => self.auctions.push(auction),
            Event::Bid(bid) => self.bids.push((bid, now_ms)),
        }
    }

    fn context(&self) -> SessionContext {
        let context = batch_context();
        let Oracle { persons, auctions, bids, .. } = self;
        let person = vec![
            ("id", integers(persons, |p| p.id)),
            ("name", texts(persons, |p| &p.name)),
            ("emailAddress", texts(persons, |p| &p.email_address)),
            ("creditCard", texts(persons, |p| &p.credit_card)),
            ("city", texts(persons, |p| p.city)),
            ("state", texts(persons, |p| p.state)),
            ("dateTime", times(persons, |p| p.time_ms)),
            ("extra", texts(persons, |p| &p.extra)),
        ];
        register(&context, "person", person);
        let auction = vec![
            ("id", integers(auctions, |a| a.id)),
            ("itemName", texts(auctions, |a| &a.item_name)),
            ("description", texts(auctions, |a| &a.description)),
            ("initialBid", integers(auctions, |a| a.initial_bid)),
            ("reserve", integers(auctions, |a| a.reserve)),
            ("dateTime", times(auctions, |a| a.time_ms)),
            ("expires", times(auctions, |a| a.expires_ms)),
            ("seller", integers(auctions, |a| a.seller)),
            ("category", integers(auctions, |a| a.category)),
            ("extra", texts(auctions, |a| &a.extra)),
        ];
        register(&context, "auction", auction);
        let bid = vec![
            ("auction", integers(bids, |(b, _)| b.auction)),
            ("bidder", integers(bids, |(b, _)| b.bidder)),
            ("price", integers(bids, |(b, _)| b.price)),
            ("channel", texts(bids, |(b, _)| &b.channel)),
            ("url", texts(bids, |(b, _)| &b.url)),
            ("dateTime", times(bids, |(b, _)| b.time_ms)),
            ("extra", texts(bids, |(b, _)| &b.extra)),
            ("p_time", times(bids, |(_, read_ms)| *read_ms)),
        ];
        register(&context, "bid", bid);
        let keys: Vec<i64> = (0..SIDE_INPUT).collect();
        let values: Vec<String> = keys.iter().map(i64::to_string).collect();
        let side_input = vec![("key", integers(&keys, |key| *key)), ("value", texts(&values, |value| value))];
        register(&context, "side_input", side_input);
        context
    }

    /// The answer to a query over the events so far.
    pub fn answer(&self, query: &str) -> Rows {
        let answer = async { self.context().sql(query).await?.collect().await };
        let batches = self.runtime.block_on(answer).unwrap_or_else(|e| panic!("{e}\n{query}"));
        let mut rows = Rows::new();
        for batch in batches {
            for row in 0..batch.num_rows() {
                *rows.entry(shown(&batch, row)).or_default() += 1;
            }
        }
        rows
    }
}

/// Rows of the table that query 13 joins: a number, and it as a text.
pub const SIDE_INPUT: i64 = 2_000;
