//! What pgveil itself says, encoded by pgwire's message types.

use bytes::{Bytes, BytesMut};
use pgwire::error::ErrorInfo;
use pgwire::messages::Message;
use pgwire::messages::extendedquery::{Bind, Parse};
use pgwire::messages::response::ErrorResponse;
use pgwire::messages::simplequery::Query;

/// Encode a message that pgveil built itself. pgwire's encoders of these messages can not fail.
fn frame(message: &impl Message) -> Bytes {
    let mut out = BytesMut::new();
    match message.encode(&mut out) {
        Ok(()) => out.freeze(),
        Err(_) => Bytes::new(),
    }
}

/// An error for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorText<'a> {
    /// `ERROR` or `FATAL`.
    pub severity: &'static str,
    /// SQLSTATE.
    pub code: &'a str,
    /// The message.
    pub message: &'a str,
    /// DETAIL.
    pub detail: Option<&'a str>,
    /// HINT.
    pub hint: Option<&'a str>,
}

/// An ErrorResponse frame.
pub fn error_response(text: &ErrorText<'_>) -> Bytes {
    let mut info = ErrorInfo::new(text.severity.to_owned(), text.code.to_owned(), text.message.to_owned());
    info.severity_nonlocalized = Some(text.severity.to_owned());
    info.detail = text.detail.map(str::to_owned);
    info.hint = text.hint.map(str::to_owned);
    frame(&ErrorResponse::from(info))
}

/// An ErrorResponse frame of severity ERROR.
pub fn error(code: &str, message: &str, hint: &str) -> Bytes {
    error_response(&ErrorText { severity: "ERROR", code, message, detail: None, hint: Some(hint) })
}

/// An ErrorResponse (or, for `notice`, NoticeResponse) frame with these fields. They are bytes in the client's encoding,
/// which pgwire's text fields could not hold unchanged.
pub fn report(fields: &[(u8, &[u8])], notice: bool) -> Bytes {
    let mut body = BytesMut::new();
    for (code, value) in fields {
        body.extend_from_slice(&[*code]);
        body.extend_from_slice(value);
        body.extend_from_slice(&[0]);
    }
    body.extend_from_slice(&[0]);
    raw(if notice { b'N' } else { b'E' }, &body)
}

/// A frame around a body that was put together here.
pub fn raw(tag: u8, body: &[u8]) -> Bytes {
    let length = u32::try_from(body.len().saturating_add(4)).unwrap_or(u32::MAX);
    let mut out = BytesMut::with_capacity(body.len().saturating_add(5));
    out.extend_from_slice(&[tag]);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(body);
    out.freeze()
}

/// A NegotiateProtocolVersion frame.
pub fn negotiate_protocol_version(version: u32, options: &[&[u8]]) -> Bytes {
    let count = u32::try_from(options.len()).unwrap_or(u32::MAX);
    let mut body = [version.to_be_bytes(), count.to_be_bytes()].concat();
    for option in options {
        body.extend_from_slice(option);
        body.push(0);
    }
    raw(b'v', &body)
}

/// AuthenticationSASL with these mechanisms.
pub fn sasl_offer<'a>(mechanisms: impl Iterator<Item = &'a [u8]>) -> Bytes {
    let mut body = 10_u32.to_be_bytes().to_vec();
    for name in mechanisms {
        body.extend_from_slice(name);
        body.push(0);
    }
    body.push(0);
    raw(b'R', &body)
}

/// AuthenticationSASLContinue.
pub fn sasl_continue(data: &str) -> Bytes {
    raw(b'R', &[&11_u32.to_be_bytes(), data.as_bytes()].concat())
}

/// AuthenticationSASLFinal.
pub fn sasl_final(data: &str) -> Bytes {
    raw(b'R', &[&12_u32.to_be_bytes(), data.as_bytes()].concat())
}

/// SASLInitialResponse.
pub fn sasl_initial_response(mechanism: &str, data: &str) -> Bytes {
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes();
    raw(b'p', &[mechanism.as_bytes(), b"\0", &length, data.as_bytes()].concat())
}

/// SASLResponse.
pub fn sasl_response(data: &str) -> Bytes {
    raw(b'p', data.as_bytes())
}

/// A FATAL error: the connection ends after it.
pub fn fatal(code: &str, message: &str, hint: Option<&str>) -> Bytes {
    error_response(&ErrorText { severity: "FATAL", code, message, detail: None, hint })
}

/// A Query frame.
pub fn query(text: &str) -> Bytes {
    frame(&Query::new(text.to_owned()))
}

/// A Parse frame without parameter types.
pub fn parse(name: &str, text: &str) -> Bytes {
    frame(&Parse::new(Some(name.to_owned()), text.to_owned(), Vec::new()))
}

/// A Parse frame of a client's text and parameter types (number and OIDs, as they came).
pub fn parse_of(name: &[u8], text: &[u8], types: &[u8]) -> Bytes {
    raw(b'P', &[name, b"\0", text, b"\0", types].concat())
}

/// A Close frame for a prepared statement.
pub fn close_statement(name: &[u8]) -> Bytes {
    raw(b'C', &[b"S", name, b"\0"].concat())
}

/// A Bind frame of a client for another statement; `rest`: what follows the names in it.
pub fn bind_of(portal: &[u8], statement: &[u8], rest: &[u8]) -> Bytes {
    raw(b'B', &[portal, b"\0", statement, b"\0", rest].concat())
}

/// A Bind frame without parameters.
pub fn bind(portal: &str, statement: &str) -> Bytes {
    frame(&Bind::new(Some(portal.to_owned()), Some(statement.to_owned()), Vec::new(), Vec::new(), Vec::new()))
}

/// A Describe frame for a portal. The name is the client's: bytes that are passed back unchanged.
pub fn describe_portal(name: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(name.len().saturating_add(2));
    body.extend_from_slice(b"P");
    body.extend_from_slice(name);
    body.extend_from_slice(&[0]);
    raw(b'D', &body)
}

/// Frames that ask for the description of a statement with this text and leave nothing behind: Close, Parse, Describe,
/// Close of a prepared statement of that name.
pub fn probe(name: &str, text: &[u8]) -> Bytes {
    let subject = [b"S", name.as_bytes(), &[0]].concat();
    let parse = [name.as_bytes(), &[0], text, &[0, 0, 0]].concat();
    let frames = [raw(b'C', &subject), raw(b'P', &parse), raw(b'D', &subject), raw(b'C', &subject)];
    frames.concat().into()
}

/// A CopyFail frame; the server quotes the reason in its error.
pub fn copy_fail(reason: &str) -> Bytes {
    raw(b'f', &[reason.as_bytes(), b"\0"].concat())
}

/// A Sync frame.
pub fn sync() -> Bytes {
    raw(b'S', b"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_messages_are_framed_as_the_protocol_says() {
        assert_eq!(&query("x")[..], b"Q\0\0\0\x06x\0");
        assert_eq!(&parse("", "x")[..], b"P\0\0\0\x09\0x\0\0\0");
        assert_eq!(&bind("p", "s")[..], b"B\0\0\0\x0ep\0s\0\0\0\0\0\0\0");
        assert_eq!(&describe_portal(b"p")[..], b"D\0\0\0\x07Pp\0");
        assert_eq!(&describe_portal(b"\xff")[..], b"D\0\0\0\x07P\xff\0");
        let error = error_response(&ErrorText {
            severity: "ERROR",
            code: "42501",
            message: "no",
            detail: None,
            hint: Some("ask"),
        });
        assert_eq!(&error[..], b"E\0\0\0\x23SERROR\0VERROR\0C42501\0Mno\0Hask\0\0");
    }
}
