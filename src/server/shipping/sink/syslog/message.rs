//! One record as a syslog message (RFC 5424 section 6).

use std::fmt::Write as _;

use crate::config::Facility;
use crate::server::shipping::batch::Record;

/// Severity "informational" (RFC 5424 section 6.2.1).
const SEVERITY: u8 = 6;
/// Characters of a MSGID.
const MESSAGE_ID_MAX: usize = 32;
/// The greatest `sequenceId` (RFC 5424 section 7.3.1); after it comes 1.
const SEQUENCE_MAX: u64 = 2_147_483_647;

/// What the messages of this process have in common.
pub(super) struct Header {
    priority: u8,
    hostname: String,
    process: u32,
}

impl Header {
    pub(super) fn new(facility: Facility, hostname: Option<String>) -> Self {
        let own = || rustix::system::uname().nodename().to_str().ok().map(str::to_owned);
        let printable =
            |name: &String| !name.is_empty() && name.len() <= 255 && name.bytes().all(|b| b.is_ascii_graphic());
        let hostname = hostname.or_else(own).filter(printable).unwrap_or_else(|| "-".to_owned());
        Self { priority: facility.code() * 8 + SEVERITY, hostname, process: std::process::id() }
    }

    /// Its message is the record's line, byte for byte; without a byte order mark, which no reader of JSON expects (section
    /// 6.4: MSG-ANY).
    pub(super) fn message(&self, record: &Record) -> Vec<u8> {
        let Self { priority, hostname, process } = self;
        let time = record.time().map_or_else(|| "-".to_owned(), |time| format!("{time:.6}"));
        let sequence = record.seq.saturating_sub(1) % SEQUENCE_MAX + 1;
        let kind = record.kind();
        let kind = message_id(&kind);
        let mut text = String::with_capacity(record.line.len() + 128);
        // Writing to a String does not fail.
        let _written = write!(
            text,
            "<{priority}>1 {time} {hostname} pgveil {process} {kind} [meta sequenceId=\"{sequence}\"] {}",
            record.line
        );
        text.into_bytes()
    }
}

/// The record's kind, where it can stand there.
fn message_id(kind: &str) -> &str {
    let fits = !kind.is_empty() && kind.len() <= MESSAGE_ID_MAX && kind.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { kind } else { "-" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(seq: u64, line: &str) -> String {
        let header = Header { priority: 110, hostname: "db1".into(), process: 42 };
        String::from_utf8(header.message(&Record { seq, line: line.into() })).unwrap()
    }

    #[test]
    fn a_record_is_a_message_with_its_time_kind_number_and_line() {
        let line = r#"{"seq":7,"time":"2026-11-21T09:05:04.000123Z","kind":"reveal","user":"zoë"}"#;
        assert_eq!(
            shown(7, line),
            format!("<110>1 2026-11-21T09:05:04.000123Z db1 pgveil 42 reveal [meta sequenceId=\"7\"] {line}")
        );
        for (seq, line, head) in [
            (0, "{}", "<110>1 - db1 pgveil 42 - [meta sequenceId=\"1\"] {}"),
            (2_147_483_648, "{}", "<110>1 - db1 pgveil 42 - [meta sequenceId=\"1\"] {}"),
            (2, r#"{"kind":"a b"}"#, r#"<110>1 - db1 pgveil 42 - [meta sequenceId="2"] {"kind":"a b"}"#),
        ] {
            assert_eq!(shown(seq, line), head);
        }
    }

    #[test]
    fn the_host_s_own_name_can_stand_in_a_message() {
        let header = Header::new(Facility::Local7, None);
        assert_eq!(header.priority, 190);
        assert!(header.hostname.bytes().all(|byte| byte.is_ascii_graphic()) && !header.hostname.is_empty());
    }
}
