//! TLS with the server: whether its certificate is verified, and how (libpq's `sslmode`, `sslrootcert`, `sslcert`).
//!
//! (PostgreSQL manual, section 34.19 "SSL Support".)

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::{ClientCertificate, RootCertificates, SslMode, UpstreamConfig};

use super::{TlsError, provider, read_certificates, read_key, read_roots};

/// How connections to the server are encrypted.
#[derive(Clone, Debug)]
pub(in crate::server) enum Encryption {
    /// Not.
    None,
    /// If the server can.
    Preferred(Arc<rustls::ClientConfig>),
    /// Always.
    Required(Arc<rustls::ClientConfig>),
}

/// Read the files.
///
/// # Errors
/// A file is missing or wrong, or the mode does not go with the roots.
pub(in crate::server) fn load_upstream_tls(upstream: &UpstreamConfig) -> Result<Encryption, TlsError> {
    if upstream.sslmode == SslMode::Disable {
        return Ok(Encryption::None);
    }
    let trust = match &upstream.sslrootcert {
        Some(RootCertificates::File(path)) => {
            let (roots, pinned) = read_roots(path)?;
            Trust::Roots { roots, pinned }
        }
        Some(RootCertificates::System) if upstream.sslmode != SslMode::VerifyFull => {
            return Err(TlsError::SystemRootsNeedVerifyFull);
        }
        Some(RootCertificates::System) => Trust::Roots { roots: system_roots()?, pinned: Vec::new() },
        None if matches!(upstream.sslmode, SslMode::VerifyCa | SslMode::VerifyFull) => {
            return Err(TlsError::RootMissing(mode_name(upstream.sslmode)));
        }
        None => Trust::Anybody,
    };
    let verifier = Verifier { trust, names: upstream.sslmode == SslMode::VerifyFull, provider: provider() };
    let config = client_config(verifier, upstream.client_certificate.as_ref())?;
    Ok(if upstream.sslmode == SslMode::Prefer { Encryption::Preferred(config) } else { Encryption::Required(config) })
}

/// TLS with a peer whose certificate has to lead to one of these authorities and to be the host's.
///
/// # Errors
/// A file is missing or wrong.
pub(in crate::server) fn load_verified_tls(
    roots: &RootCertificates,
    own: Option<&ClientCertificate>,
) -> Result<Arc<rustls::ClientConfig>, TlsError> {
    let (roots, pinned) = match roots {
        RootCertificates::File(path) => read_roots(path)?,
        RootCertificates::System => (system_roots()?, Vec::new()),
    };
    client_config(Verifier { trust: Trust::Roots { roots, pinned }, names: true, provider: provider() }, own)
}

fn client_config(verifier: Verifier, own: Option<&ClientCertificate>) -> Result<Arc<rustls::ClientConfig>, TlsError> {
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => builder
            .with_client_auth_cert(read_certificates("the certificate file", &own.certificate)?, read_key(&own.key)?)?,
    };
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// As in a connection string.
fn mode_name(mode: SslMode) -> &'static str {
    match mode {
        SslMode::Disable => "disable",
        SslMode::Prefer => "prefer",
        SslMode::Require => "require",
        SslMode::VerifyCa => "verify-ca",
        SslMode::VerifyFull => "verify-full",
    }
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(loaded.certs);
    if added == 0 {
        let reason = loaded.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(TlsError::SystemRoots(reason));
    }
    Ok(roots)
}

#[derive(Debug)]
enum Trust {
    /// As libpq without a root certificate: against listeners, not against impostors.
    Anybody,
    Roots {
        roots: RootCertStore,
        /// The same, to be compared whole.
        pinned: Vec<CertificateDer<'static>>,
    },
}

/// Verifies as libpq does.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    names: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (roots, pinned) = match &self.trust {
            Trust::Anybody => return Ok(ServerCertVerified::assertion()),
            Trust::Roots { roots, pinned } => (roots, pinned),
        };
        if pinned.contains(end_entity) {
            // a self-signed certificate that is its own root, as the manual teaches; it may call itself an authority,
            // which a chain must not end in
            in_time(end_entity, now)?;
        } else {
            let algorithms = self.provider.signature_verification_algorithms.all;
            let parsed = ParsedCertificate::try_from(end_entity)?;
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms)?;
        }
        if self.names {
            matches_name(end_entity, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.allow_unreadable(verify_tls12_signature(message, certificate, signature, algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.allow_unreadable(verify_tls13_signature(message, certificate, signature, algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl Verifier {
    /// Where anybody is believed, a certificate that is too old in form to be read (X.509 version 1, as old instructions
    /// make them) is no worse than another; a signature that is wrong always is.
    fn allow_unreadable(
        &self,
        verified: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        match (&self.trust, verified) {
            (Trust::Anybody, Err(Error::InvalidCertificate(fault))) if fault != CertificateError::BadSignature => {
                Ok(HandshakeSignatureValid::assertion())
            }
            (Trust::Anybody | Trust::Roots { .. }, verified) => verified,
        }
    }
}

fn in_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < certificate.validity().not_before.timestamp() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > certificate.validity().not_after.timestamp() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

/// The certificate is for this host: by its alternative names or, if it has none of hosts and addresses, by its common
/// name, as libpq and unlike the web.
fn matches_name(end_entity: &CertificateDer<'_>, server_name: &ServerName<'_>) -> Result<(), Error> {
    let alternative =
        ParsedCertificate::try_from(end_entity).and_then(|parsed| verify_server_name(&parsed, server_name));
    let Err(fault) = alternative else {
        return Ok(());
    };
    let (_, certificate) = X509Certificate::from_der(end_entity).map_err(|_| CertificateError::BadEncoding)?;
    let names = certificate.subject_alternative_name().map_err(|_| CertificateError::BadEncoding)?;
    let has_names = names.is_some_and(|names| {
        names.value.general_names.iter().any(|name| matches!(name, GeneralName::DNSName(_) | GeneralName::IPAddress(_)))
    });
    let common_name = super::common_name(end_entity);
    match common_name {
        Some(common_name) if !has_names && common_name_matches(&common_name, server_name) => Ok(()),
        Some(_) | None => Err(fault),
    }
}

fn common_name_matches(common_name: &str, server_name: &ServerName<'_>) -> bool {
    match server_name {
        ServerName::DnsName(host) => {
            let host = host.as_ref();
            match common_name.strip_prefix('*') {
                // one label, the first, and never the whole of a name without dots
                Some(suffix) if suffix.starts_with('.') => host.split_once('.').is_some_and(|(first, rest)| {
                    !first.is_empty() && suffix.strip_prefix('.').is_some_and(|s| s.eq_ignore_ascii_case(rest))
                }),
                Some(_) => false,
                None => common_name.eq_ignore_ascii_case(host),
            }
        }
        ServerName::IpAddress(address) => {
            common_name.parse::<IpAddr>().is_ok_and(|named| named == IpAddr::from(*address))
        }
        _ => false,
    }
}
