//! The page of a process that asks for a token: a browser logs in by its form, and the page works as without one.

use crate::{browser, program::write};
use std::{
    collections::BTreeMap,
    io::{Read, Write, copy, sink},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
};
use tidegate::{Config, StreamingContext, config::Trigger};

const TOKEN: &str = "a-token-of-the-page-0123456789";

/// A proxy in front of `server` with one page more, `/start`, which fills in the form of the login and sends it, as a person would. That page is
/// never loaded to its end, as a picture of it does not come, so that Chromium prints the one that follows.
fn with_a_person(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || pass_on(client, server));
        }
    });
    address
}

fn pass_on(mut client: TcpStream, server: SocketAddr) -> Option<()> {
    let mut first = [0; 4096];
    let length = client.read(&mut first).ok().filter(|length| *length > 0)?;
    if first.starts_with(b"GET /start ") {
        let page = format!(
            "<!doctype html><html><body><form method=\"post\" action=\"/login\"><input name=\"token\" value=\"{TOKEN}\"></form>\
             <img src=\"/held-back.svg\"><script>document.forms[0].submit()</script></body></html>"
        );
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close";
        return client.write_fmt(format_args!("{head}\r\nContent-Length: {}\r\n\r\n{page}", page.len())).ok();
    }
    if first.starts_with(b"GET /held-back.svg ") {
        return copy(&mut client, &mut sink()).map(drop).ok(); // until the browser gives up
    }
    let mut there = TcpStream::connect(server).ok()?;
    there.write_all(&first[..length]).ok()?;
    let (mut back, mut to) = (there.try_clone().ok()?, client.try_clone().ok()?);
    thread::spawn(move || {
        let _ = copy(&mut back, &mut to);
        to.shutdown(Shutdown::Both)
    });
    let _ = copy(&mut client, &mut there);
    there.shutdown(Shutdown::Both).ok()
}

#[test]
fn a_browser_that_logs_in_sees_the_page_and_its_numbers_and_one_that_does_not_sees_the_form() {
    let mut config = Config::new("guarded", "memory:guarded");
    config.trigger = Trigger::AsSoonAsPossible;
    config.admin_bind = Some("127.0.0.1:0".into());
    config.admin_access.token.admin_token = Some(TOKEN.into());
    let ssc = StreamingContext::new(config);
    let log = tidegate::log::open("memory:guarded", &BTreeMap::default()).unwrap();
    write(&log, "lines", &["a line"]);
    ssc.text("lines").print();
    ssc.start().unwrap();
    let server = ssc.admin_address().unwrap();
    let stranger = browser::document(server, "/");
    assert!(stranger.contains("Log in") && !stranger.contains("guarded"), "{stranger}");
    let page = browser::document(with_a_person(server), "/start");
    assert!(
        page.contains("Streaming Statistics") && browser::text(&page, "application") == "guarded",
        "{page}"
    );
    assert!(browser::text(&page, "running").starts_with("Running batches"), "its scripts run: {page}");
    ssc.stop(false);
    ssc.await_termination().unwrap();
}
