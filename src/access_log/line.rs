//! One line of the access log: a JSON object with the fields of one record, in a fixed order.
//!
//! Names and the application name come from clients and catalogs: they are escaped by the JSON writer, so that no line
//! break in them starts a record of its own.

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::fields::*;
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
    time: String,
    id: Uuid,
    kind: &'static str,
    #[serde(flatten)]
    fields: Fields,
}

/// Append the line of a record, with its line feed.
///
/// # Errors
/// JSON can not hold the record. The buffer may then end in a part of it.
pub fn push_line(buffer: &mut Vec<u8>, stamp: &Stamp, record: &Record) -> Result<(), Unwritable> {
    let kind = record.kind();
    match record {
        Record::Reveal(event) => push(buffer, stamp, kind, RevealFields::from(event)),
        Record::Closing(closing) => push(buffer, stamp, kind, CloseFields::from(closing)),
        Record::Entities(seen) => push(buffer, stamp, kind, EntitiesFields::from(seen)),
        Record::Login(login) => push(buffer, stamp, kind, LoginFields::from(login)),
        Record::LoginFailed(failed) => push(buffer, stamp, kind, LoginFailedFields::from(failed)),
        Record::Logout(logout) => push(buffer, stamp, kind, LogoutFields::from(logout)),
        Record::Refused(refused) => push(buffer, stamp, kind, RefusalFields::from(refused)),
        Record::Filtered(filtered) => push(buffer, stamp, kind, FilterFields::from(filtered)),
        Record::KeyUse(used) => push(buffer, stamp, kind, KeyUseFields::from(used)),
        Record::Reload(reload) => push(buffer, stamp, kind, ReloadFields::from(reload)),
        Record::Administration(done) => push(buffer, stamp, kind, AdminFields::from(done)),
        Record::Suppressed(suppressed) => push(buffer, stamp, kind, SuppressedFields::from(suppressed)),
    }
}

fn push(buffer: &mut Vec<u8>, stamp: &Stamp, kind: &'static str, fields: impl Serialize) -> Result<(), Unwritable> {
    let line = Line { time: format!("{:.6}", stamp.time), id: stamp.id, kind, fields };
    serde_json::to_writer(&mut *buffer, &line)?;
    buffer.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::access_log::{AccessEvent, Action, Closing, How, RevealedColumn, Visit};
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
            entities: Vec::new(),
        }
    }

    fn line(record: impl Into<Record>) -> String {
        let time = "2026-11-21T09:05:04.000123Z".parse().unwrap();
        let id = Uuid::from_u128(0x0193_4b1f_0000_7000_8000_0000_0000_0001);
        let mut buffer = Vec::new();
        push_line(&mut buffer, &Stamp { time, id }, &record.into()).unwrap();
        String::from_utf8(buffer).unwrap()
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
                r#"{"time":"2026-11-21T09:05:04.000123Z","id":"01934b1f-0000-7000-8000-000000000001","kind":"reveal","#,
                r#""user":"clerk","actor":null,"role":"billing","rule":"shop.yaml:12","database":"shop","#,
                r#""schema":"public","table":"customer","column":"e\"mail","tag":"email","how":"clear","#,
                r#""action":"view","fingerprint":"00123456789abcde","rows":null,"client_address":"2001:db8::1","#,
                r#""client_port":50123,"application_name":"psql\n{\"kind\":\"reveal\"}","session":7,"execution":3,"endpoint":null,"entities":[]}"#,
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
                r#"{"time":"2026-11-21T09:05:04.000123Z","id":"01934b1f-0000-7000-8000-000000000001","kind":"close","#,
                r#""session":7,"execution":3,"rows":42,"complete":false,"user":"clerk","action":"view","entities":[]}"#,
                "\n"
            )
        );
    }
}
