//! Counts the words of the files that appear in a directory, exactly once.
//!
//! `cargo run --release --example directory_word_count ~/in ~/checkpoint`, then move text files into `~/in`. The
//! counts go to the topic `counts`, and to the terminal. Files that already exist at the first start are skipped,
//! unless `--all` is given.

use clap::Parser;
use std::{path::PathBuf, process::ExitCode, time::Duration};
use tidegate::{
    StreamingContext,
    codec::{AsText, Utf8},
    program_in,
    source::{FileOptions, LossyText},
};

#[derive(Parser)]
#[command(about = "Counts the words of the files that appear in a directory")]
struct Program {
    /// Where the files appear
    dir: PathBuf,
    /// Where everything is kept that the program needs to continue
    checkpoint_dir: PathBuf,
    /// Also files that already exist at the first start
    #[arg(long)]
    all: bool,
    /// The log: host:port of Kafka, where the topic `counts` must exist [default: one in the checkpoint directory]
    #[arg(long, default_value = "")]
    bootstrap: String,
    /// Name of the application
    #[arg(long, default_value = "DirectoryWordCount")]
    name: String,
    /// The topic for the counts
    #[arg(long, default_value = "counts")]
    output: String,
}

fn main() -> ExitCode {
    let Program { dir, checkpoint_dir, all, bootstrap, name, output } = Program::parse();
    program_in("warn", || {
        let ssc = StreamingContext::builder(&name)
            .batch_interval(Duration::from_secs(1))
            .log(&bootstrap)
            .checkpoint(checkpoint_dir)
            .build();
        let options = FileOptions::new(dir).named("files");
        let options = if all { options } else { options.new_files_only() };
        let words = ssc.file_stream(options, LossyText).flat_map(|line| line.split(' '));
        let counts = words.map(|word| (word, 1u64)).running_reduce_by_key(|a, b| a + b);
        counts.to_kafka(&output, Utf8, AsText);
        counts.print();
        ssc.run()
    })
}
