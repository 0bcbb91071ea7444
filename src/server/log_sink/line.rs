//! One line of the access log: a JSON object with the fields of one event, in a fixed order.
//!
//! Names and the application name come from clients and catalogs: they are escaped by the JSON writer, so that no line
//! break in them starts a record of its own.

use std::net::IpAddr;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use uuid::Uuid;

use crate::access_log::{AccessEvent, Action, Closing, How};

/// RFC 3339, UTC, microseconds.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

#[derive(Serialize)]
struct RevealLine<'a> {
    time: &'a str,
    id: String,
    kind: &'static str,
    user: &'a str,
    actor: Option<&'a str>,
    role: Option<&'a str>,
    rule: &'a str,
    database: &'a str,
    schema: Option<&'a str>,
    table: Option<&'a str>,
    column: Option<&'a str>,
    tag: Option<&'a str>,
    how: &'static str,
    action: &'static str,
    fingerprint: String,
    rows: Option<u64>,
    client_address: IpAddr,
    client_port: u16,
    application_name: Option<&'a str>,
    session: u64,
    execution: u64,
}

#[derive(Serialize)]
struct CloseLine<'a> {
    time: &'a str,
    id: String,
    kind: &'static str,
    session: u64,
    execution: u64,
    rows: u64,
    complete: bool,
}

/// Append the line of a revealed column.
///
/// # Errors
/// Only when the time can not be formatted (a year past 9999).
pub(super) fn push_reveal(
    buffer: &mut Vec<u8>,
    now: OffsetDateTime,
    id: Uuid,
    event: &AccessEvent,
) -> Result<(), Unwritable> {
    let AccessEvent { visit, execution, role, rule, column, how, action, fingerprint, rows } = event;
    let column = column.as_ref();
    let line = RevealLine {
        time: &now.format(TIME)?,
        id: id.to_string(),
        kind: "reveal",
        user: visit.user.as_str(),
        actor: visit.actor.as_deref(),
        role: role.as_deref(),
        rule,
        database: visit.database.as_str(),
        schema: column.map(|known| known.schema.as_str()),
        table: column.map(|known| known.table.as_str()),
        column: column.map(|known| known.column.as_str()),
        tag: column.map(|known| &*known.tag),
        how: match how {
            How::Clear => "clear",
            How::Decrypted => "decrypted",
        },
        action: match action {
            Action::View => "view",
            Action::Export => "export",
        },
        fingerprint: format!("{fingerprint:016x}"),
        rows: *rows,
        client_address: visit.client.ip(),
        client_port: visit.client.port(),
        application_name: visit.application_name.as_deref(),
        session: visit.session,
        execution: *execution,
    };
    push(buffer, &line)
}

/// Append the line that ends an execution.
///
/// # Errors
/// As [`push_reveal`].
pub(super) fn push_closing(
    buffer: &mut Vec<u8>,
    now: OffsetDateTime,
    id: Uuid,
    closing: &Closing,
) -> Result<(), Unwritable> {
    let Closing { visit, execution, rows, complete } = closing;
    let line = CloseLine {
        time: &now.format(TIME)?,
        id: id.to_string(),
        kind: "close",
        session: visit.session,
        execution: *execution,
        rows: *rows,
        complete: *complete,
    };
    push(buffer, &line)
}

fn push(buffer: &mut Vec<u8>, line: &impl Serialize) -> Result<(), Unwritable> {
    serde_json::to_writer(&mut *buffer, line)?;
    buffer.push(b'\n');
    Ok(())
}

/// A line that can not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwritable {
    #[error("the time can not be written")]
    Time(#[from] time::error::Format),
    #[error("the event can not be written as JSON")]
    Json(#[from] serde_json::Error),
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use time::macros::datetime;

    use super::*;
    use crate::access_log::{RevealedColumn, Visit};
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
        }
    }

    const NOW: OffsetDateTime = datetime!(2026-11-21 9:05:04.000123 UTC);
    const ID: Uuid = Uuid::from_u128(0x0193_4b1f_0000_7000_8000_0000_0000_0001);

    #[test]
    fn a_reveal_is_one_line_with_exactly_these_fields() {
        let mut buffer = Vec::new();
        push_reveal(&mut buffer, NOW, ID, &event()).unwrap();
        assert_eq!(
            String::from_utf8(buffer).unwrap(),
            concat!(
                r#"{"time":"2026-11-21T09:05:04.000123Z","id":"01934b1f-0000-7000-8000-000000000001","kind":"reveal","#,
                r#""user":"clerk","actor":null,"role":"billing","rule":"shop.yaml:12","database":"shop","#,
                r#""schema":"public","table":"customer","column":"e\"mail","tag":"email","how":"clear","#,
                r#""action":"view","fingerprint":"00123456789abcde","rows":null,"client_address":"2001:db8::1","#,
                r#""client_port":50123,"application_name":"psql\n{\"kind\":\"reveal\"}","session":7,"execution":3}"#,
                "\n"
            )
        );
    }

    #[test]
    fn a_reveal_of_unknown_origin_names_no_column() {
        let mut buffer = Vec::new();
        push_reveal(&mut buffer, NOW, ID, &AccessEvent { column: None, ..event() }).unwrap();
        let line: serde_json::Value = serde_json::from_slice(&buffer).unwrap();
        for field in ["schema", "table", "column", "tag"] {
            assert!(line.get(field).is_some_and(serde_json::Value::is_null), "{field}");
        }
        assert_eq!(line.get("kind").and_then(serde_json::Value::as_str), Some("reveal"));
    }

    #[test]
    fn a_closing_names_the_execution_and_what_went_out() {
        let mut buffer = Vec::new();
        push_closing(&mut buffer, NOW, ID, &Closing { visit: visit(), execution: 3, rows: 42, complete: false })
            .unwrap();
        assert_eq!(
            String::from_utf8(buffer).unwrap(),
            concat!(
                r#"{"time":"2026-11-21T09:05:04.000123Z","id":"01934b1f-0000-7000-8000-000000000001","kind":"close","#,
                r#""session":7,"execution":3,"rows":42,"complete":false}"#,
                "\n"
            )
        );
    }
}
