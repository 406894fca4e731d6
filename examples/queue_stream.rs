//! Takes the rows of each batch from a queue that the program itself fills; ends by itself.
//!
//! `cargo run --release --example queue_stream` pushes a thousand numbers thirty times and counts their last digits.

use clap::Parser;
use std::{process::ExitCode, thread::sleep, time::Duration};
use tidegate::{StreamingContext, program_in, source::Queue};

#[derive(Parser)]
#[command(about = "Counts the last digits of numbers that come from a queue")]
struct Program {
    /// How often a thousand numbers are pushed
    #[arg(default_value_t = 30)]
    pushes: u32,
}

fn main() -> ExitCode {
    let Program { pushes } = Program::parse();
    program_in("warn", || {
        let ssc = StreamingContext::builder("QueueStream").batch_interval(Duration::from_secs(1)).build();
        let queue = Queue::default();
        let numbers = ssc.queue_stream(&queue, true);
        numbers.map(|n: i64| (n % 10, 1)).reduce_by_key(|a, b| a + b).print();
        ssc.start()?;
        for _ in 0..pushes {
            queue.push((1..=1_000).collect());
            sleep(Duration::from_secs(1));
        }
        ssc.stop(true);
        ssc.await_termination()
    })
}
