//! Certificates of a test, in files: an authority, and a server's and a client's that it has signed.
//!
//! Knows no connection. Invariant: each set has an authority of its own, so what one has signed another one does not trust.

use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    x509::{
        X509, X509NameBuilder,
        extension::{BasicConstraints, SubjectAlternativeName},
    },
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// An authority, a server's and a client's certificate, in files.
pub struct Keys {
    dir: tempfile::TempDir,
}

impl Keys {
    pub fn new() -> Keys {
        let keys = Keys { dir: tempfile::tempdir().unwrap() };
        let (ca, ca_key) = certificate("an authority", None);
        fs::write(keys.authority(), ca.to_pem().unwrap()).unwrap();
        for name in ["server", "client"] {
            let (of, key) = certificate(name, Some((&ca, &ca_key)));
            fs::write(keys.file(&format!("{name}.pem")), of.to_pem().unwrap()).unwrap();
            fs::write(keys.file(&format!("{name}.key")), key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        }
        keys
    }

    /// `ca`, `server` or `client`, with `.pem` or `.key`.
    pub fn file(&self, name: &str) -> PathBuf {
        Path::new(self.dir.path()).join(name)
    }

    pub fn authority(&self) -> PathBuf {
        self.file("ca.pem")
    }

    pub fn client(&self) -> (PathBuf, PathBuf) {
        (self.file("client.pem"), self.file("client.key"))
    }
}

fn certificate(name: &str, issuer: Option<(&X509, &PKey<Private>)>) -> (X509, PKey<Private>) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
    let subject = subject.build();
    let mut of = X509::builder().unwrap();
    of.set_version(2).unwrap();
    of.set_serial_number(
        &BigNum::from_u32(u32::from(name.as_bytes()[0])).unwrap().to_asn1_integer().unwrap(),
    )
    .unwrap();
    of.set_subject_name(&subject).unwrap();
    of.set_issuer_name(issuer.map_or(&*subject, |(ca, _)| ca.subject_name())).unwrap();
    of.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
    of.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    of.set_pubkey(&key).unwrap();
    if issuer.is_none() {
        of.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    } else {
        let names =
            SubjectAlternativeName::new().dns("localhost").build(&of.x509v3_context(None, None)).unwrap();
        of.append_extension(names).unwrap();
    }
    of.sign(issuer.map_or(&key, |(_, ca)| ca), MessageDigest::sha256()).unwrap();
    (of.build(), key)
}
