//! The program: flags, log, exit code.

use clap::Parser;
use std::process::ExitCode;
use tidegate::{StreamingContext, config::Args, program};

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    args: Args,
}

fn main() -> ExitCode {
    program(&Program::parse().args, |args| {
        let ssc = StreamingContext::new(args.config());
        totals::totals(&ssc);
        ssc.run()
    })
}
