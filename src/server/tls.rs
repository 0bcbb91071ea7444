//! TLS with clients: pgveil's certificate, and who the client's certificate says it is.
//!
//! Connections to the server are encrypted by [`upstream`].

#[cfg(test)]
pub(super) mod fixtures;
pub(super) mod upstream;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::stream::Stream;
use crate::config::ClientTlsConfig;
use crate::login::EndPoint;
use crate::session::io::ClientTls;

/// Why TLS can not be set up. Names files, holds nothing of them.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can not be read or holds no PEM of the kind that is wanted.
    #[error("{what} {} can not be read: {reason}", path.display())]
    File {
        /// What the file was to hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificates and the key do not work, or not together.
    #[error("the TLS files can not be used: {0}")]
    Unusable(#[from] rustls::Error),
    /// The client certificates' authority can not be used.
    #[error("client certificates can not be verified with {}: {reason}", path.display())]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system has no root certificates.
    #[error("the system's root certificates can not be read: {0}")]
    SystemRoots(String),
    /// `sslrootcert = system` with a mode that would accept any host with a certificate from a public authority.
    #[error(
        "the system's root certificates are only good for sslmode verify-full: anybody can get a certificate from them"
    )]
    SystemRootsNeedVerifyFull,
    /// A mode that verifies, and nothing to verify with.
    #[error("sslmode {0} needs a root certificate: name a file or \"system\" as sslrootcert")]
    RootMissing(&'static str),
    /// The host's name can not stand in a certificate.
    #[error("\"{0}\" is neither a host name nor an address that a certificate can be checked against")]
    HostName(String),
}

/// The protocol's name in TLS (IANA's registry of ALPN protocol ids).
const ALPN_PROTOCOL: &[u8] = b"postgresql";

/// The cryptography of every TLS connection.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// What handshakes with clients need.
#[derive(Debug)]
pub struct Acceptor {
    config: Arc<rustls::ServerConfig>,
    /// The hash of pgveil's certificate, which logins are bound to.
    end_point: Option<EndPoint>,
}

/// Read the files and make of them what handshakes need. A client certificate is asked for if there is an authority to
/// verify it with, and may be missing: what comes without one is the policy's to say. Called at the start and at each reload; at a reload's failure the
/// caller keeps what it has.
///
/// # Errors
/// Any file that is missing or wrong.
pub fn load_client_tls(files: &ClientTlsConfig) -> Result<Arc<Acceptor>, TlsError> {
    let certificates = read_certificates("the certificate file", &files.certificate)?;
    let key = read_key(&files.key)?;
    let end_point = certificates.first().and_then(end_point);
    let builder = rustls::ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(read_roots(path)?.0);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                .allow_unauthenticated()
                .build()
                .map_err(|error| TlsError::ClientCa { path: path.clone(), reason: error.to_string() })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(certificates, key)?;
    // PostgreSQL's own server offers no resumption either, and drivers do not use it: tickets would only cost
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    // who names no protocol is served as well, who names others only is not
    config.alpn_protocols = vec![ALPN_PROTOCOL.to_vec()];
    Ok(Arc::new(Acceptor { config: Arc::new(config), end_point }))
}

/// Do the handshake as the server; also what is known of the connection then. `begun`: the client began with the handshake,
/// by these bytes; then it has to name the protocol, as PostgreSQL 17 demands.
///
/// # Errors
/// The client hung up, speaks no TLS or another protocol in it, or its certificate is not believed.
pub(super) async fn accept(
    acceptor: Arc<Acceptor>,
    stream: TcpStream,
    begun: Option<Bytes>,
) -> io::Result<(Stream, ClientTls)> {
    let direct = begun.is_some();
    let mut taken = Ok(());
    let accepting = TlsAcceptor::from(Arc::clone(&acceptor.config))
        .accept_with(stream, |connection| taken = take_first_bytes(connection, &begun.unwrap_or_default()));
    // if they were wrong, the client is told so by an alert, and then the reason is known here
    let accepted = accepting.await;
    taken?;
    let stream = accepted?;
    let (_, connection) = stream.get_ref();
    if direct && connection.alpn_protocol() != Some(ALPN_PROTOCOL) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "direct TLS without the protocol's name (ALPN)"));
    }
    // the verifier has already checked it: there is none that is not believed
    let certificate = connection.peer_certificates().and_then(<[_]>::first);
    let tls = ClientTls {
        certificate: certificate.is_some(),
        common_name: certificate.and_then(common_name),
        end_point: acceptor.end_point.clone(),
    };
    Ok((Stream::Accepted(Box::new(stream)), tls))
}

/// The hash of a server's certificate that logins are bound to: by the hash function of the certificate's signature, or
/// SHA-256 where that is MD5 or SHA-1 (`tls-server-end-point`, RFC 5929 section 4.1). `None`: the signature has no such
/// function (Ed25519), or names it in a way that is not read here (RSASSA-PSS).
pub(super) fn end_point(certificate: &CertificateDer<'_>) -> Option<EndPoint> {
    use x509_parser::oid_registry as oid;
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let algorithm = &parsed.signature_algorithm.algorithm;
    let is_one_of = |known: &[oid::Oid<'static>]| known.iter().any(|known| known == algorithm);
    let hash: Vec<u8> = if is_one_of(&[
        oid::OID_PKCS1_MD5WITHRSAENC,
        oid::OID_PKCS1_SHA1WITHRSA,
        oid::OID_PKCS1_SHA256WITHRSA,
        oid::OID_SIG_ECDSA_WITH_SHA256,
    ]) {
        Sha256::digest(certificate).to_vec()
    } else if is_one_of(&[oid::OID_PKCS1_SHA384WITHRSA, oid::OID_SIG_ECDSA_WITH_SHA384]) {
        Sha384::digest(certificate).to_vec()
    } else if is_one_of(&[oid::OID_PKCS1_SHA512WITHRSA, oid::OID_SIG_ECDSA_WITH_SHA512]) {
        Sha512::digest(certificate).to_vec()
    } else {
        return None;
    };
    Some(EndPoint(hash.into()))
}

/// Let TLS have bytes that were read before it was known that they are its.
fn take_first_bytes(connection: &mut rustls::ServerConnection, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        if connection.read_tls(&mut bytes)? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        connection.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    }
    Ok(())
}

/// The subject's common name. `None` where it has none, several, or one that is not plain text: who it is must not
/// depend on how one reads it.
pub(super) fn common_name(certificate: &CertificateDer<'_>) -> Option<Arc<str>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let mut names = certificate.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?;
    let plain = !name.is_empty() && !name.chars().any(char::is_control);
    (names.next().is_none() && plain).then(|| Arc::from(name))
}

pub(super) fn read_certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: String| TlsError::File { what, path: path.to_owned(), reason };
    let certificates = CertificateDer::pem_file_iter(path)
        .map_err(|error| wrong(pem_reason(&error)))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| wrong(pem_reason(&error)))?;
    if certificates.is_empty() { Err(wrong("it holds no certificate".into())) } else { Ok(certificates) }
}

pub(super) fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| TlsError::File {
        what: "the private key file",
        path: path.to_owned(),
        reason: pem_reason(&error),
    })
}

/// The roots in a file, also as they stand there.
pub(super) fn read_roots(path: &Path) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), TlsError> {
    let certificates = read_certificates("the root certificate file", path)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone())?;
    }
    Ok((roots, certificates))
}

/// What is wrong with a PEM file, without anything of its contents.
fn pem_reason(error: &rustls::pki_types::pem::Error) -> String {
    use rustls::pki_types::pem::Error;
    match error {
        Error::Io(error) => error.to_string(),
        Error::NoItemsFound => "it holds nothing of this kind".into(),
        _ => "it is not valid PEM".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::fixtures::Authority;
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    #[test]
    fn the_common_name_is_the_clients_only_if_there_is_exactly_one_of_plain_text() {
        let key = KeyPair::generate().unwrap();
        let named = |names: &[&str]| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name = rcgen::DistinguishedName::new();
            for name in names {
                params.distinguished_name.push(DnType::CommonName, *name);
            }
            common_name(params.self_signed(&key).unwrap().der())
        };
        assert_eq!(named(&["billing"]).as_deref(), Some("billing"));
        assert_eq!(named(&["Käthe Ärger"]).as_deref(), Some("Käthe Ärger"));
        assert_eq!(named(&[]), None);
        assert_eq!(named(&["billing\0.example"]), None);
        assert_eq!(common_name(&CertificateDer::from(vec![0x30, 0x03, 1, 2])), None);
    }

    #[test]
    fn a_file_that_is_wrong_is_named_and_not_quoted() {
        let authority = Authority::new("pgveil test");
        let good = authority.files("good", &["localhost"]);
        let files = |certificate: &Path, key: &Path| ClientTlsConfig {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            client_ca: None,
            required: false,
        };
        assert!(load_client_tls(&files(&good.certificate, &good.key)).is_ok());
        let garbage =
            authority.write("garbage.pem", "-----BEGIN PRIVATE KEY-----\nsecret!\n-----END PRIVATE KEY-----\n");
        let other = authority.files("other", &["localhost"]);
        for (certificate, key, expected) in [
            (good.certificate.as_path(), Path::new("/nonexistent/key.pem"), "/nonexistent/key.pem can not be read"),
            (good.certificate.as_path(), garbage.as_path(), "garbage.pem can not be read: it is not valid PEM"),
            (good.key.as_path(), good.key.as_path(), "it holds no certificate"),
            (good.certificate.as_path(), other.key.as_path(), "the TLS files can not be used"),
        ] {
            let said = load_client_tls(&files(certificate, key)).unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
            assert!(!said.contains("secret"), "{said}");
        }
    }
}
