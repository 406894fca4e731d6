//! Counts the words of each second that arrive from a TCP server.
//!
//! Start `nc -lk 9999` in one terminal, this program in another (`cargo run --release --example network_word_count
//! localhost 9999`), and type lines into the first. Keeps everything in memory; see
//! `recoverable_network_word_count` for one that survives restarts.

use clap::Parser;
use std::{process::ExitCode, time::Duration};
use tidegate::{StreamingContext, program_in};

#[derive(Parser)]
#[command(about = "Counts the words of each second that arrive from a TCP server such as `nc -lk 9999`")]
struct Program {
    /// Where the server runs
    host: String,
    /// Its port
    port: u16,
}

fn main() -> ExitCode {
    let Program { host, port } = Program::parse();
    program_in("warn", || {
        let ssc =
            StreamingContext::builder("NetworkWordCount").batch_interval(Duration::from_secs(1)).build();
        let lines = ssc.socket_text_stream(&host, port);
        let words = lines.flat_map(|line| line.split(' '));
        let word_counts = words.map(|word| (word, 1)).reduce_by_key(|a, b| a + b);
        word_counts.print();
        ssc.run()
    })
}
