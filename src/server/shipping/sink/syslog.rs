//! Syslog (RFC 5424) over UDP (RFC 5426), TCP with octet counting (RFC 6587), TLS (RFC 5425) and sockets of this machine.
//!
//! The protocol has no acknowledgements. Over a stream pgveil makes one of the stream's end: it says that it has sent all
//! (half-closes the connection), and takes what it sent as received when the receiver has read to that end and closes too.
//! A receiver that dies before it has read everything resets the connection instead, and the batch is sent again.

mod message;

use std::io;
use std::path::Path;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket, UnixDatagram, UnixStream};
use tokio_rustls::TlsConnector;

use self::message::Header;
use super::{Delivery, Failure, SinkError, client_tls, with_causes};
use crate::config::{Confirmation, SyslogConfig, SyslogServer};
use crate::server::TlsError;
use crate::server::shipping::batch::Batch;

/// A receiver that answers at all does not speak syslog: it is not read to its end.
const ANSWER_BYTES_MAX: usize = 4096;

/// A syslog receiver.
pub(in crate::server::shipping) struct Syslog {
    config: SyslogConfig,
    header: Header,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    connection: Option<Connection>,
}

enum Connection {
    Udp(UdpSocket),
    Unix(UnixDatagram),
    Stream(Box<dyn Stream>),
}

/// A connection that messages follow each other on.
trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

impl Syslog {
    pub(super) fn new(config: &SyslogConfig) -> Result<Self, SinkError> {
        let tls = match &config.server {
            SyslogServer::Tls(address) => {
                let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
                let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
                    .map_err(|_| TlsError::HostName(host.to_owned()))?;
                Some((TlsConnector::from(client_tls(&config.tls)?), name))
            }
            SyslogServer::Udp(_) | SyslogServer::Tcp(_) | SyslogServer::Unix(_) => None,
        };
        let header = Header::new(config.facility, config.hostname.clone());
        Ok(Self { config: config.clone(), header, tls, connection: None })
    }

    pub(super) fn disconnect(&mut self) {
        self.connection = None;
    }

    pub(super) async fn deliver(&mut self, batch: &Batch) -> Delivery {
        // What comes before a message that is too long is sent; then it is its turn.
        let mut messages = Vec::with_capacity(batch.records.len());
        let mut refused = None;
        for record in &batch.records {
            let message = self.header.message(record);
            let (length, most) = (message.len(), self.config.message_bytes_max);
            if length > most {
                refused = Some(Failure::Refused(format!(
                    "its message has {length} bytes, and syslog.message_bytes_max is {most}"
                )));
                break;
            }
            messages.push(message);
        }
        if messages.is_empty() {
            return Delivery { acknowledged: 0, failure: refused };
        }
        match self.send(&messages).await {
            Ok(acknowledged) if acknowledged == messages.len() => Delivery { acknowledged, failure: refused },
            Ok(acknowledged) => {
                let reason = Failure::Refused("the system does not take so long a datagram".to_owned());
                Delivery::partial(acknowledged, reason)
            }
            Err(error) => {
                self.connection = None;
                Delivery::unavailable(format!("{}: {}", self.place(), with_causes(&error)))
            }
        }
    }

    /// Send them; how many are acknowledged: all, or those before a datagram that is too long for the system.
    async fn send(&mut self, messages: &[Vec<u8>]) -> io::Result<usize> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        match self.connection.insert(connection) {
            Connection::Udp(socket) => {
                for (sent, message) in messages.iter().enumerate() {
                    match socket.send(message).await {
                        Ok(_) => {}
                        Err(error) if is_too_long(&error) => return Ok(sent),
                        Err(error) => return Err(error),
                    }
                }
            }
            Connection::Unix(socket) => {
                for (sent, message) in messages.iter().enumerate() {
                    match socket.send(message).await {
                        Ok(_) => {}
                        Err(error) if is_too_long(&error) => return Ok(sent),
                        Err(error) => return Err(error),
                    }
                }
            }
            Connection::Stream(stream) => {
                let mut bytes = Vec::new();
                for message in messages {
                    bytes.extend_from_slice(format!("{} ", message.len()).as_bytes());
                    bytes.extend_from_slice(message);
                }
                stream.write_all(&bytes).await?;
                stream.flush().await?;
                match self.config.confirm {
                    Confirmation::Sent => {}
                    Confirmation::Close => {
                        confirm(stream).await?;
                        self.connection = None;
                    }
                }
            }
        }
        Ok(messages.len())
    }

    async fn connect(&self) -> io::Result<Connection> {
        Ok(match &self.config.server {
            SyslogServer::Udp(address) => {
                let mut failure = io::Error::from(io::ErrorKind::NotFound);
                for address in tokio::net::lookup_host(address).await? {
                    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                    let socket = UdpSocket::bind(any).await?;
                    match socket.connect(address).await {
                        Ok(()) => return Ok(Connection::Udp(socket)),
                        Err(error) => failure = error,
                    }
                }
                return Err(failure);
            }
            SyslogServer::Tcp(address) => Connection::Stream(Box::new(tcp(address).await?)),
            SyslogServer::Tls(address) => {
                let stream = tcp(address).await?;
                let Some((connector, name)) = &self.tls else { return Err(io::ErrorKind::Unsupported.into()) };
                Connection::Stream(Box::new(connector.connect(name.clone(), stream).await?))
            }
            SyslogServer::Unix(path) => unix(path).await?,
        })
    }

    fn place(&self) -> String {
        match &self.config.server {
            SyslogServer::Udp(address) => format!("syslog udp://{address}"),
            SyslogServer::Tcp(address) => format!("syslog tcp://{address}"),
            SyslogServer::Tls(address) => format!("syslog tls://{address}"),
            SyslogServer::Unix(path) => format!("syslog {}", path.display()),
        }
    }
}

async fn tcp(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// As the C library does with `/dev/log`: datagrams, and where the socket is not of that kind, a stream.
async fn unix(path: &Path) -> io::Result<Connection> {
    let socket = UnixDatagram::unbound()?;
    match socket.connect(path) {
        Ok(()) => Ok(Connection::Unix(socket)),
        // EPROTOTYPE: it is a stream's.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PROTOTYPE.raw_os_error()) => {
            Ok(Connection::Stream(Box::new(UnixStream::connect(path).await?)))
        }
        Err(error) => Err(error),
    }
}

/// EMSGSIZE.
fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error())
}

/// Say that nothing more comes, and wait until the receiver has read that.
async fn confirm(stream: &mut Box<dyn Stream>) -> io::Result<()> {
    stream.shutdown().await?;
    let mut answer = [0; ANSWER_BYTES_MAX];
    match stream.read(&mut answer).await {
        Ok(0) => Ok(()),
        // Many do not take leave by TLS's own rules. The receiver has closed, and without a reset: it had read everything.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
        Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "the receiver answers, as none of syslog does")),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Facility, RootCertificates, SinkTls};
    use crate::server::shipping::fixtures::{batch, run};
    use tokio::net::TcpListener;

    fn config(server: SyslogServer, confirm: Confirmation) -> SyslogConfig {
        SyslogConfig {
            server,
            facility: Facility::Audit,
            hostname: Some("here".into()),
            confirm,
            message_bytes_max: 8192,
            tls: SinkTls { roots: RootCertificates::System, client_certificate: None },
        }
    }

    /// What a receiver does with a connection.
    #[derive(Clone, Copy)]
    enum Receiver {
        ReadsAll,
        ReadsSomeAndDies,
        Answers,
    }

    fn attempt(receiver: Receiver) -> (Delivery, Vec<u8>) {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let server = SyslogServer::Tcp(listener.local_addr().unwrap().to_string());
            let mut syslog = Syslog::new(&config(server, Confirmation::Close)).unwrap();
            let receive = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = Vec::new();
                match receiver {
                    Receiver::ReadsAll => {
                        stream.read_to_end(&mut bytes).await.unwrap();
                    }
                    Receiver::ReadsSomeAndDies => {
                        stream.read_exact(&mut [0; 10]).await.unwrap();
                    }
                    Receiver::Answers => stream.write_all(b"HTTP/1.1 400 Bad Request\r\n").await.unwrap(),
                }
                bytes
            };
            let batch = batch("log", 1..4);
            tokio::join!(syslog.deliver(&batch), receive)
        })
    }

    #[test]
    fn a_batch_is_acknowledged_when_the_receiver_has_read_it_to_its_end() {
        let (delivery, bytes) = attempt(Receiver::ReadsAll);
        assert_eq!(delivery, Delivery::complete(3));
        let text = String::from_utf8(bytes).unwrap();
        let (count, rest) = text.split_once(' ').unwrap();
        assert!(rest.starts_with("<110>1 ") && rest[count.parse::<usize>().unwrap()..].contains(" <110>1 "), "{text}");
        for receiver in [Receiver::ReadsSomeAndDies, Receiver::Answers] {
            let (Delivery { acknowledged, failure }, _) = attempt(receiver);
            assert!(acknowledged == 0 && matches!(failure, Some(Failure::Unavailable(_))), "{failure:?}");
        }
    }

    #[test]
    fn what_is_longer_than_allowed_is_refused_after_what_comes_before_it() {
        run(async {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let server = SyslogServer::Udp(socket.local_addr().unwrap().to_string());
            let mut syslog =
                Syslog::new(&SyslogConfig { message_bytes_max: 480, ..config(server, Confirmation::Close) }).unwrap();
            let mut batch = batch("log", 1..4);
            batch.records[1].line = format!("{{\"seq\":2,\"x\":\"{}\"}}", "x".repeat(480)).into();
            let Delivery { acknowledged, failure } = syslog.deliver(&batch).await;
            assert!(acknowledged == 1 && matches!(failure, Some(Failure::Refused(_))), "{failure:?}");
            batch.records.remove(0);
            let Delivery { acknowledged, failure } = syslog.deliver(&batch).await;
            assert!(acknowledged == 0 && matches!(failure, Some(Failure::Refused(_))), "{failure:?}");
            let mut bytes = [0; 1000];
            let length = socket.recv(&mut bytes).await.unwrap();
            assert!(bytes[..length].starts_with(b"<110>1 "));
        });
    }

    #[test]
    fn a_socket_of_this_machine_may_be_of_either_kind() {
        let scratch = crate::server::shipping::fixtures::Scratch::new();
        run(async {
            let (datagrams, streams) = (scratch.path("datagrams"), scratch.path("streams"));
            let receiver = UnixDatagram::bind(&datagrams).unwrap();
            let listener = tokio::net::UnixListener::bind(&streams).unwrap();
            let batch = batch("log", 1..2);
            let mut syslog = Syslog::new(&config(SyslogServer::Unix(datagrams), Confirmation::Close)).unwrap();
            assert_eq!(syslog.deliver(&batch).await, Delivery::complete(1));
            assert!(receiver.recv(&mut [0; 1000]).await.unwrap() > 10);
            let mut syslog = Syslog::new(&config(SyslogServer::Unix(streams), Confirmation::Close)).unwrap();
            let receive = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = Vec::new();
                stream.read_to_end(&mut bytes).await.unwrap()
            };
            let (delivery, length) = tokio::join!(syslog.deliver(&batch), receive);
            assert!(delivery == Delivery::complete(1) && length > 10);
        });
    }
}
