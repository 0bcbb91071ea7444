//! One line of the access log: a JSON object with the fields of one record, in a fixed order.
//!
//! Names and the application name come from clients and catalogs: they are escaped by the JSON writer, so that no line
//! break in them starts a record of its own.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::chain::{Chain, Digest};
use super::checkpoint::{Attested, CheckpointReason, SigningKey};
use super::fields::*;
use super::mark::{Checkpoint, Mark};
use super::record::Record;

/// What sets a record apart from all others, of whatever kind it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// When the record was made. Written as of RFC 3339, UTC, with microseconds.
    pub time: Timestamp,
    /// Unique everywhere, so that a record that was sent twice is known.
    pub id: Uuid,
}

/// A line that can not be made.
#[derive(Debug, thiserror::Error)]
#[error("the record can not be written as JSON")]
pub struct Unwritable(#[from] serde_json::Error);

/// What every line begins with, and the fields of its kind behind that.
#[derive(Serialize)]
struct Line<Fields> {
    seq: u64,
    prev: Digest,
    time: String,
    id: Uuid,
    kind: &'static str,
    #[serde(flatten)]
    fields: Fields,
}

/// Append the line of a record, with its line feed, to the buffer and to the chain.
///
/// # Errors
/// JSON can not hold the record; nothing is appended.
pub fn push_record(buffer: &mut Vec<u8>, chain: &mut Chain, stamp: &Stamp, record: &Record) -> Result<(), Unwritable> {
    let kind = record.kind();
    match record {
        Record::Reveal(event) => push(buffer, chain, stamp, kind, RevealFields::from(event)),
        Record::Closing(closing) => push(buffer, chain, stamp, kind, CloseFields::from(closing)),
        Record::Entities(seen) => push(buffer, chain, stamp, kind, EntitiesFields::from(seen)),
        Record::Login(login) => push(buffer, chain, stamp, kind, LoginFields::from(login)),
        Record::LoginFailed(failed) => push(buffer, chain, stamp, kind, LoginFailedFields::from(failed)),
        Record::Logout(logout) => push(buffer, chain, stamp, kind, LogoutFields::from(logout)),
        Record::Refused(refused) => push(buffer, chain, stamp, kind, RefusalFields::from(refused)),
        Record::Filtered(filtered) => push(buffer, chain, stamp, kind, FilterFields::from(filtered)),
        Record::KeyUse(used) => push(buffer, chain, stamp, kind, KeyUseFields::from(used)),
        Record::Guard(event) => push(buffer, chain, stamp, kind, GuardFields::from(event)),
        Record::Reload(reload) => push(buffer, chain, stamp, kind, ReloadFields::from(reload)),
        Record::Administration(done) => push(buffer, chain, stamp, kind, AdminFields::from(done)),
        Record::Suppressed(suppressed) => push(buffer, chain, stamp, kind, SuppressedFields::from(suppressed)),
        Record::RevealStep(step) => push(buffer, chain, stamp, kind, GrantFields::from(step)),
        Record::ActorStep(step) => push(buffer, chain, stamp, kind, ActorFields::from(step)),
    }
}

/// Append the line of what the log says of itself, as [`push_record`] does.
///
/// # Errors
/// As there.
pub fn push_mark(buffer: &mut Vec<u8>, chain: &mut Chain, stamp: &Stamp, mark: &Mark) -> Result<(), Unwritable> {
    let kind = mark.kind();
    match mark {
        Mark::Segment(fields) => push(buffer, chain, stamp, kind, fields),
        Mark::Start(fields) => push(buffer, chain, stamp, kind, fields),
        Mark::Recovery(fields) => push(buffer, chain, stamp, kind, fields),
        Mark::Outage(fields) => push(buffer, chain, stamp, kind, fields),
        Mark::Key(fields) => push(buffer, chain, stamp, kind, fields),
        Mark::Retention(fields) => push(buffer, chain, stamp, kind, fields),
        Mark::Checkpoint(fields) => push(buffer, chain, stamp, kind, fields),
    }
}

/// Append a checkpoint of all that was appended before, as [`push_record`] does. Returns its note.
///
/// # Errors
/// As there.
pub fn push_checkpoint(
    buffer: &mut Vec<u8>,
    chain: &mut Chain,
    stamp: &Stamp,
    log: Uuid,
    reason: CheckpointReason,
    key: Option<&SigningKey>,
) -> Result<String, Unwritable> {
    let note = Attested { log, seq: chain.seq(), digest: chain.last(), stamp: *stamp, reason }.note(key);
    push_mark(buffer, chain, stamp, &Mark::Checkpoint(Checkpoint { note: note.clone() }))?;
    Ok(note)
}

fn push(
    buffer: &mut Vec<u8>,
    chain: &mut Chain,
    stamp: &Stamp,
    kind: &'static str,
    fields: impl Serialize,
) -> Result<(), Unwritable> {
    let before = buffer.len();
    let time = format!("{:.6}", stamp.time);
    let line = Line { seq: chain.next(), prev: chain.last(), time, id: stamp.id, kind, fields };
    if let Err(error) = serde_json::to_writer(&mut *buffer, &line) {
        buffer.truncate(before);
        return Err(error.into());
    }
    buffer.push(b'\n');
    chain.append(buffer.get(before..).unwrap_or_default());
    Ok(())
}

/// What every line begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// The record's number, from 1, without gaps.
    pub seq: u64,
    /// The digest of the line before it.
    pub prev: Digest,
    /// When, and its id.
    pub stamp: Stamp,
    /// What kind of record it is.
    pub kind: Cow<'a, str>,
}

/// A line that is no record.
#[derive(Debug, thiserror::Error)]
#[error("it is no record of this log's form")]
pub struct NotARecord;

impl<'a> Head<'a> {
    /// The head of a line, whose line feed may be there.
    ///
    /// # Errors
    /// It is no record.
    pub fn read(line: &'a [u8]) -> Result<Self, NotARecord> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            seq: u64,
            prev: Digest,
            time: &'a str,
            id: Uuid,
            #[serde(borrow)]
            kind: Cow<'a, str>,
        }
        let Fields { seq, prev, time, id, kind } = serde_json::from_slice(line).map_err(|_| NotARecord)?;
        let time = time.parse().map_err(|_| NotARecord)?;
        Ok(Self { seq, prev, stamp: Stamp { time, id }, kind })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::access_log::{AccessEvent, Action, Closing, GuardAction, GuardEvent, How, RevealedColumn, Visit};
    use crate::catalog::Name;

    fn visit() -> Arc<Visit> {
        Arc::new(Visit {
            session: 7,
            user: Name::exact("clerk"),
            actor: None,
            database: Name::exact("shop"),
            client: "[2001:db8::1]:50123".parse().unwrap(),
            application_name: Some("psql\n{\"kind\":\"reveal\"}".into()),
        })
    }

    fn event() -> AccessEvent {
        AccessEvent {
            visit: visit(),
            execution: 3,
            role: Some("billing".into()),
            rule: "shop.yaml:12".into(),
            column: Some(RevealedColumn {
                schema: Name::exact("public"),
                table: Name::exact("customer"),
                column: Name::exact("e\"mail"),
                tag: "email".into(),
            }),
            how: How::Clear,
            action: Action::View,
            fingerprint: 0x0012_3456_789a_bcde,
            rows: None,
            endpoint: None,
            tenant: None,
            entities: Vec::new(),
            grounds: None,
        }
    }

    fn line(record: impl Into<Record>) -> String {
        let time = "2026-11-21T09:05:04.000123Z".parse().unwrap();
        let id = Uuid::from_u128(0x0193_4b1f_0000_7000_8000_0000_0000_0001);
        let mut buffer = Vec::new();
        push_record(&mut buffer, &mut Chain::default(), &Stamp { time, id }, &record.into()).unwrap();
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn the_head_of_a_line_is_read_back() {
        let line = line(event());
        let head = Head::read(line.as_bytes()).unwrap();
        assert_eq!((head.seq, head.prev, &*head.kind), (1, Digest::NOTHING, "reveal"));
        assert_eq!(format!("{:.6}", head.stamp.time), "2026-11-21T09:05:04.000123Z");
        let twice = line.replacen("{\"seq\":1,", "{\"seq\":1,\"seq\":2,", 1);
        let blank = line.replacen("\"seq\":1,", "", 1);
        for wrong in ["", "\n", "{}\n", "half", &line[..50], &twice, &blank, &format!("{line}{line}")] {
            assert!(Head::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_have_microseconds_whatever_they_are() {
        assert_eq!(format!("{:.6}", Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn a_reveal_is_one_line_with_exactly_these_fields() {
        assert_eq!(
            line(event()),
            concat!(
                r#"{"seq":1,"prev":"0000000000000000000000000000000000000000000000000000000000000000","#,
                r#""time":"2026-11-21T09:05:04.000123Z","id":"01934b1f-0000-7000-8000-000000000001","kind":"reveal","#,
                r#""user":"clerk","actor":null,"role":"billing","rule":"shop.yaml:12","database":"shop","tenant":null,"#,
                r#""schema":"public","table":"customer","column":"e\"mail","tag":"email","how":"clear","#,
                r#""action":"view","fingerprint":"00123456789abcde","rows":null,"client_address":"2001:db8::1","#,
                r#""client_port":50123,"application_name":"psql\n{\"kind\":\"reveal\"}","session":7,"execution":3,"endpoint":null,"entities":[],"#,
                r#""grant":null,"reason":null}"#,
                "\n"
            )
        );
    }

    #[test]
    fn a_reveal_of_unknown_origin_names_no_column() {
        let line = line(AccessEvent { column: None, ..event() });
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        for field in ["schema", "table", "column", "tag"] {
            assert!(line.get(field).is_some_and(serde_json::Value::is_null), "{field}");
        }
        assert_eq!(line.get("kind").and_then(serde_json::Value::as_str), Some("reveal"));
    }

    #[test]
    fn what_the_guard_does_names_who_it_is_about_and_why() {
        let event = GuardEvent {
            action: GuardAction::Lock,
            limit: Some("rows".into()),
            rule: Some("p:3".into()),
            user: Some(Name::exact("clerk")),
            actor: None,
            client_address: Some("192.0.2.1".parse().unwrap()),
            by: None,
            reason: None,
            until: Some("2026-11-21T10:00:00Z".into()),
        };
        assert_eq!(
            line(event),
            concat!(
                r#"{"seq":1,"prev":"0000000000000000000000000000000000000000000000000000000000000000","#,
                r#""time":"2026-11-21T09:05:04.000123Z","id":"01934b1f-0000-7000-8000-000000000001","kind":"guard","#,
                r#""action":"lock","limit":"rows","rule":"p:3","user":"clerk","actor":null,"client_address":"192.0.2.1","#,
                r#""by":null,"reason":null,"until":"2026-11-21T10:00:00Z"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn a_closing_names_the_execution_and_what_went_out() {
        assert_eq!(
            line(Closing {
                visit: visit(),
                execution: 3,
                rows: 42,
                complete: false,
                action: Action::View,
                entities: Vec::new(),
            }),
            concat!(
                r#"{"seq":1,"prev":"0000000000000000000000000000000000000000000000000000000000000000","#,
                r#""time":"2026-11-21T09:05:04.000123Z","id":"01934b1f-0000-7000-8000-000000000001","kind":"close","#,
                r#""session":7,"execution":3,"rows":42,"complete":false,"user":"clerk","action":"view","entities":[]}"#,
                "\n"
            )
        );
    }
}
