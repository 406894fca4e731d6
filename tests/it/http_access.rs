//! Who may read the page, the JSON and the metrics, and how much of the process strangers can take up: over raw sockets.

use crate::keys::Keys;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tidegate::{
    config::{AdminAccess, AdminToken, Trigger},
    observe::{
        history::{History, Program},
        metrics::Metrics,
        status::{Phase, Status},
    },
    ui::{Limits, Server, Settings},
};

const TOKEN: &str = "canary-0123456789+/=";
const BEARER: &str = "Authorization: Bearer canary-0123456789+/=\r\n";

fn serve(access: AdminAccess, limits: Limits) -> Server {
    let history = Arc::new(History::new(Program {
        application_id: "orders".into(),
        instance: "pod-0".into(),
        host: "host".into(),
        trigger: Trigger::AsSoonAsPossible,
        streams: vec![],
        operators: vec![],
        settings: vec![],
        operations: vec![],
        topology: "plan".into(),
        views: vec![],
        launched_ms: 0,
    }));
    let status = Arc::new(Status::new("orders", "pod-0", "kafka at b:9092"));
    status.phase(Phase::Restoring { done: 1, of: 4 });
    let settings = Settings { port: 0, access, limits, ..Settings::default() };
    Server::start(&settings, Arc::new(Metrics::new("orders")), status, history).unwrap()
}

fn token() -> AdminAccess {
    let token = AdminToken { admin_token: Some(TOKEN.into()), ..AdminToken::default() };
    AdminAccess { token, ..AdminAccess::default() }
}

/// Everything that comes for these bytes, until the server closes the connection.
fn send(to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(to);
    let _ = stream.write_all(bytes); // the server may have closed it in the middle
    answer(&mut stream)
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn answer(stream: &mut impl Read) -> String {
    let mut answer = vec![];
    match stream.read_to_end(&mut answer) {
        Err(e) if e.kind() != ErrorKind::ConnectionReset => panic!("{e}"),
        _ => String::from_utf8_lossy(&answer).into_owned(),
    }
}

fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}{length}\r\n{body}")
}

fn get(server: &Server, path: &str, headers: &str) -> String {
    send(server.address(), request("GET", path, headers, "").as_bytes())
}

fn code(answer: &str) -> u16 {
    answer.get(9..12).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no answer: `{answer}`"))
}

fn header(answer: &str, name: &str) -> Option<String> {
    let (head, _) = answer.split_once("\r\n\r\n")?;
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[test]
fn strangers_get_the_probes_and_the_login_and_nothing_else() {
    let server = serve(token(), Limits::default());
    let all = [
        "/",
        "/streaming",
        "/streaming/",
        "/streaming/batch/1",
        "/metrics",
        "/version",
        "/api/v1/version",
        "/api/v1/applications",
        "/api/v1/applications/orders/environment",
        "/api/v1/applications/orders/topology",
        "/api/v1/openapi.json",
        "/api/v1/nothing",
        "/nothing",
        "//metrics",
        "/metrics/",
        "/static/../metrics",
        "/livez/../metrics",
        "/%6detrics",
        "/livez%2f..%2fmetrics",
        "/static",
    ];
    for path in all {
        for wrong in [
            "",
            "Authorization: Bearer canary-0123456789\r\n",
            "Authorization: Basic Y2FuYXJ5\r\n",
            "Cookie: tidegate-1=x\r\n",
        ] {
            let answer = get(&server, path, wrong);
            // What is not a known file has nothing to protect.
            let expected = if path.starts_with("/static/") { 404 } else { 401 };
            assert_eq!(code(&answer), expected, "{path}: {answer}");
            assert!(
                !answer.contains("orders")
                    && !answer.contains("canary")
                    && !answer.contains("tidegate_build_info"),
                "{path}: {answer}"
            );
        }
        let answer = get(&server, path, BEARER);
        assert_ne!(code(&answer), 401, "{path}");
        assert!(!answer.contains(TOKEN), "{path}: {answer}");
    }
    let refused = get(&server, "/metrics", "");
    assert_eq!(header(&refused, "www-authenticate").as_deref(), Some("Bearer realm=\"tidegate\""));
    assert!(get(&server, "/metrics", BEARER).contains("tidegate_build_info"));
    // Probes say whether, and to those who may read everything also why.
    assert_eq!(body(&get(&server, "/livez", "")), "ok\n");
    let stranger = get(&server, "/readyz", "");
    assert_eq!((code(&stranger), body(&stranger)), (503, "{\"ready\":false}\n"));
    assert!(body(&get(&server, "/readyz", BEARER)).contains("3 of 4 state partitions"));
    assert_eq!(code(&get(&server, "/favicon.ico", "")), 200);
    assert_eq!(code(&get(&server, "/static/page.css", "")), 200);
    let open = serve(AdminAccess { admin_open_metrics: true, ..token() }, Limits::default());
    assert!(get(&open, "/metrics", "").contains("tidegate_build_info"));
    assert_eq!(code(&get(&open, "/api/v1/applications", "")), 401);
}

#[test]
fn a_browser_logs_in_with_a_form_and_stays_so_by_a_cookie() {
    let server = serve(token(), Limits::default());
    let page = "Accept: text/html,application/xhtml+xml\r\n";
    let sent = get(&server, "/", page);
    assert_eq!((code(&sent), header(&sent, "location").as_deref()), (303, Some("/login")));
    assert_eq!(code(&get(&server, "/api/v1/applications", page)), 401, "for programs");
    let form = get(&server, "/login", page);
    assert!(code(&form) == 200 && form.contains("<form method=\"post\" action=\"/login\">"), "{form}");
    assert!(header(&form, "content-security-policy").unwrap().contains("form-action 'self'"));
    let post = |body: &str| {
        let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
        send(server.address(), request("POST", "/login", kind, body).as_bytes())
    };
    for wrong in ["token=canary", "token=", "x=y", "token=%", "nothing"] {
        let answer = post(wrong);
        assert_eq!((code(&answer), header(&answer, "set-cookie")), (401, None), "{wrong}");
        assert!(answer.contains("That is not the token") && !answer.contains("canary"), "{answer}");
    }
    let right = post("token=canary-0123456789%2B%2F%3D");
    assert_eq!((code(&right), header(&right, "location").as_deref()), (303, Some("/")));
    let cookie = header(&right, "set-cookie").unwrap();
    assert!(cookie.contains("; HttpOnly; SameSite=Strict") && !cookie.contains("canary"), "{cookie}");
    let cookie = format!("Cookie: other=1; {}\r\n", cookie.split(';').next().unwrap());
    for path in ["/", "/api/v1/applications", "/metrics", "/api/v1/applications/orders/topology"] {
        assert_eq!(code(&get(&server, path, &cookie)), 200, "{path}");
    }
    // Another token, another cookie; without a token there is no login.
    let token = AdminToken { admin_token: Some("another-token-of-16".into()), ..AdminToken::default() };
    let other = serve(AdminAccess { token, ..AdminAccess::default() }, Limits::default());
    assert_eq!(
        code(&get(
            &other,
            "/metrics",
            &cookie.replace(&server.address().port().to_string(), &other.address().port().to_string())
        )),
        401
    );
    assert_eq!(code(&get(&serve(AdminAccess::default(), Limits::default()), "/login", "")), 404);
}

#[test]
fn nothing_but_get_head_and_the_login_is_taken() {
    for access in [AdminAccess::default(), token()] {
        let has_token = access.token.admin_token.is_some();
        let server = serve(access, Limits::default());
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"] {
            for path in ["/", "/metrics", "/livez", "/api/v1/applications", "/nothing"] {
                let answer = send(server.address(), request(method, path, BEARER, "x=y").as_bytes());
                assert_eq!(code(&answer), 405, "{method} {path}: {answer}");
                assert_eq!(header(&answer, "allow").as_deref(), Some("GET, HEAD"), "{method} {path}");
                assert_eq!(header(&answer, "access-control-allow-origin"), None);
            }
        }
        let tunnel = send(
            server.address(),
            b"CONNECT example.org:443 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        );
        assert_eq!(code(&tunnel), 405, "{tunnel}");
        let head = send(server.address(), request("HEAD", "/metrics", BEARER, "").as_bytes());
        assert_eq!((code(&head), body(&head)), (200, ""));
        let put = send(server.address(), request("PUT", "/login", "", "x=y").as_bytes());
        assert_eq!(
            header(&put, "allow").as_deref(),
            Some(if has_token { "GET, HEAD, POST" } else { "GET, HEAD" })
        );
    }
}

#[test]
fn without_a_token_this_machine_answers_under_its_own_names_only() {
    let named = |server: &Server, host: &str| {
        send(
            server.address(),
            format!("GET /api/v1/applications HTTP/1.1\r\n{host}Connection: close\r\n\r\n").as_bytes(),
        )
    };
    let server = serve(AdminAccess::default(), Limits::default());
    for own in
        ["Host: localhost:4040\r\n", "Host: 127.0.0.1\r\n", "Host: [::1]:9\r\n", "Host: a.localhost\r\n"]
    {
        assert_eq!(code(&named(&server, own)), 200, "{own}");
    }
    for other in [
        "Host: evil.example\r\n",
        "Host: evil.example:4040\r\n",
        "Host: localhost.evil.example\r\n",
        "Host: localhost\r\nHost: evil.example\r\n",
    ] {
        let answer = named(&server, other);
        assert!([421, 400].contains(&code(&answer)) && !answer.contains("orders"), "{other}: {answer}");
        assert!(code(&answer) == 400 || body(&answer).contains("--admin-token-file"), "{answer}");
    }
    let insecure = serve(AdminAccess { admin_insecure: true, ..AdminAccess::default() }, Limits::default());
    assert_eq!(code(&named(&insecure, "Host: proxy.example\r\n")), 200);
}

#[test]
fn browsers_are_told_to_load_nothing_from_elsewhere_and_to_be_framed_nowhere_else() {
    let server = serve(token(), Limits::default());
    for path in [
        "/",
        "/login",
        "/metrics",
        "/api/v1/applications",
        "/api/v1/events",
        "/nothing",
        "/livez",
        "/static/page.js",
    ] {
        // The events have no end: only the head is read.
        let mut stream = connect(server.address());
        stream.write_all(request("GET", path, BEARER, "").as_bytes()).unwrap();
        let mut head = vec![];
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let policy = header(&head, "content-security-policy").unwrap_or_default();
        assert!(
            policy.contains("default-src 'none'") || policy.contains("default-src 'self'"),
            "{path}: {head}"
        );
        assert!(policy.contains("frame-ancestors") && !policy.contains("unsafe"), "{path}: {policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("x-frame-options", "SAMEORIGIN"),
        ] {
            assert_eq!(header(&head, name).as_deref(), Some(value), "{path}");
        }
        assert!(
            header(&head, "cache-control").is_some_and(|value| value == "no-store" || value == "no-cache"),
            "{path}"
        );
        assert_eq!(header(&head, "access-control-allow-origin"), None, "{path}");
    }
}

#[test]
fn heads_and_bodies_that_are_too_large_are_refused() {
    let server = serve(token(), Limits::default());
    let long = request("GET", &format!("/{}", "a".repeat(20_000)), "", "");
    assert!([414, 431].contains(&code(&send(server.address(), long.as_bytes()))));
    let wide = request("GET", "/livez", &format!("X: {}\r\n", "a".repeat(20_000)), "");
    assert_eq!(code(&send(server.address(), wide.as_bytes())), 431);
    let many = (0..200).map(|n| format!("X-{n}: 1\r\n")).collect::<Vec<_>>().concat();
    assert_eq!(code(&send(server.address(), request("GET", "/livez", &many, "").as_bytes())), 431);
    let form = request("POST", "/login", "", &format!("token={}", "a".repeat(100_000)));
    assert_eq!(code(&send(server.address(), form.as_bytes())), 413);
    let chunks = format!(
        "POST /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        format!("1000\r\n{}\r\n", "a".repeat(4096)).repeat(3)
    );
    assert_eq!(code(&send(server.address(), chunks.as_bytes())), 413);
    let smuggled = "GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(!send(server.address(), smuggled.as_bytes()).contains("tidegate_build_info"));
    assert_eq!(code(&get(&server, "/livez", "")), 200);
}

const SHORT: Duration = Duration::from_millis(500);

#[test]
fn whoever_sends_slowly_or_reads_nothing_is_let_go() {
    let limits = Limits { head_time: SHORT, answer_time: SHORT, stall_time: SHORT, ..Limits::default() };
    let server = serve(token(), limits);
    let at = server.address();
    // A head that never ends, byte by byte.
    let begin = Instant::now();
    let mut slow = connect(at);
    slow.write_all(b"GET / HTTP/1.1\r\nX: ").unwrap();
    while slow.write_all(b"a").is_ok() {
        assert!(begin.elapsed() < Duration::from_secs(15), "the connection stays");
        thread::sleep(Duration::from_millis(50));
    }
    // Nothing at all, at first and after a request.
    assert_eq!(answer(&mut connect(at)), "");
    let mut idle = connect(at);
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert_eq!(code(&answer(&mut idle)), 200);
    // A body that does not come.
    let mut body = connect(at);
    body.write_all(
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 100\r\n\r\ntoken=",
    )
    .unwrap();
    assert_eq!(code(&answer(&mut body)), 408);
    // Answers that nobody reads, more than the system keeps.
    let mut deaf = connect(at);
    deaf.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    let asked = "GET /static/uplot.js HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1000);
    let begin = Instant::now();
    while deaf.write_all(asked.as_bytes()).is_ok() {
        assert!(begin.elapsed() < Duration::from_secs(15), "the connection stays");
    }
    assert_eq!(code(&get(&server, "/livez", "")), 200);
}

#[test]
fn connections_are_bounded_and_newcomers_take_the_places_of_silent_ones() {
    for limits in [
        Limits { connections: 3, ..Limits::default() },
        Limits { connections_of_one_address: 3, ..Limits::default() },
    ] {
        let server = serve(AdminAccess::default(), limits);
        let ask = |stream: &mut TcpStream| {
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").is_ok() && {
                let mut first = [0; 12];
                stream.read_exact(&mut first).is_ok() && &first == b"HTTP/1.1 200"
            }
        };
        let mut asked: Vec<TcpStream> = (0..2).map(|_| connect(server.address())).collect();
        assert!(asked.iter_mut().all(ask));
        // Silent ones come and go, and those that have asked stay.
        let silent: Vec<TcpStream> = (0..50).map(|_| connect(server.address())).collect();
        for stream in silent.iter().take(40) {
            assert_eq!(answer(&mut { stream }), "", "it is closed at once, not after the time for a head");
        }
        // Of those that have asked the first one makes room.
        let mut third = connect(server.address());
        assert!(ask(&mut third));
        let mut fourth = connect(server.address());
        assert!(ask(&mut fourth));
        let left = answer(&mut asked[0]);
        assert!(left.contains("ok"), "the rest of its answer, and the end: {left}");
    }
}

/// What comes over TLS; a client without a certificate shows none.
fn over_tls(server: &Server, trusts: &Keys, shows: Option<&Keys>, path: &str) -> Result<String, String> {
    let mut tls = SslConnector::builder(SslMethod::tls_client()).unwrap();
    tls.set_ca_file(trusts.authority()).unwrap();
    tls.set_verify(SslVerifyMode::PEER);
    if let Some(keys) = shows {
        let (certificate, key) = keys.client();
        tls.set_certificate_chain_file(certificate).unwrap();
        tls.set_private_key_file(key, openssl::ssl::SslFiletype::PEM).unwrap();
    }
    let mut stream =
        tls.build().connect("localhost", connect(server.address())).map_err(|e| e.to_string())?;
    stream.write_all(request("GET", path, "", "").as_bytes()).map_err(|e| e.to_string())?;
    let mut answer = vec![];
    stream.read_to_end(&mut answer).map_err(|e| e.to_string())?;
    Ok(String::from_utf8(answer).unwrap())
}

#[test]
fn over_tls_a_certificate_of_the_named_authority_opens_everything() {
    let (keys, others) = (Keys::new(), Keys::new());
    let tls = AdminAccess {
        admin_certificate_file: Some(keys.file("server.pem")),
        admin_key_file: Some(keys.file("server.key")),
        ..AdminAccess::default()
    };
    let access = AdminAccess { admin_client_ca_file: Some(keys.authority()), ..tls.clone() };
    let server = serve(access, Limits { handshake_time: SHORT, ..Limits::default() });
    assert!(server.url().starts_with("https://"), "{}", server.url());
    let page = over_tls(&server, &keys, Some(&keys), "/metrics").unwrap();
    assert!(code(&page) == 200 && page.contains("tidegate_build_info"), "{page}");
    // Probes have no certificate.
    assert_eq!(code(&over_tls(&server, &keys, None, "/livez").unwrap()), 200);
    let refused = over_tls(&server, &keys, None, "/metrics").unwrap();
    assert_eq!((code(&refused), body(&refused)), (401, "{\"error\":\"show a certificate\"}\n"));
    let foreign = over_tls(&server, &keys, Some(&others), "/metrics");
    assert!(foreign.is_err(), "{foreign:?}");
    assert!(
        over_tls(&server, &others, Some(&keys), "/livez").is_err(),
        "the server shows its own certificate"
    );
    // Who does not speak TLS, or says nothing, learns nothing and is let go.
    assert!(!send(server.address(), b"GET /metrics HTTP/1.1\r\n\r\n").contains("200"));
    assert_eq!(answer(&mut connect(server.address())), "");
    // TLS with a token: both are needed, and the cookie stays on TLS.
    let both = serve(AdminAccess { token: token().token, ..tls }, Limits::default());
    assert_eq!(code(&over_tls(&both, &keys, None, "/metrics").unwrap()), 401);
}

#[test]
fn files_of_tls_that_do_not_fit_are_named() {
    let (keys, others) = (Keys::new(), Keys::new());
    let told = |certificate: &str, key: std::path::PathBuf| {
        let access = AdminAccess {
            admin_certificate_file: Some(keys.file(certificate)),
            admin_key_file: Some(key),
            ..AdminAccess::default()
        };
        let settings = Settings { port: 0, access, ..Settings::default() };
        let history = History::new(Program {
            application_id: "orders".into(),
            instance: "pod-0".into(),
            host: "host".into(),
            trigger: Trigger::AsSoonAsPossible,
            streams: vec![],
            operators: vec![],
            settings: vec![],
            operations: vec![],
            topology: String::new(),
            views: vec![],
            launched_ms: 0,
        });
        let status = Arc::new(Status::new("orders", "pod-0", "memory"));
        let refused = Server::start(&settings, Arc::new(Metrics::new("orders")), status, Arc::new(history));
        refused.err().unwrap().to_string()
    };
    let missing = told("missing.pem", keys.file("server.key"));
    assert!(missing.contains("missing.pem") && missing.contains("No such file"), "{missing}");
    assert!(told("server.key", keys.file("server.key")).contains("--admin-certificate-file"));
    assert!(told("server.pem", keys.file("server.pem")).contains("--admin-key-file"));
    assert!(told("server.pem", others.file("server.key")).contains("--admin-key-file"));
    // A key with a passphrase is refused, not asked for at the terminal.
    let locked = keys.file("locked.key");
    let made = Command::new("openssl")
        .args(["pkcs8", "-topk8", "-passout", "pass:canary", "-in"])
        .args([keys.file("server.key"), "-out".into(), locked.clone()])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let told = told("server.pem", locked);
    assert!(told.contains("without a passphrase"), "{told}");
}

#[test]
fn the_token_of_the_environment_is_shown_nowhere_and_an_open_address_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("s.sql");
    std::fs::write(&script, "CREATE TABLE t (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '1', 'fields.n.kind' = 'sequence', 'fields.n.start' = '1');\nCREATE TABLE o (n BIGINT) WITH ('connector' = 'print');\nINSERT INTO o SELECT n FROM t;").unwrap();
    let tidegate = |args: &[&str], token: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(args).current_dir(dir.path()).env_remove("TIDEGATE_ADMIN_TOKEN");
        if !token.is_empty() {
            command.env("TIDEGATE_ADMIN_TOKEN", token);
        }
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let run = ["run", "s.sql", "--available-now", "--log-level", "debug", "--admin-bind", "0.0.0.0:0"];
    let (status, said) = tidegate(&run, "");
    assert_eq!(status, Some(3), "{said}");
    for part in [
        "0.0.0.0:0",
        "next: set a token (--admin-token-file FILE, or TIDEGATE_ADMIN_TOKEN)",
        "--admin-insecure",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (status, said) = tidegate(&run, TOKEN);
    assert!(status == Some(0) && !said.contains("canary"), "{said}");
    for args in [
        &["run", "--help"][..],
        &["config", "show", "--application-id", "a", "--origin"],
        &["man"],
        &["check", "--application-id", "a", "--bootstrap", "memory:"],
        &["run", "s.sql", "--available-now", "--threads", "x"],
    ] {
        let (_, said) = tidegate(args, TOKEN);
        assert!(!said.contains("canary"), "{args:?}: {said}");
    }
    let (status, said) = tidegate(&run, "canary-bäd-token-canary");
    assert!(status == Some(3) && !said.contains("canary") && said.contains("openssl rand"), "{said}");
}

/// A program that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_commands_of_the_page_on_security_do_what_it_says() {
    let page = include_str!("../../docs/security.md");
    let blocks: Vec<&str> = page.split("```sh\n").skip(1).map(|b| b.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 4, "a start and questions with a token, and the same with TLS");
    let dir = tempfile::tempdir().unwrap();
    let script = "CREATE TABLE clicks (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '10');
        CREATE TABLE shown (n BIGINT) WITH ('connector' = 'print');
        INSERT INTO shown SELECT n FROM clicks;";
    std::fs::write(dir.path().join("clicks.sql"), script).unwrap();
    let programs =
        std::path::Path::new(env!("CARGO_BIN_EXE_tidegate")).parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    for pair in blocks.chunks(2) {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let bash = |line: &str| {
            let mut command = Command::new("bash");
            command.args(["-c", &line.replace("4040", &port)]).env("PATH", &path).current_dir(dir.path());
            command
        };
        let mut running = None;
        for line in pair[0].lines() {
            if line.starts_with("tidegate run") {
                let child = bash(&format!("exec {line} --log-level warn >run.log 2>&1")).spawn().unwrap();
                running = Some(Running(child));
                continue;
            }
            let done = bash(line).output().unwrap();
            assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
        }
        let running = running.expect("the block starts a program");
        let end = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(format!("127.0.0.1:{port}")).is_err() {
            let log = || std::fs::read_to_string(dir.path().join("run.log")).unwrap_or_default();
            assert!(Instant::now() < end, "{}", log());
            thread::sleep(Duration::from_millis(50));
        }
        for line in pair[1].lines() {
            let done = bash(line).output().unwrap();
            let said = String::from_utf8_lossy(&done.stdout);
            let known = [("/metrics", "tidegate_build_info"), ("/readyz", "\"ready\":"), ("/livez", "ok")];
            let (_, expected) = known.into_iter().find(|(path, _)| line.ends_with(path)).unwrap();
            assert!(done.status.success() && said.contains(expected), "{line}: {said}");
        }
        drop(running);
    }
}
