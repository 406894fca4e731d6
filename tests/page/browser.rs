//! Runs headless Chromium, and finds text in the document that it prints.

use serde_json::Value;
use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

fn chromium() -> PathBuf {
    if let Some(path) = env::var_os("TIDEGATE_TEST_CHROMIUM") {
        return path.into();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found =
        env::split_paths(&path).flat_map(|dir| names.map(|name| dir.join(name))).find(|p| p.is_file());
    found.expect("no Chromium in PATH: apt-get install chromium, or let TIDEGATE_TEST_CHROMIUM name one")
}

/// The document at `path` once it was loaded and its script has run.
pub fn document(server: SocketAddr, path: &str) -> String {
    run(server, path, &[])
}

/// Like `document`, with more options for Chromium.
pub fn run(server: SocketAddr, path: &str, options: &[String]) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(chromium());
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom"]);
    command.args(options);
    command.arg(format!("--user-data-dir={}", home.path().display())).arg(format!("http://{server}{path}"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).map(|_| text)
    });
    let end = Instant::now() + Duration::from_secs(120);
    while !reader.is_finished() {
        if Instant::now() > end {
            child.kill().unwrap();
            panic!("Chromium did not end within 120 s");
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.wait().unwrap();
    let document = reader.join().unwrap().unwrap();
    assert!(document.contains("</html>"), "Chromium printed no document: {document}");
    document
}

/// The text in the element `id`, markup and doubled spaces removed.
pub fn text(document: &str, id: &str) -> String {
    plain(element(document, id))
}

/// The texts of the cells of the table `id`, row by row; each row begins with its class.
pub fn rows(document: &str, id: &str) -> Vec<Vec<String>> {
    let table = element(document, id);
    let body = table.split_once("<tbody>").expect("a body").1;
    let mut rows = vec![];
    for row in body.split("<tr").skip(1) {
        let (tag, rest) = row.split_once('>').unwrap();
        let mut cells = vec![tag.trim().trim_start_matches("class=").trim_matches('"').to_owned()];
        cells.extend(rest.split("<td").skip(1).map(|cell| plain(cell.split_once('>').unwrap().1)));
        rows.push(cells);
    }
    rows
}

/// What is inside the element `id`.
pub fn element<'a>(document: &'a str, id: &str) -> &'a str {
    let at =
        document.find(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("no element `{id}`: {document}"));
    let start = document[..at].rfind('<').unwrap();
    let name = document[start + 1..at].split(' ').next().unwrap();
    let inside = &document[at..];
    let inside = &inside[inside.find('>').unwrap() + 1..];
    &inside[..inside.find(&format!("</{name}>")).unwrap()]
}

fn plain(markup: &str) -> String {
    let mut text = String::new();
    for part in markup.split('<') {
        text.push_str(part.split_once('>').map_or(part, |(_, after)| after));
    }
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A response of the JSON API.
pub fn api(server: SocketAddr, path: &str) -> Value {
    let mut answer = String::new();
    ask(server, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n")).read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

pub fn ask(server: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server).unwrap();
    write!(stream, "{request}Connection: close\r\n\r\n").unwrap();
    stream
}

/// A proxy in front of `server` that adds a picture to its page which arrives only after the events of the page
/// have brought `text`: until then the page is not loaded, so the document that Chromium prints shows what the page
/// made of them. The receiver gets a message when the page listens.
pub fn held_back(server: SocketAddr, text: &'static str) -> (SocketAddr, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let ((listens, heard), (brought, ready)) = (channel(), channel());
    let mut ready = Some(ready);
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let line = request_line(&client);
            let mut from = ask(server, &format!("{line}Host: localhost\r\n"));
            if line.starts_with("GET /held-back.svg") {
                let ready: Receiver<()> = ready.take().expect("asked once");
                thread::spawn(move || {
                    ready.recv().unwrap();
                    thread::sleep(Duration::from_secs(1)); // Chromium has it, and may still be processing it
                    answer(
                        client,
                        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                    );
                });
            } else if line.starts_with("GET /api/v1/events") {
                listens.send(()).unwrap();
                let brought = brought.clone();
                thread::spawn(move || pass_events_on(from, client, text, &brought));
            } else if line.starts_with("GET / ") {
                add(from, client, "<img src=\"/held-back.svg\"></body>");
            } else {
                let _ = std::io::copy(&mut from, &mut client);
            }
        }
    });
    (address, heard)
}

pub fn request_line(client: &TcpStream) -> String {
    let mut request = BufReader::new(client.try_clone().unwrap());
    let (mut line, mut head) = (String::new(), String::new());
    request.read_line(&mut line).unwrap();
    while request.read_line(&mut head).is_ok_and(|n| n > 2) {}
    line
}

/// Forwards a page with something appended to it.
pub fn add(mut from: TcpStream, client: TcpStream, end: &str) {
    let mut page = String::new();
    from.read_to_string(&mut page).unwrap();
    let (head, body) = page.split_once("\r\n\r\n").unwrap();
    let body = body.replace("</body>", end);
    let head = head.lines().filter(|l| !l.to_lowercase().starts_with("content-length"));
    answer(client, &format!("{}\r\n\r\n{body}", head.collect::<Vec<_>>().join("\r\n")));
}

fn pass_events_on(from: TcpStream, mut client: TcpStream, text: &str, brought: &Sender<()>) {
    let (mut from, mut line) = (BufReader::new(from), vec![]);
    while from.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) && client.write_all(&line).is_ok() {
        if String::from_utf8_lossy(&line).contains(text) {
            let _ = brought.send(()); // only the first one is awaited
        }
        line.clear();
    }
}

pub fn answer(mut client: TcpStream, text: &str) {
    let _ = client.write_all(text.as_bytes()); // the browser may have gone
}
