//! Counts the words of each second that arrive from a TCP server, and continues after a restart where it was.
//!
//! Start `nc -lk 9999` in one terminal, this program in another:
//! `cargo run --release --example recoverable_network_word_count localhost 9999 ~/checkpoint ~/out`, and type lines into the first.
//! Lines that were received are kept in the checkpoint directory until they are counted, so a program that is
//! killed and restarted counts each of them. The file gets a line per batch: at least once, as with every
//! `foreach_rdd`.

use clap::Parser;
use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use tidegate::{StreamingContext, program_in};

#[derive(Parser)]
#[command(about = "Counts the words of each second from a TCP server; survives restarts")]
struct Program {
    /// Where the server runs
    host: String,
    /// Its port
    port: u16,
    /// Where everything is kept that the program needs to continue
    checkpoint_dir: PathBuf,
    /// The counts of each batch are appended to this file
    output_file: PathBuf,
}

fn create(host: &str, port: u16, output: &Path) -> StreamingContext {
    println!("Creating new context");
    let ssc = StreamingContext::builder("RecoverableNetworkWordCount")
        .batch_interval(Duration::from_secs(1))
        .build();
    let words = ssc.socket_text_stream(host, port).flat_map(|line| line.split(' '));
    let counts = words.map(|word| (word, 1)).reduce_by_key(|a, b| a + b);
    let output = output.to_owned();
    counts.foreach_rdd(move |rdd, time| {
        let counts: Vec<String> = rdd.iter().map(|(word, count)| format!("({word},{count})")).collect();
        if counts.is_empty() {
            return Ok(());
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&output)?;
        writeln!(file, "Counts at time {time} [{}]", counts.join(", "))?;
        Ok(())
    });
    ssc
}

fn main() -> ExitCode {
    let Program { host, port, checkpoint_dir, output_file } = Program::parse();
    program_in("warn", || {
        let ssc = StreamingContext::get_or_create(checkpoint_dir, || create(&host, port, &output_file));
        ssc.run()
    })
}
