//! End users behind a trusted application account: who may assert one, how that is proved, and to whom roles are given.
//!
//! An application that logs in with one account for all of its users says for whom it asks: by `SET pgveil.actor`, or by a
//! tag in the statement's comment. A plain assertion is taken at its word, a signed one is a JSON Web Token (RFC 7519)
//! whose signature, algorithm, audience, issuer and times are checked.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};

use crate::catalog::Name;

/// The longest name of an end user, in bytes: it becomes a field of access events.
pub const ACTOR_BYTES_MAX: usize = 200;
/// The longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// The groups of one end user that are looked at.
const GROUPS_MAX: usize = 200;
/// How far clocks may differ where a token is not valid yet.
const LEEWAY: Duration = Duration::from_secs(30);

/// An end user that an account has asserted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Actor {
    /// Its name.
    pub name: Arc<str>,
    /// The groups that a token gives it.
    pub groups: Vec<Arc<str>>,
    /// Whether a token proves it.
    pub signed: bool,
    /// Until when it does, since the Unix epoch.
    pub until: Option<Duration>,
}

/// A database account that may assert end users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The database user.
    pub user: Name,
    /// How.
    pub assertion: Assertion,
    /// Whether it sees only masks while it asserts nobody.
    pub required: bool,
    /// Whether `SET pgveil.actor` asserts.
    pub by_setting: bool,
    /// Whether a tag `actor` in a statement's last comment asserts.
    pub by_comment: bool,
    /// `file:line` of its entry.
    pub rule: Arc<str>,
}

/// How an end user is asserted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assertion {
    /// By name.
    Plain,
    /// By a token.
    Signed(TokenRules),
}

/// What a token has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRules {
    /// The names of the keys that may have signed it.
    pub keys: Vec<Arc<str>>,
    /// The claim with the end user's name.
    pub claim: Arc<str>,
    /// The claim with the groups, a list of names.
    pub groups: Option<Arc<str>>,
    /// What `aud` has to be or hold.
    pub audience: Option<Arc<str>>,
    /// What `iss` has to be.
    pub issuer: Option<Arc<str>>,
}

/// Why somebody is not asserted. No message quotes what was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActorError {
    /// The account is not trusted with it.
    #[error("this account may not assert an end user")]
    NotTrusted,
    /// Not in this way.
    #[error("this account may not assert an end user in this way")]
    Way,
    /// A name that is empty, too long or has control characters.
    #[error("the end user's name is empty, longer than 200 bytes or has control characters")]
    Name,
    /// It is no token.
    #[error("the token can not be read")]
    Malformed,
    /// It is signed by none of the keys, or by another algorithm than a key is for.
    #[error("the token's signature is not valid")]
    Signature,
    /// Its time is over, or it does not say until when it is valid.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYet,
    /// It is for somebody else, or by somebody else.
    #[error("the token is for another audience or by another issuer")]
    Audience,
    /// It does not name the end user.
    #[error("the token does not name an end user")]
    NoClaim,
    /// A comment asserts two, or one in two ways.
    #[error("the statement's comments assert more than one end user")]
    Ambiguous,
}

/// Keys that tokens are checked with, by their names in the policy. Loaded by the shell; not printed.
#[derive(Default)]
pub struct ActorKeys {
    keys: HashMap<Box<str>, (Algorithm, DecodingKey)>,
}

/// A key that can not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActorKeyError {
    /// The algorithm is none that is known.
    #[error("the algorithm is one of HS256, RS256, ES256 and EdDSA")]
    Algorithm,
    /// The bytes are no key of that sort.
    #[error("that is no key for this algorithm (a public key in PEM; for HS256 a secret of 32 bytes or more)")]
    Key,
}

impl ActorKeys {
    /// Add a key: the secret itself for HS256, a public key in PEM for RS256, ES256 and EdDSA.
    ///
    /// # Errors
    /// The algorithm is not known, or the key is none for it.
    pub fn insert(&mut self, name: &str, algorithm: &str, key: &[u8]) -> Result<(), ActorKeyError> {
        let wrong = |_| ActorKeyError::Key;
        let (algorithm, key) = match algorithm {
            "HS256" if key.len() < 32 => return Err(ActorKeyError::Key),
            "HS256" => (Algorithm::HS256, DecodingKey::from_secret(key)),
            "RS256" => (Algorithm::RS256, DecodingKey::from_rsa_pem(key).map_err(wrong)?),
            "ES256" => (Algorithm::ES256, DecodingKey::from_ec_pem(key).map_err(wrong)?),
            "EdDSA" => (Algorithm::EdDSA, DecodingKey::from_ed_pem(key).map_err(wrong)?),
            _ => return Err(ActorKeyError::Algorithm),
        };
        self.keys.insert(name.into(), (algorithm, key));
        Ok(())
    }

    /// Whether there is a key of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.keys.contains_key(name)
    }
}

impl fmt::Debug for ActorKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.keys.keys()).finish()
    }
}

impl Account {
    /// The end user that this account asserts by these words. `now`: since the Unix epoch.
    ///
    /// # Errors
    /// Why it is not asserted.
    pub fn assert(&self, given: &str, keys: &ActorKeys, now: Duration) -> Result<Actor, ActorError> {
        match &self.assertion {
            Assertion::Plain => {
                let name = actor_name(given)?;
                Ok(Actor { name, groups: Vec::new(), signed: false, until: None })
            }
            Assertion::Signed(rules) => rules.check(given, keys, now),
        }
    }

    /// Whether somebody who was asserted would be so still.
    pub fn accepts(&self, actor: &Actor) -> bool {
        actor.signed || self.assertion == Assertion::Plain
    }
}

impl TokenRules {
    fn check(&self, token: &str, keys: &ActorKeys, now: Duration) -> Result<Actor, ActorError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(ActorError::Malformed);
        }
        // The algorithm is the key's, whatever the token says of it: `none`, or an HMAC with a public key, does not pass.
        decode_header(token).map_err(|_| ActorError::Malformed)?;
        let known = self.keys.iter().filter_map(|name| keys.keys.get(&**name));
        let claims = known.map(|(algorithm, key)| {
            let mut validation = Validation::new(*algorithm);
            // Time is looked at below: this layer has no clock.
            (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
            validation.required_spec_claims.clear();
            decode::<Map<String, Value>>(token, key, &validation).ok()
        });
        let claims = claims.flatten().next().ok_or(ActorError::Signature)?.claims;
        let seconds = |claim: &str| claims.get(claim).and_then(Value::as_f64).filter(|time| *time >= 0.0);
        let time = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let until = seconds("exp").map(time).filter(|until| *until > now).ok_or(ActorError::Expired)?;
        if claims.contains_key("nbf") && seconds("nbf").map(time).is_none_or(|from| from > now.saturating_add(LEEWAY)) {
            return Err(ActorError::NotYet);
        }
        let says = |claim: &str, wanted: &Option<Arc<str>>| match wanted {
            Some(wanted) => strings(claims.get(claim)).any(|said| *said == **wanted),
            None => true,
        };
        if !says("aud", &self.audience) || !says("iss", &self.issuer) {
            return Err(ActorError::Audience);
        }
        let named = claims.get(&*self.claim).and_then(Value::as_str).ok_or(ActorError::NoClaim)?;
        let groups = self.groups.as_ref().and_then(|claim| claims.get(&**claim));
        let groups = strings(groups).take(GROUPS_MAX).map(Into::into).collect();
        Ok(Actor { name: actor_name(named)?, groups, signed: true, until: Some(until) })
    }
}

/// A string, or the strings of a list.
fn strings(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let one = value.and_then(Value::as_str);
    let many = value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    one.into_iter().chain(many)
}

fn actor_name(given: &str) -> Result<Arc<str>, ActorError> {
    let good = !given.is_empty() && given.len() <= ACTOR_BYTES_MAX && !given.chars().any(char::is_control);
    if good { Ok(given.into()) } else { Err(ActorError::Name) }
}

/// Whether a name is one of a pattern, in which `*` stands for any characters.
pub(super) fn is_like(name: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut rest = rest;
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = rest.get(at.saturating_add(part.len())..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
    const NOW: Duration = Duration::from_secs(1_000_000);

    fn account() -> Account {
        Account {
            user: Name::exact("shop_app"),
            assertion: Assertion::Signed(TokenRules {
                keys: vec!["old".into(), "shop".into()],
                claim: "email".into(),
                groups: Some("groups".into()),
                audience: Some("pgveil".into()),
                issuer: Some("shop".into()),
            }),
            required: true,
            by_setting: true,
            by_comment: false,
            rule: "p:1".into(),
        }
    }

    fn keys() -> ActorKeys {
        let mut keys = ActorKeys::default();
        keys.insert("shop", "HS256", SECRET).unwrap();
        keys
    }

    fn good() -> Value {
        json!({ "email": "jane@shop", "groups": ["support", "de"], "aud": ["x", "pgveil"], "iss": "shop", "exp": 1_000_060 })
    }

    fn signed(claims: &Value, secret: &[u8], algorithm: Algorithm) -> String {
        encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret)).unwrap()
    }

    #[test]
    fn a_token_has_to_be_signed_by_a_key_of_the_account_and_be_in_force() {
        let with = |name: &str, value: Value| {
            let mut claims = good();
            claims[name] = value;
            signed(&claims, SECRET, Algorithm::HS256)
        };
        let token = signed(&good(), SECRET, Algorithm::HS256);
        let mut parts = token.split('.');
        let (_, payload, signature) = (parts.next(), parts.next().unwrap(), parts.next().unwrap());
        // {"typ":"JWT","alg":"none"}
        let unsigned = format!("eyJ0eXAiOiJKV1QiLCJhbGciOiJub25lIn0.{payload}.");
        let unsigned_with_one = format!("eyJ0eXAiOiJKV1QiLCJhbGciOiJub25lIn0.{payload}.{signature}");
        let other = with("email", json!("root@shop"));
        let spliced = format!("{}.{signature}", other.rsplit_once('.').map(|(message, _)| message).unwrap_or_default());
        for (token, expected) in [
            (token.clone(), Ok(())),
            (with("aud", json!("pgveil")), Ok(())),
            (with("nbf", json!(1_000_010)), Ok(())),
            (with("nbf", json!(1_000_100)), Err(ActorError::NotYet)),
            (with("nbf", json!("soon")), Err(ActorError::NotYet)),
            (with("exp", json!(1_000_000)), Err(ActorError::Expired)),
            (with("exp", json!(null)), Err(ActorError::Expired)),
            (with("aud", json!("another")), Err(ActorError::Audience)),
            (with("aud", json!(null)), Err(ActorError::Audience)),
            (with("iss", json!("another")), Err(ActorError::Audience)),
            (with("email", json!(7)), Err(ActorError::NoClaim)),
            (with("email", json!("a\nb")), Err(ActorError::Name)),
            (signed(&good(), b"another secret of thirty-two bytes!!", Algorithm::HS256), Err(ActorError::Signature)),
            (signed(&good(), SECRET, Algorithm::HS384), Err(ActorError::Signature)),
            (spliced, Err(ActorError::Signature)),
            (unsigned, Err(ActorError::Malformed)),
            (unsigned_with_one, Err(ActorError::Malformed)),
            ("jane@shop".to_owned(), Err(ActorError::Malformed)),
            ("x".repeat(9_000), Err(ActorError::Malformed)),
        ] {
            let found = account().assert(&token, &keys(), NOW);
            if let Ok(actor) = &found {
                assert_eq!((&*actor.name, actor.groups.len(), actor.signed), ("jane@shop", 2, true));
                assert_eq!(actor.until, Some(Duration::from_secs(1_000_060)));
            }
            assert_eq!(found.map(|_| ()), expected, "{token}");
        }
        assert_eq!(
            account().assert(&token, &ActorKeys::default(), NOW).map(|_| ()),
            Err(ActorError::Signature),
            "without its key"
        );
    }

    #[test]
    fn public_keys_check_what_private_ones_have_signed() {
        for (algorithm, name, private, public) in [
            (
                Algorithm::ES256,
                "ES256",
                rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap(),
                EncodingKey::from_ec_pem as fn(&[u8]) -> jsonwebtoken::errors::Result<EncodingKey>,
            ),
            (
                Algorithm::EdDSA,
                "EdDSA",
                rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(),
                EncodingKey::from_ed_pem as fn(&[u8]) -> _,
            ),
        ] {
            let mut keys = ActorKeys::default();
            keys.insert("shop", name, private.public_key_pem().as_bytes()).unwrap();
            let signing = public(private.serialize_pem().as_bytes()).unwrap();
            let token = encode(&Header::new(algorithm), &good(), &signing).unwrap();
            assert!(account().assert(&token, &keys, NOW).is_ok(), "{name}");
            // The public key as if it were a secret: the oldest trick of all.
            let forged = signed(&good(), private.public_key_pem().as_bytes(), Algorithm::HS256);
            assert_eq!(account().assert(&forged, &keys, NOW).map(|_| ()), Err(ActorError::Signature), "{name}");
        }
        let mut keys = ActorKeys::default();
        assert_eq!(keys.insert("x", "none", b""), Err(ActorKeyError::Algorithm));
        assert_eq!(keys.insert("x", "HS256", b"short"), Err(ActorKeyError::Key));
        assert_eq!(keys.insert("x", "RS256", b"no pem"), Err(ActorKeyError::Key));
    }

    #[test]
    fn plain_names_are_taken_at_their_word() {
        let plain = Account { assertion: Assertion::Plain, ..account() };
        let assert = |given: &str| plain.assert(given, &ActorKeys::default(), NOW).map(|actor| actor.name);
        assert_eq!(assert("jane@shop"), Ok("jane@shop".into()));
        for wrong in ["", "a\u{7}b", &"x".repeat(201)] {
            assert_eq!(assert(wrong), Err(ActorError::Name));
        }
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (name, pattern, expected) in [
            ("jane@shop", "jane@shop", true),
            ("jane@shop", "*@shop", true),
            ("jane@shop.example", "*@shop", false),
            ("jane@shop", "jane*", true),
            ("jane@shop", "*", true),
            ("jane@shop", "j*@*p", true),
            ("jane@shop", "j*x*p", false),
            ("ab", "a*b*b", false),
            ("aba", "a*a", true),
            ("a", "a*a", false),
            ("Jane@shop", "jane@shop", false),
            ("", "*", true),
        ] {
            assert_eq!(is_like(name, pattern), expected, "{name} {pattern}");
        }
    }
}
