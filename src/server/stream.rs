//! One end of a session as a byte stream: plain or TLS, TCP or Unix socket.

pub(super) mod lane;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::config::TcpConfig;
use crate::login::EndPoint;

/// A connection to a client or to the server. One enum instead of a boxed trait object: reads and writes of a plain
/// connection cost no indirection.
pub enum Stream {
    /// TCP without TLS.
    Tcp(TcpStream),
    /// A Unix socket to the server.
    Unix(UnixStream),
    /// TLS, pgveil being its server.
    Accepted(Box<tokio_rustls::server::TlsStream<TcpStream>>),
    /// TLS, pgveil being its client.
    Connected(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    /// A handshake has it, or it failed there: reads its end, takes no bytes.
    Gone,
}

impl Stream {
    /// Whether what goes over it is encrypted.
    pub fn is_tls(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) | Self::Gone => false,
            Self::Accepted(_) | Self::Connected(_) => true,
        }
    }

    /// What a connection to the server ends at, if it is encrypted and a login can be bound to it.
    pub(super) fn end_point(&self) -> Option<EndPoint> {
        match self {
            Self::Tcp(_) | Self::Unix(_) | Self::Gone | Self::Accepted(_) => None,
            Self::Connected(stream) => {
                let (_, connection) = stream.get_ref();
                connection.peer_certificates().and_then(<[_]>::first).and_then(super::tls::end_point)
            }
        }
    }
}

/// Send small messages at once, and find out about dead peers.
///
/// Where no `TCP_USER_TIMEOUT` is set, a peer that is alive but does not read is left alone: Linux applies it to these
/// too, and a client that looks at a large result page by page does just that.
///
/// # Errors
/// The operating system's: the connection is gone already.
pub(super) fn tune(stream: &TcpStream, tcp: &TcpConfig) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(tcp.keepalives_idle)
        .with_interval(tcp.keepalives_interval)
        .with_retries(tcp.keepalives_count);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(tcp.user_timeout)
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Accepted(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Connected(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Accepted(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Connected(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Accepted(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Connected(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // the kernel has it all already
            Self::Tcp(_) | Self::Unix(_) | Self::Gone => Poll::Ready(Ok(())),
            Self::Accepted(stream) => Pin::new(stream).poll_flush(cx),
            Self::Connected(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Accepted(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Connected(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}
