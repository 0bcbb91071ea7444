//! Errors and notices of statements that touch tagged columns.
//!
//! PostgreSQL quotes values in its messages: failed casts in the message, keys and whole rows in DETAIL, PL code in
//! CONTEXT. What is known to speak only of the client's own text stays; the rest is replaced, SQLSTATE and position kept.

use bytes::Bytes;

use crate::plan::Refusal;
use crate::wire::backend::Report;
use crate::wire::compose::{self, ErrorText};

/// The report as it may go out; `None`: unchanged.
pub(super) fn scrub(report: &Report<'_>, notice: bool) -> Option<Bytes> {
    let has = |code: u8| report.field(code).is_some();
    // With a position and without a context or inner query, the message is about the client's own text. A position
    // alone is not enough: `('int4 '||name)::regtype` has one that counts in the value.
    if has(b'P') && !has(b'W') && !has(b'q') {
        return None;
    }
    let code = report.field(b'C').unwrap_or(b"XX000");
    let raised = report.field(b'F') == Some(b"pl_exec.c") && report.field(b'R') == Some(b"exec_stmt_raise");
    let own_words = keeps_message(code) && !raised;
    let message = format!("{} (pgveil withheld the text, because it could quote protected data)", canned(code));
    let mut fields: Vec<(u8, &[u8])> = Vec::with_capacity(report.fields.len());
    for &(code, value) in &report.fields {
        match code {
            b'S' | b'V' | b'C' | b'P' | b'F' | b'L' | b'R' => fields.push((code, value)),
            b'M' if own_words => fields.push((code, value)),
            b'M' => fields.push((code, message.as_bytes())),
            // Names of schema, table, column, type, constraint: ORMs read them. RAISE can put anything there.
            b's' | b't' | b'c' | b'd' | b'n' if !raised => fields.push((code, value)),
            _ => {}
        }
    }
    Some(compose::report(&fields, notice))
}

/// Classes of errors whose message names objects of the schema and nothing else: constraint violations, names
/// of statements and cursors, transaction state, locks, shutdown and cancellation, resource limits.
fn keeps_message(code: &[u8]) -> bool {
    const WHOLE: [&[u8]; 8] = [b"57014", b"55P03", b"57P01", b"57P02", b"57P03", b"57P05", b"26000", b"34000"];
    const CLASSES: [&[u8]; 5] = [b"23", b"25", b"40", b"08", b"53"];
    let class = code.get(..2).unwrap_or_default();
    WHOLE.contains(&code) || CLASSES.contains(&class)
}

/// What is said in place of a message, by the class of its SQLSTATE (PostgreSQL manual, appendix A).
fn canned(code: &[u8]) -> &'static str {
    match code {
        b"22P02" => "invalid input syntax",
        b"22003" => "value out of range",
        b"22007" | b"22008" => "invalid date or time value",
        b"22012" => "division by zero",
        b"22001" => "value too long",
        b"42501" => "permission denied",
        _ => match code.get(..2).unwrap_or_default() {
            b"00" | b"01" => "notice",
            b"22" => "invalid data",
            b"42" => "invalid statement",
            b"44" => "check option violated",
            b"P0" => "error raised by a function",
            _ => "error",
        },
    }
}

/// The error that stands for a refusal, in place of the one that the stand-in statement caused.
pub(super) fn refusal(refusal: &Refusal) -> Bytes {
    compose::error_response(&ErrorText {
        severity: "ERROR",
        code: refusal.code,
        message: &refusal.message,
        detail: None,
        hint: Some(&refusal.hint),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrubbed(fields: &[(u8, &[u8])]) -> Option<String> {
        let report = Report { fields: fields.to_vec() };
        scrub(&report, false).map(|frame| String::from_utf8_lossy(&frame).into_owned())
    }

    #[test]
    fn a_failed_cast_of_a_value_does_not_say_which() {
        let text = scrubbed(&[(b'C', b"22P02"), (b'M', b"invalid input syntax for type integer: \"canary\"")]).unwrap();
        assert!(text.contains("22P02") && !text.contains("canary"), "{text}");
    }

    #[test]
    fn an_error_about_the_clients_own_text_is_left_alone() {
        let fields: [(u8, &[u8]); 3] = [(b'C', b"42703"), (b'M', b"column \"x\" does not exist"), (b'P', b"8")];
        assert_eq!(scrubbed(&fields), None);
        let with_context = [fields[0], fields[1], fields[2], (b'W', b"SQL function")];
        assert!(scrubbed(&with_context).is_some());
    }

    #[test]
    fn constraint_violations_keep_their_names_and_lose_their_detail() {
        let text = scrubbed(&[
            (b'C', b"23505"),
            (b'M', b"duplicate key value violates unique constraint \"customers_email_key\""),
            (b'D', b"Key (email)=(canary) already exists."),
            (b'n', b"customers_email_key"),
        ])
        .unwrap();
        assert!(text.contains("customers_email_key") && !text.contains("canary"), "{text}");
    }

    #[test]
    fn what_plpgsql_raises_is_withheld_whole() {
        let text = scrubbed(&[
            (b'C', b"23505"),
            (b'M', b"canary"),
            (b'n', b"canary"),
            (b'F', b"pl_exec.c"),
            (b'R', b"exec_stmt_raise"),
        ])
        .unwrap();
        assert!(!text.contains("canary"), "{text}");
    }
}
