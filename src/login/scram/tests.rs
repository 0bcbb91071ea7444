//! Both roles against each other, and against RFC 7677.

use proptest::prelude::*;

use super::*;

/// PBKDF2 of a password (RFC 5802: `Hi`), which only clients and `ALTER ROLE ... PASSWORD` do.
fn salted(password: &str, salt: &[u8], iterations: u32) -> [u8; 32] {
    let mac = |message: &[u8]| -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(password.as_bytes()).unwrap();
        mac.update(message);
        mac.finalize().into_bytes().into()
    };
    let mut block = mac(&[salt, &[0, 0, 0, 1]].concat());
    let mut salted = block;
    for _ in 1..iterations {
        block = mac(&block);
        salted.iter_mut().zip(block).for_each(|(salted, block)| *salted ^= block);
    }
    salted
}

/// What is stored of a password.
fn stored(password: &str, salt: &[u8], iterations: u32) -> String {
    let salted = salted(password, salt, iterations);
    let encode = |bytes: &[u8]| BASE64.encode(bytes);
    let stored_key = encode(hash(&hmac(&salted, b"Client Key")).as_slice());
    let server_key = encode(hmac(&salted, b"Server Key").as_slice());
    format!("SCRAM-SHA-256${iterations}:{}${stored_key}:{server_key}", encode(salt))
}

const SALT: &[u8] = b"salt of 16 bytes";

fn verifier(password: &str) -> Verifier {
    Verifier::parse(&stored(password, SALT, 64)).unwrap()
}

impl Proven {
    /// The keys that a client with this password has. The salt is in base64.
    pub(crate) fn of_password(password: &str, salt: &str, iterations: u32) -> Self {
        let salted = salted(password, &BASE64.decode(salt).unwrap(), iterations);
        Self {
            server_final: String::new(),
            client_key: hmac(&salted, b"Client Key"),
            server_key: hmac(&salted, b"Server Key"),
        }
    }
}

fn keys(password: &str) -> Proven {
    Proven::of_password(password, &BASE64.encode(SALT), 64)
}

fn end_point(name: &str) -> Option<EndPoint> {
    Some(EndPoint(name.as_bytes().into()))
}

#[test]
fn the_example_of_rfc_7677_is_answered_as_it_says() {
    let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let mut check = ClientCheck::new(Verifier::parse(&stored("pencil", &salt, 4096)).unwrap(), None);
    let challenge =
        check.challenge(b"SCRAM-SHA-256", b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
    assert_eq!(
        challenge.unwrap(),
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    let last =
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    assert_eq!(check.last(last).ok().unwrap().server_final, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

/// A login of `password` where `known` is stored, each side at its end point.
fn exchange(
    password: &str,
    known: &str,
    server: Option<EndPoint>,
    client: Option<&EndPoint>,
) -> Result<&'static str, CheckError> {
    let mut check = ClientCheck::new(verifier(known), server);
    let offered: Vec<&[u8]> = check.mechanisms().iter().map(|name| name.as_bytes()).collect();
    let (mut login, mechanism) = ServerLogin::new(keys(password), &offered, client, &[7; NONCE_BYTES]).unwrap();
    let challenge = check.first(mechanism.as_bytes(), login.first().as_bytes(), &[9; NONCE_BYTES])?;
    let proven = check.last(login.challenged(challenge.as_bytes()).unwrap().as_bytes())?;
    assert_eq!(login.accepted(proven.server_final.as_bytes()), Ok(()));
    assert!(login.has_accepted());
    Ok(mechanism)
}

#[test]
fn who_knows_the_password_is_let_in_over_the_connection_that_it_is_bound_to() {
    let (here, there) = (end_point("here"), end_point("there"));
    for (password, server, client, expected) in [
        ("secret", None, None, Ok(SCRAM)),
        ("secret", here.clone(), here.as_ref(), Ok(SCRAM_PLUS)),
        ("secret", here.clone(), None, Ok(SCRAM)),
        ("secret", None, here.as_ref(), Ok(SCRAM)),
        ("secret", here.clone(), there.as_ref(), Err(CheckError::Binding)),
        ("wrong", None, None, Err(CheckError::Password)),
        ("wrong", here.clone(), here.as_ref(), Err(CheckError::Password)),
    ] {
        assert_eq!(exchange(password, "secret", server, client), expected, "{password}");
    }
}

#[test]
fn what_a_proof_yields_logs_in_elsewhere() {
    let mut check = ClientCheck::new(verifier("secret"), None);
    let (mut client, _) = ServerLogin::new(keys("secret"), &[SCRAM.as_bytes()], None, &[1; NONCE_BYTES]).unwrap();
    let challenge = check.first(SCRAM.as_bytes(), client.first().as_bytes(), &[2; NONCE_BYTES]).unwrap();
    let proven = check.last(client.challenged(challenge.as_bytes()).unwrap().as_bytes()).ok().unwrap();
    let there = end_point("server");
    let mut server = ClientCheck::new(verifier("secret"), there.clone());
    let offered = [SCRAM.as_bytes(), SCRAM_PLUS.as_bytes()];
    let (mut login, mechanism) = ServerLogin::new(proven, &offered, there.as_ref(), &[3; NONCE_BYTES]).unwrap();
    let challenge = server.first(mechanism.as_bytes(), login.first().as_bytes(), &[4; NONCE_BYTES]).unwrap();
    let accepted = server.last(login.challenged(challenge.as_bytes()).unwrap().as_bytes()).ok().unwrap();
    assert_eq!((mechanism, login.accepted(accepted.server_final.as_bytes())), (SCRAM_PLUS, Ok(())));
}

#[test]
fn a_server_that_does_not_know_the_verifier_is_found_out() {
    let (mut login, _) = ServerLogin::new(keys("secret"), &[SCRAM.as_bytes()], None, &[1; NONCE_BYTES]).unwrap();
    let nonce = BASE64.encode([1; NONCE_BYTES]);
    assert_eq!(login.challenged(b"r=other,s=AAAA,i=1"), Err(LoginError::Malformed));
    let (mut login, _) = ServerLogin::new(keys("secret"), &[SCRAM.as_bytes()], None, &[1; NONCE_BYTES]).unwrap();
    login.challenged(format!("r={nonce}x,s=AAAA,i=1").as_bytes()).unwrap();
    assert_eq!(login.accepted(format!("v={}", BASE64.encode([0; 32])).as_bytes()), Err(LoginError::Signature));
    assert_eq!(ServerLogin::new(keys("x"), &[b"OTHER"], None, &[1; NONCE_BYTES]).err(), Some(LoginError::Mechanism));
}

#[test]
fn an_offer_that_somebody_took_away_is_noticed() {
    let mut check = ClientCheck::new(verifier("secret"), end_point("here"));
    assert_eq!(check.first(SCRAM.as_bytes(), b"y,,n=,r=abc", &[0; NONCE_BYTES]).err(), Some(CheckError::Downgrade));
    for (mechanism, message, expected) in [
        ("SCRAM-SHA-256-PLUS", "n,,n=,r=abc", CheckError::Malformed),
        ("SCRAM-SHA-256", "p=tls-server-end-point,,n=,r=abc", CheckError::Malformed),
        ("SCRAM-SHA-256-PLUS", "p=tls-unique,,n=,r=abc", CheckError::Malformed),
        ("SCRAM-SHA-1", "n,,n=,r=abc", CheckError::Mechanism),
        ("SCRAM-SHA-256", "n,a=other,n=,r=abc", CheckError::Malformed),
        ("SCRAM-SHA-256", "n,,m=x,n=,r=abc", CheckError::Malformed),
        ("SCRAM-SHA-256", "n,,n=,r=", CheckError::Malformed),
    ] {
        let mut check = ClientCheck::new(verifier("secret"), end_point("here"));
        let said = check.first(mechanism.as_bytes(), message.as_bytes(), &[0; NONCE_BYTES]);
        assert_eq!(said.err(), Some(expected), "{mechanism} {message}");
    }
}

#[test]
fn who_has_no_verifier_is_asked_as_if_there_were_one_and_never_let_in() {
    let secret = [5; 32];
    let salts = |user| {
        let mut check = ClientCheck::new(Verifier::mock(user, &secret), None);
        check.first(SCRAM.as_bytes(), b"n,,n=,r=abc", &[0; NONCE_BYTES]).unwrap()
    };
    assert_eq!(salts("ann"), salts("ann"));
    assert_ne!(salts("ann"), salts("bob"));
    assert_eq!(salts("ann").rsplit_once(",i=").unwrap().1, "4096");
    // even the key that the mock's stored key is the hash of is no way in
    let mut check = ClientCheck::new(Verifier::mock("ann", &secret), None);
    let proven = Proven { server_final: String::new(), client_key: secret.into(), server_key: secret.into() };
    let (mut login, _) = ServerLogin::new(proven, &[SCRAM.as_bytes()], None, &[1; NONCE_BYTES]).unwrap();
    let challenge = check.first(SCRAM.as_bytes(), login.first().as_bytes(), &[2; NONCE_BYTES]).unwrap();
    let last = login.challenged(challenge.as_bytes()).unwrap();
    assert_eq!(check.last(last.as_bytes()).err(), Some(CheckError::Password));
}

#[test]
fn what_is_no_verifier_is_said_to_be_none() {
    let good = stored("x", b"salt", 4096);
    assert!(Verifier::parse(&good).is_ok());
    for (text, expected) in [
        ("md5aabbccddeeff00112233445566778899", VerifierError::OtherForm),
        ("", VerifierError::OtherForm),
        ("SCRAM-SHA-256$4096:AAAA$AAAA", VerifierError::Damaged),
        ("SCRAM-SHA-256$0:AAAA$AAAA:AAAA", VerifierError::Damaged),
        (&good.replace("4096", "many"), VerifierError::Damaged),
        (&good[..good.len() - 8], VerifierError::Damaged),
    ] {
        assert_eq!(Verifier::parse(text).err(), Some(expected), "{text}");
    }
}

proptest! {
    #[test]
    fn no_bytes_of_a_peer_are_taken_for_a_proof(messages in proptest::collection::vec(any::<Vec<u8>>(), 2)) {
        let mut check = ClientCheck::new(verifier("secret"), None);
        let _answer = check.first(SCRAM.as_bytes(), &messages[0], &[0; NONCE_BYTES]);
        prop_assert!(check.last(&messages[1]).is_err());
        let mut login = ServerLogin::new(keys("secret"), &[SCRAM.as_bytes()], None, &[0; NONCE_BYTES]).unwrap().0;
        let _answer = login.challenged(&messages[0]);
        prop_assert!(login.accepted(&messages[1]).is_err());
    }
}
