//! The rules of one server, made from its settings.
//!
//! Owns the comparison of what callers show. Invariants: nothing here depends on how much of a token was right; without a token and
//! without certificates, a server of this machine answers only under names that no other machine can give it.

use crate::{
    config::{AdminAccess, Token},
    error::Result,
};
use axum::http::{HeaderMap, header, uri::Authority};
use openssl::{memcmp, sha::sha256};
use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

/// Sets the hash in a cookie apart from any other hash of the token.
const COOKIE: &str = "tidegate: a browser that has logged in\n";

/// Whether the caller of a request may read everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    pub is_known: bool,
}

/// Whether a connection has shown a certificate that was verified.
#[derive(Clone, Copy, Debug)]
pub struct Certified(pub bool);

/// What a server asks of its callers.
pub struct Rules {
    token: Option<Shown>,
    has_certificates: bool,
    open_metrics: bool,
    /// Whether only names of this machine are answered under.
    own_names_only: bool,
    /// The name of the cookie, and what it is given besides.
    cookie: String,
    secure: &'static str,
}

/// What shows that a caller has the token, as hashes.
struct Shown {
    token: [u8; 32],
    cookie: [u8; 32],
    /// What a browser is given.
    cookie_value: String,
}

impl Shown {
    fn of(token: &Token) -> Self {
        let mut cookie_value = String::with_capacity(64);
        for byte in sha256(format!("{COOKIE}{}", token.reveal()).as_bytes()) {
            let _ = write!(cookie_value, "{byte:02x}");
        }
        Shown {
            token: sha256(token.reveal().as_bytes()),
            cookie: sha256(cookie_value.as_bytes()),
            cookie_value,
        }
    }
}

/// Hashes have one length, and say nothing of what was right.
fn is_same(shown: &str, hash: &[u8; 32]) -> bool {
    memcmp::eq(&sha256(shown.as_bytes()), hash)
}

impl Rules {
    /// # Errors
    /// If the token cannot be read.
    pub fn new(access: &AdminAccess, at: SocketAddr) -> Result<Self> {
        let token = access.token.read()?.as_ref().map(Shown::of);
        let has_certificates = access.admin_client_ca_file.is_some();
        let is_guarded = token.is_some() || has_certificates;
        Ok(Rules {
            token,
            has_certificates,
            open_metrics: access.admin_open_metrics,
            own_names_only: !is_guarded && !access.admin_insecure && at.ip().is_loopback(),
            // Browsers keep one set of cookies for all ports of a host.
            cookie: format!("tidegate-{}", at.port()),
            secure: if access.admin_certificate_file.is_some() { "; Secure" } else { "" },
        })
    }

    /// Whether a browser can log in.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    pub fn has_certificates(&self) -> bool {
        self.has_certificates
    }

    pub fn has_open_metrics(&self) -> bool {
        self.open_metrics
    }

    /// Whether the caller may read everything.
    pub fn caller(&self, headers: &HeaderMap, certified: Certified) -> Caller {
        let is_open = self.token.is_none() && !self.has_certificates;
        let shows_token = || self.token.as_ref().is_some_and(|shown| self.shows(shown, headers));
        Caller { is_known: is_open || certified.0 || shows_token() }
    }

    fn shows(&self, shown: &Shown, headers: &HeaderMap) -> bool {
        let text = |name| headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let bearer = text(header::AUTHORIZATION)
            .filter_map(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .any(|(_, token)| is_same(token.trim(), &shown.token));
        let mut cookies = text(header::COOKIE)
            .flat_map(|value| value.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='));
        bearer || cookies.any(|(name, value)| name == self.cookie && is_same(value, &shown.cookie))
    }

    /// The cookie for a browser that shows the token; `None` = that is not the token.
    pub fn cookie_for(&self, token: &str) -> Option<String> {
        let shown = self.token.as_ref().filter(|shown| is_same(token, &shown.token))?;
        Some(format!(
            "{}={}; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict{}",
            self.cookie, shown.cookie_value, self.secure
        ))
    }

    /// Whether the server answers under the name that the request was sent to. A page of somebody else can give its own name the address
    /// of this machine, and its scripts could then read what is answered.
    pub fn answers_to(&self, headers: &HeaderMap) -> bool {
        if !self.own_names_only {
            return true;
        }
        let mut names = headers.get_all(header::HOST).iter();
        names.all(|name| name.to_str().is_ok_and(is_own_name))
    }
}

/// Whether a name with or without a port is an address, or `localhost`, which no name server can change.
fn is_own_name(name: &str) -> bool {
    let Ok(authority) = name.parse::<Authority>() else { return false };
    let name = authority.host().trim_matches(['[', ']']).to_ascii_lowercase();
    name.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AdminToken;

    const TOKEN: &str = "0123456789abcdef";

    fn rules(token: Option<&str>) -> Rules {
        let token = AdminToken { admin_token: token.map(Token::from), ..AdminToken::default() };
        let access = AdminAccess { token, ..AdminAccess::default() };
        Rules::new(&access, "127.0.0.1:4041".parse().unwrap()).unwrap()
    }

    fn known(rules: &Rules, name: header::HeaderName, value: &str) -> bool {
        let headers = HeaderMap::from_iter([(name, value.parse().unwrap())]);
        rules.caller(&headers, Certified(false)).is_known
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        let rules = rules(Some(TOKEN));
        for good in [format!("Bearer {TOKEN}"), format!("bearer {TOKEN}"), format!("BEARER  {TOKEN} ")] {
            assert!(known(&rules, header::AUTHORIZATION, &good), "{good}");
        }
        for bad in [
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdeff",
            "Basic 0123456789abcdef",
            TOKEN,
        ] {
            assert!(!known(&rules, header::AUTHORIZATION, bad), "{bad}");
        }
        assert!(!rules.caller(&HeaderMap::new(), Certified(false)).is_known);
        assert!(rules.caller(&HeaderMap::new(), Certified(true)).is_known);
    }

    #[test]
    fn a_cookie_is_not_the_token_and_opens_only_the_server_that_it_is_of() {
        let own = rules(Some(TOKEN));
        assert!(own.cookie_for("0123456789abcdee").is_none());
        let set = own.cookie_for(TOKEN).unwrap();
        assert!(!set.contains(TOKEN) && set.ends_with("; HttpOnly; SameSite=Strict"), "{set}");
        let pair = set.split(';').next().unwrap();
        assert!(known(&own, header::COOKIE, pair) && known(&own, header::COOKIE, &format!("a=b; {pair}; c")));
        assert!(!known(&own, header::COOKIE, &pair.replace("4041", "4040")));
        assert!(!known(&own, header::COOKIE, &format!("tidegate-4041={TOKEN}")));
        assert!(!known(&own, header::AUTHORIZATION, &format!("Bearer {}", pair.split_once('=').unwrap().1)));
        let other = rules(Some("another-token-of-16"));
        assert!(!known(&other, header::COOKIE, pair));
    }

    #[test]
    fn names_that_others_can_point_here_are_not_answered_without_a_token() {
        let answers = |rules: &Rules, name: &str| {
            rules.answers_to(&HeaderMap::from_iter([(header::HOST, name.parse().unwrap())]))
        };
        let open = rules(None);
        for own in
            ["localhost", "LOCALHOST:4040", "a.localhost:1", "127.0.0.1:4040", "[::1]:4040", "192.0.2.1"]
        {
            assert!(answers(&open, own), "{own}");
        }
        for other in [
            "evil.example",
            "evil.example:4040",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "a b",
        ] {
            assert!(!answers(&open, other), "{other}");
            assert!(answers(&rules(Some(TOKEN)), other), "a page elsewhere has no token and no cookie");
        }
        assert!(open.answers_to(&HeaderMap::new()), "a browser always says the name");
        assert!(open.caller(&HeaderMap::new(), Certified(false)).is_known);
    }
}
