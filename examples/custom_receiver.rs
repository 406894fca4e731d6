//! A custom receiver: reads lines from a TCP server and answers each with `ok` once it is stored for good.
//!
//! A server that resends what was not acknowledged, and can tell its lines apart, can rely on each of them being
//! processed: `cargo run --release --example custom_receiver localhost 9999 ~/checkpoint`. The lines go to the
//! topic `received`. With `nc -lk 9999` as the server, the answers appear in its terminal. A line that begins with
//! `~` wants no answer, so nobody waits for it; an empty one is answered with `empty`, and reported on the
//! streaming page.

use clap::Parser;
use std::{
    io::{BufRead, BufReader, ErrorKind, Write},
    net::TcpStream,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};
use tidegate::{
    StreamingContext,
    codec::Utf8,
    program_in,
    source::{Receiver, ReceiverContext, ReceiverError, StorageLevel},
};

#[derive(Parser)]
#[command(about = "Receives lines from a TCP server and answers each once it is stored")]
struct Program {
    /// Where the server runs
    host: String,
    /// Its port
    port: u16,
    /// Where everything is kept that the program needs to continue
    checkpoint_dir: PathBuf,
    /// The log: host:port of Kafka, where the topic `received` must exist [default: one in the checkpoint directory]
    #[arg(long, default_value = "")]
    bootstrap: String,
    /// Name of the application
    #[arg(long, default_value = "CustomReceiver")]
    name: String,
    /// The topic for the lines
    #[arg(long, default_value = "received")]
    output: String,
}

struct AnsweringReceiver {
    host: String,
    port: u16,
}

impl Receiver<String> for AnsweringReceiver {
    fn receive(&mut self, to: &ReceiverContext<String>) -> Result<(), ReceiverError> {
        let mut server = TcpStream::connect((self.host.as_str(), self.port))?;
        to.connected();
        // Interrupts the wait for a line now and then, to check whether the program is ending.
        server.set_read_timeout(Some(Duration::from_millis(100)))?;
        let mut reader = BufReader::new(server.try_clone()?);
        let mut line = String::new();
        while !to.is_stopped() {
            match reader.read_line(&mut line) {
                Ok(0) => return to.restart("the server closed the connection"),
                Ok(_) if line.ends_with('\n') => {
                    take(line.trim_end(), to, &mut server)?;
                    line.clear();
                }
                Ok(_) => {} // the connection ended inside a line
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

fn take(line: &str, to: &ReceiverContext<String>, server: &mut impl Write) -> Result<(), ReceiverError> {
    if line.is_empty() {
        to.report_error("the server sent an empty line");
        server.write_all(b"empty\n")?;
    } else if let Some(line) = line.strip_prefix('~') {
        to.store(line.to_owned())?; // on its way
    } else {
        to.store_all(vec![line.to_owned()])?; // in the log
        server.write_all(b"ok\n")?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let Program { host, port, checkpoint_dir, bootstrap, name, output } = Program::parse();
    program_in("warn", || {
        let ssc = StreamingContext::builder(&name)
            .batch_interval(Duration::from_millis(200))
            .log(&bootstrap)
            .checkpoint(checkpoint_dir)
            .build();
        let receiver = AnsweringReceiver { host, port };
        let lines = ssc.receiver_stream("answering", receiver, StorageLevel::Log);
        lines.map(|line| (line.clone(), line)).to_kafka(&output, Utf8, Utf8);
        ssc.run()
    })
}
