//! The client against the registry itself: what it fetches, registers and compares, how it shows who it is, and what it does while
//! the registry is away.

use crate::{
    NEW, OLD,
    keys::Keys,
    proxy::{Mode, Proxy},
    registry, server, unique,
};
use std::time::{Duration, Instant};
use tidegate::{
    Error,
    error::Step,
    registry::{Reference, Registry, RegistryConfig, Schema, SchemaId, SchemaKind, Subject},
};

fn avro(text: &str) -> Schema {
    Schema::new(SchemaKind::Avro, text)
}

fn refused(config: &RegistryConfig) -> Error {
    Registry::connect(config).err().expect("it is refused")
}

#[test]
fn schemas_are_registered_compared_and_fetched_once() {
    let proxy = Proxy::new(server::address());
    let registry = Registry::connect(&RegistryConfig::new(&proxy.url())).unwrap();
    let subject = Subject::new(unique("a b+c-value")); // a name that needs care in a path
    assert_eq!(registry.check(&subject, &avro(OLD)).unwrap(), Ok(()), "a subject without a schema takes any");
    let id = registry.register(&subject, &avro(OLD)).unwrap();
    assert_eq!(registry.register(&subject, &avro(OLD)).unwrap(), id);
    let path = format!("/config/{}", subject.to_string().replace('+', "%2B").replace(' ', "%20"));
    let (status, told) = server::put(&path, r#"{"compatibility":"BACKWARD"}"#);
    assert_eq!(status, 200, "{told}");
    let strict = NEW.replace(r#","default":null"#, "").replace(r#"["null","string"]"#, r#""string""#);
    assert!(registry.check(&subject, &avro(&strict)).unwrap().is_err());
    let told = registry.register(&subject, &avro(&strict)).unwrap_err();
    assert_eq!(told.exit_code(), 4);
    let told = told.to_string();
    for part in [&*proxy.url(), &*subject.to_string(), "409", "note", "next: change the schema"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(registry.check(&subject, &avro(NEW)).unwrap(), Ok(()));
    let newer = registry.register(&subject, &avro(NEW)).unwrap();
    let (latest, schema) = registry.latest(&subject).unwrap();
    assert_eq!((latest, schema.kind()), (newer, SchemaKind::Avro));
    assert!(schema.text().contains("note"));
    for _ in 0..3 {
        assert!(!registry.schema(id.into()).unwrap().text().contains("note"));
    }
    assert_eq!(proxy.requests(&format!("/schemas/ids/{id} ")), 1);
}

#[test]
fn what_is_not_there_is_denied_with_the_registrys_words() {
    let proxy = Proxy::new(server::address());
    let registry = Registry::connect(&RegistryConfig::new(&proxy.url())).unwrap();
    let told = (0..3)
        .map(|_| registry.schema(SchemaId(99_999_999).into()).unwrap_err().to_string())
        .next_back()
        .unwrap();
    assert!(told.contains("fetching schema 99999999 was refused") && told.contains("40403"), "{told}");
    assert_eq!(proxy.requests("99999999"), 1, "it is not asked for again at once");
    let told = registry.latest(&Subject::new("no-such-subject")).unwrap_err().to_string();
    assert!(told.contains("`no-such-subject`") && told.contains("next: check the subject"), "{told}");
    let told =
        registry.register(&Subject::new(unique("bad")), &avro(r#"{"type":"nope"}"#)).unwrap_err().to_string();
    assert!(told.contains("422") && told.contains("next: correct the schema"), "{told}");
    let wrong_path = RegistryConfig::new(&format!("http://{}", server::address()));
    let told = refused(&wrong_path).to_string();
    assert!(told.contains("/apis/ccompat/v7"), "{told}");
}

#[test]
fn a_schema_comes_with_what_it_refers_to() {
    let (registry, name) = (registry(), unique("refers"));
    let order = Subject::new(format!("{name}-order"));
    registry.register(&order, &avro(OLD)).unwrap();
    let cart = r#"{"type":"record","name":"Cart","fields":[{"name":"first","type":"shop.Order"}]}"#;
    let reference = Reference { name: "shop.Order".into(), subject: order, version: 1 };
    let cart = avro(cart).with_references([reference.clone()]);
    let subject = Subject::new(format!("{name}-cart"));
    let id = registry.register(&subject, &cart).unwrap();
    assert_eq!(registry.schema(id.into()).unwrap().references(), [reference]);
    let writer = tidegate::codec::AvroWriter::latest(&registry, &subject).unwrap();
    let mut out = vec![];
    let row = std::collections::BTreeMap::from([("first", crate::order(1, None))]);
    tidegate::codec::Encode::encode(&writer, &row, &mut out).unwrap();
    assert_eq!(out.len(), 5 + 1 + 7 + 8, "the id, the number, the text with its length, the price");
}

#[test]
fn it_shows_who_it_is_and_says_what_to_do_if_that_is_refused() {
    let basic = Proxy::demanding(server::address(), "Basic YW5uOnPDpGNyZXQ6IQ=="); // ann:säcret:!
    let bearer = Proxy::demanding(server::address(), "Bearer abc.def");
    Registry::connect(&RegistryConfig::new(&basic.url()).basic_auth("ann", "säcret:!")).unwrap();
    Registry::connect(&RegistryConfig::new(&bearer.url()).bearer_token("abc.def")).unwrap();
    for config in
        [RegistryConfig::new(&basic.url()).basic_auth("ann", "guess"), RegistryConfig::new(&bearer.url())]
    {
        let begun = Instant::now();
        let told = refused(&config).to_string();
        assert!(
            told.contains("401") && told.contains("who are you?") && told.contains("next: check user name"),
            "{told}"
        );
        assert!(
            !told.contains("guess") && begun.elapsed() < Duration::from_secs(20),
            "waiting cannot help: {told}"
        );
    }
}

#[test]
fn tls_is_verified_on_both_sides() {
    let (keys, others) = (Keys::new(), Keys::new());
    let (plain, mutual) =
        (Proxy::with_tls(server::address(), &keys, false), Proxy::with_tls(server::address(), &keys, true));
    let config = |proxy: &Proxy| RegistryConfig::new(&proxy.url()).start_timeout(Duration::from_secs(60));
    Registry::connect(&config(&plain).ca_file(keys.authority())).unwrap();
    let (certificate, key) = keys.client();
    Registry::connect(&config(&mutual).ca_file(keys.authority()).client_certificate(&certificate, &key))
        .unwrap();
    for stranger in [config(&plain), config(&plain).ca_file(others.authority())] {
        let error = refused(&stranger);
        assert!(matches!(error, Error::Unreachable { step: Step::Tls, .. }), "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
    }
    let (certificate, key) = others.client();
    let impatient = config(&mutual).start_timeout(Duration::ZERO).ca_file(keys.authority());
    for nobody in [impatient.clone(), impatient.client_certificate(&certificate, &key)] {
        assert!(matches!(refused(&nobody), Error::Unreachable { .. }));
    }
    let host = plain.url().replace("localhost", "127.0.0.1");
    let error = refused(&RegistryConfig::new(&host).ca_file(keys.authority()));
    assert!(
        matches!(error, Error::Unreachable { step: Step::Tls, .. }),
        "the certificate is of another name: {error}"
    );
}

#[test]
fn another_server_is_asked_and_silence_is_not_asked_again_at_once() {
    let (one, two) = (Proxy::new(server::address()), Proxy::new(server::address()));
    let urls = format!("http://127.0.0.1:1/, {} ,{}", one.url(), two.url());
    let registry = Registry::connect(&RegistryConfig::new(&urls)).unwrap();
    let subject = Subject::new(unique("several"));
    registry.register(&subject, &avro(OLD)).unwrap();
    one.set(Mode::Answer(503));
    registry.latest(&subject).unwrap();
    assert_eq!(two.requests("latest"), 1);
    two.set(Mode::Away);
    let told = registry.latest(&subject).unwrap_err().to_string();
    for part in ["cannot reach the schema registry", "127.0.0.1:1", "HTTP status 503", &two.url(), "next: "] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let before = two.requests("latest");
    for _ in 0..1000 {
        assert!(matches!(registry.latest(&subject), Err(Error::Unreachable { .. })));
    }
    assert!(two.requests("latest") - before < 20, "{}", two.requests("latest") - before);
    two.set(Mode::Pass);
    let begun = Instant::now();
    while registry.latest(&subject).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_start_waits_for_the_registry_and_then_refuses_with_the_reason() {
    let proxy = Proxy::new(server::address());
    proxy.set(Mode::Away);
    let error = refused(&RegistryConfig::new(&proxy.url()).start_timeout(Duration::from_millis(300)));
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().contains(&proxy.url()) && error.to_string().contains("next: "), "{error}");
    std::thread::scope(|scope| {
        let connecting = scope.spawn(|| Registry::connect(&RegistryConfig::new(&proxy.url())));
        while proxy.requests("/schemas/types") < 3 {
            std::thread::sleep(Duration::from_millis(10));
        }
        proxy.set(Mode::Pass);
        connecting.join().unwrap().unwrap();
    });
}
