//! The program's own HTTP server under connections that say nothing, say it slowly, or ask all the time: the counts
//! are not touched by it.

use super::{
    Random,
    client::Client,
    program::App,
    words::{Lines, Stream, judge},
};
use crate::subject::bootstrap;
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    time::Duration,
};

const SILENT: usize = 300;

#[test]
fn slow_and_greedy_readers_of_the_page_do_not_disturb_the_program() {
    let seed = Random::seed();
    eprintln!("http load: seed {seed}");
    let client = Client::new(&bootstrap());
    let app = App::new("kafka_word_count", &client);
    let stream = Stream::start(Lines::new(&client, &app.input, seed));
    let mut run = app.start("");
    app.progress(&client, &mut run);
    let text = run.text();
    let address = text.split("http://").nth(1).and_then(|t| t.split('/').next()).unwrap().to_owned();
    let connect = || TcpStream::connect(&address).unwrap();
    let silent: Vec<TcpStream> = (0..SILENT).map(|_| connect()).collect();
    let mut slow: Vec<TcpStream> = (0..SILENT / 3).map(|_| connect()).collect();
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for path in ["/", "/metrics", "/readyz", "/%2e%2e/%2e%2e/etc/passwd", "/api/v1/../../x?y=%00"] {
            let (stop, answered, address) = (&stop, &answered, &address);
            scope.spawn(move || {
                while !stop.load(SeqCst) {
                    let mut socket = TcpStream::connect(address).unwrap();
                    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                    let request =
                        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
                    socket.write_all(request.as_bytes()).unwrap();
                    let mut answer = String::new();
                    socket.read_to_string(&mut answer).unwrap();
                    assert!(!answer.contains("root:"), "{path}: {answer}");
                    answered.fetch_add(1, SeqCst);
                }
            });
        }
        for byte in b"GET / HTTP/1.1" {
            for socket in &mut slow {
                let _ = socket.write_all(&[*byte]);
            }
            app.progress(&client, &mut run);
        }
        run.until_ready(true);
        stop.store(true, SeqCst);
    });
    let truth = stream.finish();
    app.catch_up(&client, &mut run);
    drop((silent, slow));
    run.stop();
    judge(&format!("http load, seed {seed}"), &truth, &client.read(&app.output));
    let answered = answered.into_inner();
    assert!(answered > 50, "{answered} answers");
    println!(
        "http load: {answered} answers, {SILENT} silent connections; {} words, none lost, none twice",
        truth.len()
    );
}
