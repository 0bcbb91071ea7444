//! Connections to the server: TCP or Unix socket, and TLS before the first message.
//!
//! (PostgreSQL manual, section 55.2.10 "SSL Session Encryption".)

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::stream::{Stream, tune};
use super::tls::TlsError;
use super::tls::upstream::{Encryption, load_upstream_tls};
use crate::config::{TcpConfig, UpstreamConfig};

/// SSLRequest: a length of 8 and the code 80877103.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// The server, ready to be connected to.
#[derive(Debug)]
pub struct Upstream {
    address: Address,
    encryption: Encryption,
    connect_timeout: Duration,
    tcp: TcpConfig,
}

#[derive(Debug)]
enum Address {
    Tcp {
        host: String,
        port: u16,
        /// The host as certificates name it; `None`: TLS is not used.
        name: Option<ServerName<'static>>,
    },
    Unix(PathBuf),
}

/// Why the server can not be reached. Shown to clients: names neither addresses nor what the server said before it was
/// known to be the server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The host's name means nothing.
    #[error("the server's host name can not be resolved")]
    Resolve(#[source] io::Error),
    /// No connection.
    #[error("the server does not accept connections ({})", .0.kind())]
    Connect(#[source] io::Error),
    /// The connection broke while TLS was negotiated.
    #[error("the server closed the connection while TLS was negotiated")]
    Negotiation(#[source] io::Error),
    /// The server has no TLS, and the mode requires it.
    #[error("the server offers no TLS, but sslmode requires it")]
    TlsRefused,
    /// The server answered SSLRequest with an error message. It is not shown: anybody in between could have written it.
    #[error("the server answered the request for TLS with an error")]
    TlsError,
    /// The server answered SSLRequest with something else.
    #[error("the server answered the request for TLS with something that is no answer to it")]
    TlsAnswer,
    /// There were bytes after the server's answer that are not encrypted: somebody in between put them there
    /// (CVE-2021-23222).
    #[error("the server sent unencrypted bytes after it had agreed to TLS")]
    BytesBeforeTls,
    /// The TLS handshake failed; most often the certificate is not believed.
    #[error("the TLS handshake with the server failed")]
    Handshake(#[source] io::Error),
    /// It took too long.
    #[error("the server did not answer in time")]
    Timeout,
}

impl Upstream {
    /// Prepare connections: read the TLS files, check the host's name. A host that starts with `/` is the directory of a
    /// Unix socket, where TLS is never used, as in libpq.
    ///
    /// # Errors
    /// The TLS files are wrong or do not go with the mode.
    pub fn new(config: &UpstreamConfig) -> Result<Self, TlsError> {
        let encryption = load_upstream_tls(config)?;
        let address = if config.host.starts_with('/') {
            Address::Unix(PathBuf::from(format!("{}/.s.PGSQL.{}", config.host, config.port)))
        } else {
            let name = match encryption {
                Encryption::None => None,
                Encryption::Preferred(_) | Encryption::Required(_) => Some(
                    ServerName::try_from(config.host.clone()).map_err(|_| TlsError::HostName(config.host.clone()))?,
                ),
            };
            Address::Tcp { host: config.host.clone(), port: config.port, name }
        };
        Ok(Self { address, encryption, connect_timeout: config.connect_timeout, tcp: config.tcp })
    }

    /// Connect, with TLS as configured, within the configured time. Nothing of PostgreSQL's startup is sent.
    ///
    /// # Errors
    /// See [`ConnectError`]; its sources are for the operator's log.
    pub async fn connect(&self) -> Result<Stream, ConnectError> {
        tokio::time::timeout(self.connect_timeout, self.establish()).await.unwrap_or(Err(ConnectError::Timeout))
    }

    async fn establish(&self) -> Result<Stream, ConnectError> {
        let (host, port, name) = match &self.address {
            Address::Tcp { host, port, name } => (host, *port, name),
            Address::Unix(path) => {
                return UnixStream::connect(path).await.map(Stream::Unix).map_err(ConnectError::Connect);
            }
        };
        let stream = connect_tcp(host, port).await?;
        tune(&stream, &self.tcp).map_err(ConnectError::Connect)?;
        let (config, required) = match &self.encryption {
            Encryption::None => return Ok(Stream::Tcp(stream)),
            Encryption::Preferred(config) => (config, false),
            Encryption::Required(config) => (config, true),
        };
        let Some(name) = name else {
            return Err(ConnectError::TlsRefused);
        };
        let mut stream = stream;
        if !negotiate(&mut stream).await? {
            return if required { Err(ConnectError::TlsRefused) } else { Ok(Stream::Tcp(stream)) };
        }
        let stream = TlsConnector::from(config.clone()).connect(name.clone(), stream).await;
        stream.map(|stream| Stream::Connected(Box::new(stream))).map_err(ConnectError::Handshake)
    }
}

async fn connect_tcp(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(ConnectError::Resolve)?;
    let mut failure = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = Some(error),
        }
    }
    Err(match failure {
        Some(error) => ConnectError::Connect(error),
        None => ConnectError::Resolve(io::ErrorKind::NotFound.into()),
    })
}

/// Ask for TLS; whether the server agrees.
async fn negotiate(stream: &mut TcpStream) -> Result<bool, ConnectError> {
    stream.write_all(&SSL_REQUEST).await.map_err(ConnectError::Negotiation)?;
    // room for two: a second byte would have been sent by somebody who can not encrypt. One that comes later is read as
    // the handshake's, and breaks it.
    let mut answer = [0; 2];
    let length = stream.read(&mut answer).await.map_err(ConnectError::Negotiation)?;
    match (length, answer) {
        (0, _) => Err(ConnectError::Negotiation(io::ErrorKind::UnexpectedEof.into())),
        (1, [b'S', _]) => Ok(true),
        (1, [b'N', _]) => Ok(false),
        (_, [b'E', _]) => Err(ConnectError::TlsError),
        (1, _) => Err(ConnectError::TlsAnswer),
        (_, _) => Err(ConnectError::BytesBeforeTls),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClientCertificate, ClientTlsConfig, RootCertificates, SslMode};
    use crate::server::tls;
    use crate::server::tls::fixtures::Authority;
    use tokio::net::TcpListener;

    /// What a server does after SSLRequest.
    enum Script<'a> {
        /// Says this and waits.
        Say(&'a [u8]),
        /// Agrees to TLS with this certificate, then echoes five bytes.
        Tls(&'a ClientCertificate),
    }

    fn config(port: u16, sslmode: SslMode, root: Option<PathBuf>) -> UpstreamConfig {
        UpstreamConfig {
            host: "127.0.0.1".into(),
            port,
            sslmode,
            sslrootcert: root.map(RootCertificates::File),
            client_certificate: None,
            connect_timeout: Duration::from_secs(5),
            tcp: TcpConfig::default(),
        }
    }

    async fn serve(listener: TcpListener, script: Script<'_>) -> Option<std::sync::Arc<str>> {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 8];
        stream.read_exact(&mut request).await.unwrap();
        assert_eq!(request, SSL_REQUEST);
        match script {
            Script::Say(answer) => {
                stream.write_all(answer).await.unwrap();
                let _gone = stream.read(&mut [0; 64]).await;
                None
            }
            Script::Tls(own) => {
                let files = ClientTlsConfig {
                    certificate: own.certificate.clone(),
                    key: own.key.clone(),
                    client_ca: own.certificate.parent().map(|directory| directory.join("root.pem")),
                    required: false,
                };
                let acceptor = tls::load_client_tls(&files).unwrap();
                stream.write_all(b"S").await.unwrap();
                let Ok((mut stream, tls)) = tls::accept(acceptor, stream, None).await else {
                    return None;
                };
                let mut bytes = [0; 5];
                if stream.read_exact(&mut bytes).await.is_ok() {
                    stream.write_all(&bytes).await.unwrap();
                    stream.flush().await.unwrap();
                }
                tls.common_name
            }
        }
    }

    fn run<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    /// Connect to a server of this script; for TLS, five bytes must come back.
    fn attempt(script: Script<'_>, config: impl FnOnce(u16) -> UpstreamConfig) -> Result<bool, ConnectError> {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let upstream = Upstream::new(&config(listener.local_addr().unwrap().port())).unwrap();
            let client = async {
                let mut stream = upstream.connect().await?;
                if stream.is_tls() {
                    stream.write_all(b"hello").await.unwrap();
                    stream.flush().await.unwrap();
                    let mut bytes = [0; 5];
                    stream.read_exact(&mut bytes).await.unwrap();
                    assert_eq!(&bytes, b"hello");
                }
                Ok(stream.is_tls())
            };
            tokio::join!(client, serve(listener, script)).0
        })
    }

    #[test]
    fn what_the_server_answers_to_the_request_for_tls_decides_with_the_mode() {
        use SslMode::{Prefer, Require};
        let refused = |outcome: Result<bool, ConnectError>| outcome.map_err(|error| error.to_string());
        for (mode, answer, expected) in [
            (Prefer, &b"N"[..], Ok(false)),
            (Require, b"N", Err(ConnectError::TlsRefused)),
            (Prefer, b"SS", Err(ConnectError::BytesBeforeTls)),
            (Require, b"S\x16\x03\x01", Err(ConnectError::BytesBeforeTls)),
            (Prefer, b"NR\0\0\0\x08\0\0\0\0", Err(ConnectError::BytesBeforeTls)),
            (Prefer, b"E", Err(ConnectError::TlsError)),
            (Prefer, b"EFATAL: who sends this?", Err(ConnectError::TlsError)),
            (Prefer, b"X", Err(ConnectError::TlsAnswer)),
        ] {
            let outcome = attempt(Script::Say(answer), |port| config(port, mode, None));
            assert_eq!(refused(outcome), refused(expected), "{mode:?} {answer:?}");
        }
    }

    #[test]
    fn certificates_are_verified_as_the_mode_says() {
        use SslMode::{Prefer, Require, VerifyCa, VerifyFull};
        let ours = Authority::new("ours");
        let theirs = Authority::new("theirs");
        let here = ours.files("here", &["127.0.0.1"]);
        let elsewhere = ours.files("elsewhere", &["db.example"]);
        let impostor = theirs.files("impostor", &["127.0.0.1"]);
        let common_name_only = ours.files("127.0.0.1", &[]);
        let own_root = ours.self_signed("own_root", &["127.0.0.1"]);
        for (mode, certificate, root, accepted) in [
            (Prefer, &impostor, None, true),
            (Require, &impostor, None, true),
            (Require, &own_root, None, true),
            (Require, &impostor, Some(ours.root()), false),
            (Prefer, &impostor, Some(ours.root()), false),
            (VerifyCa, &here, Some(ours.root()), true),
            (VerifyCa, &elsewhere, Some(ours.root()), true),
            (VerifyCa, &impostor, Some(ours.root()), false),
            (VerifyFull, &here, Some(ours.root()), true),
            (VerifyFull, &elsewhere, Some(ours.root()), false),
            (VerifyFull, &impostor, Some(ours.root()), false),
            (VerifyFull, &common_name_only, Some(ours.root()), true),
            (VerifyFull, &own_root, Some(own_root.certificate.clone()), true),
            (VerifyFull, &own_root, Some(ours.root()), false),
        ] {
            let outcome = attempt(Script::Tls(certificate), |port| config(port, mode, root.clone()));
            match outcome {
                Ok(tls) => assert!(tls && accepted, "{mode:?} {certificate:?} was accepted"),
                Err(ConnectError::Handshake(error)) => assert!(!accepted, "{mode:?} {certificate:?}: {error}"),
                Err(error) => panic!("{mode:?} {certificate:?}: {error}"),
            }
        }
    }

    #[test]
    fn the_server_sees_our_certificate_and_whose_it_is() {
        let authority = Authority::new("ours");
        let server = authority.files("server", &["127.0.0.1"]);
        let own = authority.files("pgveil", &[]);
        let name = run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut config = config(listener.local_addr().unwrap().port(), SslMode::Require, None);
            config.client_certificate = Some(own);
            let upstream = Upstream::new(&config).unwrap();
            let client = async {
                let mut stream = upstream.connect().await.unwrap();
                stream.write_all(b"hello").await.unwrap();
                stream.flush().await.unwrap();
                stream.read_exact(&mut [0; 5]).await.unwrap();
            };
            tokio::join!(client, serve(listener, Script::Tls(&server))).1
        });
        assert_eq!(name.as_deref(), Some("pgveil"));
    }

    #[test]
    fn a_server_that_says_nothing_is_given_up_in_time() {
        let outcome = attempt(Script::Say(b""), |port| UpstreamConfig {
            connect_timeout: Duration::from_millis(50),
            ..config(port, SslMode::Prefer, None)
        });
        assert!(matches!(outcome, Err(ConnectError::Timeout)), "{outcome:?}");
    }

    #[test]
    fn modes_that_verify_need_something_to_verify_with() {
        let with = |mode, root| Upstream::new(&UpstreamConfig { sslrootcert: root, ..config(1, mode, None) });
        assert!(matches!(with(SslMode::VerifyFull, None), Err(TlsError::RootMissing("verify-full"))));
        assert!(matches!(with(SslMode::VerifyCa, None), Err(TlsError::RootMissing("verify-ca"))));
        assert!(matches!(
            with(SslMode::VerifyCa, Some(RootCertificates::System)),
            Err(TlsError::SystemRootsNeedVerifyFull)
        ));
    }
}
