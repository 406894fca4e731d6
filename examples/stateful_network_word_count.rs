//! Counts the words that arrive from a TCP server, over all time: the count of each word is state.
//!
//! Start `nc -lk 9999` in one terminal, this program in another: `cargo run --release --example
//! stateful_network_word_count localhost 9999`, and type lines into the first. The words `hello` and `world` start
//! with a count of one.

use clap::Parser;
use std::{path::PathBuf, process::ExitCode, time::Duration};
use tidegate::{BatchTime, State, StateSpec, StreamingContext, Text, program_in};

#[derive(Parser)]
#[command(about = "Counts the words from a TCP server such as `nc -lk 9999` over all time")]
struct Program {
    /// Where the server runs
    host: String,
    /// Its port
    port: u16,
    /// Where counts are kept
    #[arg(default_value = ".stateful_network_word_count")]
    checkpoint_dir: PathBuf,
}

fn main() -> ExitCode {
    let Program { host, port, checkpoint_dir } = Program::parse();
    program_in("warn", || {
        let ssc = StreamingContext::builder("StatefulNetworkWordCount")
            .batch_interval(Duration::from_secs(1))
            .checkpoint(checkpoint_dir)
            .build();
        let words =
            ssc.socket_text_stream(&host, port).flat_map(|line| line.split(' ')).map(|word| (word, 1));
        let sum = |_: BatchTime, word: &Text, one: Option<i32>, state: &mut State<i32>| {
            let sum = one.unwrap_or(0) + state.get().copied().unwrap_or(0);
            state.update(sum);
            Some((word.clone(), sum))
        };
        let initial = [(Text::from("hello"), 1), (Text::from("world"), 1)];
        words.map_with_state(StateSpec::function(sum).initial_state(initial)).print();
        ssc.run()
    })
}
