//! Errors and notices of statements that touch tagged columns.
//!
//! PostgreSQL quotes values in its messages: failed casts in the message, keys and whole rows in DETAIL, PL code in
//! CONTEXT. What is known to speak only of the client's own text or of the schema stays; the rest is replaced, SQLSTATE and
//! position kept.

mod sources;

use bytes::Bytes;

use crate::catalog::Name;
use crate::crypto;
use crate::plan::{Refusal, Snapshot};
use crate::wire::backend::Report;
use crate::wire::compose::{self, ErrorText};
use sources::{About, about};

/// What the server was doing when it reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Reading the text of a statement: no row of any table was read.
    Parse,
    /// Reading parameters, then planning.
    Bind,
    /// Reading rows that the client sends.
    CopyIn,
    /// Anything.
    Run,
}

/// The report as it may go out; `None`: unchanged.
pub(super) fn scrub(report: &Report<'_>, stage: Stage, notice: bool) -> Option<Bytes> {
    let field = |code: u8| report.field(code);
    let bare = field(b'W').is_none() && field(b'q').is_none();
    let code = field(b'C').unwrap_or(b"XX000");
    let about = about(field(b'F').unwrap_or_default(), code);
    // `LOG` and `DEBUG` are for the operator: plans with their constants, trees, parameters.
    let operator = notice && field(b'V').is_none_or(|level| level == b"LOG" || level.starts_with(b"DEBUG"));
    if !operator {
        // With a position and without a context or inner query, the message is about the client's own text. A position
        // alone is not enough: `('int4 '||name)::regtype` has one that counts in the value.
        if bare && (field(b'P').is_some() || stage == Stage::Parse || about == About::Statement) {
            return None;
        }
        let misplaced = stage == Stage::CopyIn && field(b'R') == Some(b"CopyGetData") && code == b"08P01";
        if field(b'q').is_none() && field(b'W').is_some_and(|context| is_of_input(context, stage, misplaced)) {
            return None;
        }
    }
    let trusted = !operator
        && match about {
            About::Objects => true,
            About::Statement => bare,
            About::Anything => false,
        };
    let message = format!("{} (pgveil withheld the text, because it could quote protected data)", canned(code));
    let mut fields: Vec<(u8, &[u8])> = Vec::with_capacity(report.fields.len());
    for &(code, value) in &report.fields {
        match code {
            b'S' | b'V' | b'C' | b'P' => fields.push((code, value)),
            // Names of schema, table, column, type, constraint: ORMs read them. RAISE can put anything there.
            // The place in the server's source: which of several checks a value failed is withheld with the text.
            b'M' | b'H' | b's' | b't' | b'c' | b'd' | b'n' | b'F' | b'L' | b'R' if trusted => {
                fields.push((code, value))
            }
            b'M' => fields.push((code, message.as_bytes())),
            _ => {}
        }
    }
    Some(compose::report(&fields, notice))
}

/// What stands for a value of an encrypted column that a report quotes.
const ENCRYPTED: &[u8] = b"(encrypted)";

/// The report without the envelopes that it quotes, as in the detail of a duplicate key, and without the blind indexes in what it
/// says of a row of their table; `None`: there are none.
pub(super) fn without_envelopes(report: &Report<'_>, notice: bool, snapshot: &Snapshot) -> Option<Bytes> {
    let named = |wanted| {
        let value = report.fields.iter().find(|(code, _)| *code == wanted)?.1;
        Some(Name::exact(std::str::from_utf8(value).ok()?))
    };
    let of_table = named(b's').zip(named(b't')).is_some_and(|(schema, table)| snapshot.has_index(&schema, &table));
    let replaced = report.fields.iter().map(|&(code, value)| {
        let bare = crypto::without_envelopes(value, ENCRYPTED);
        match code {
            b'D' if of_table => crypto::without_indexes(bare.as_deref().unwrap_or(value), ENCRYPTED).or(bare),
            _ => bare,
        }
    });
    let replaced: Vec<_> = replaced.collect();
    if replaced.iter().all(Option::is_none) {
        return None;
    }
    let fields: Vec<_> = report
        .fields
        .iter()
        .zip(&replaced)
        .map(|(&(code, value), new)| (code, new.as_deref().unwrap_or(value)))
        .collect();
    Some(compose::report(&fields, notice))
}

/// Whether a context says that the report is about a value that the client has just sent: a parameter of Bind
/// (`bind_param_error_callback` in postgres.c, from PostgreSQL 14 on) or a column of a line of COPY data
/// (`CopyFromErrorCallback`); or, of a message that has no place in COPY data, at which line that was. Whatever ran inside of it, a domain's check or a foreign server, would add lines of its own.
fn is_of_input(context: &[u8], stage: Stage, misplaced: bool) -> bool {
    if context.contains(&b'\n') {
        return false;
    }
    let holds = |part: &[u8]| context.windows(part.len()).any(|window| window == part);
    match stage {
        Stage::Bind => {
            (context.starts_with(b"unnamed portal parameter $") || context.starts_with(b"portal \""))
                && holds(b" parameter $")
                && !holds(b" with parameters:")
        }
        Stage::CopyIn => context.starts_with(b"COPY ") && holds(b", line ") && (misplaced || holds(b", column ")),
        Stage::Parse | Stage::Run => false,
    }
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

/// What a client is told of columns whose stored values were kept. PostgreSQL's code for a warning.
pub(super) fn kept_notice(columns: &str) -> Bytes {
    let message = format!("pgveil: {columns} kept what is stored: the new value is the mask that you are shown of it");
    let hint = "Leave the column out of the statement, or write the real value.";
    let fields: [(u8, &[u8]); 5] =
        [(b'S', b"WARNING"), (b'V', b"WARNING"), (b'C', b"01000"), (b'M', message.as_bytes()), (b'H', hint.as_bytes())];
    compose::report(&fields, true)
}

/// A notice of pgveil's own.
pub(super) fn said_notice(message: &str) -> Bytes {
    let fields: [(u8, &[u8]); 4] = [(b'S', b"NOTICE"), (b'V', b"NOTICE"), (b'C', b"00000"), (b'M', message.as_bytes())];
    compose::report(&fields, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fields by their codes: `C22P02`, `Mtext`.
    fn scrubbed(fields: &[&str], stage: Stage, notice: bool) -> Option<String> {
        let fields = fields.iter().map(|field| (field.as_bytes()[0], &field.as_bytes()[1..])).collect();
        let frame = scrub(&Report { fields }, stage, notice)?;
        Some(String::from_utf8_lossy(&frame).into_owned())
    }

    fn error(fields: &[&str]) -> Option<String> {
        scrubbed(fields, Stage::Run, false)
    }

    #[test]
    fn a_failed_cast_of_a_value_does_not_say_which() {
        let text = error(&["C22P02", "Minvalid input syntax for type integer: \"canary\"", "Fnumutils.c"]).unwrap();
        assert!(text.contains("22P02") && !text.contains("canary"), "{text}");
    }

    #[test]
    fn an_error_about_the_clients_own_text_is_left_alone() {
        let fields = ["C42703", "Mcolumn \"x\" does not exist", "P8"];
        assert_eq!(error(&fields), None);
        for context in ["WSQL function", "qSELECT x"] {
            let text = error(&[fields[0], fields[1], fields[2], context]).unwrap();
            assert!(!text.contains("\"x\""), "{text}");
        }
    }

    #[test]
    fn what_is_raised_before_a_row_is_read_is_left_alone_without_a_position_too() {
        for fields in [
            ["C42601", "MWITH TIES cannot be specified without ORDER BY clause", "Fgram.y"],
            ["C42P05", "Mprepared statement \"p8\" already exists", "Fprepare.c"],
            ["C34000", "Mcursor \"c\" does not exist", "Fportalcmds.c"],
            ["C428C9", "Mcolumn \"x\" can only be updated to DEFAULT", "FrewriteHandler.c"],
            ["C2BP01", "Mcannot drop table t because other objects depend on it", "Fdependency.c"],
        ] {
            assert_eq!(error(&fields), None, "{fields:?}");
            // The same routines serve code that makes statements out of values.
            for inner in ["WSQL statement \"PREPARE\"", "qPREPARE", "Winvalid type name \"canary\""] {
                let text = error(&[fields[0], "Mcanary", fields[2], inner]).unwrap();
                assert!(!text.contains("canary"), "{text}");
            }
        }
    }

    #[test]
    fn names_that_come_from_values_are_withheld() {
        for file in ["parse_type.c", "parse_func.c", "parse_oper.c", "namespace.c", "regproc.c", "objectaddress.c"] {
            let text = error(&["C42704", "Mtype \"canary\" does not exist", &format!("F{file}")]).unwrap();
            assert!(!text.contains("canary"), "{text}");
        }
    }

    #[test]
    fn permissions_limits_and_cancellation_keep_their_message() {
        for fields in [
            ["C42501", "Mpermission denied for table customers", "Faclchk.c"],
            ["C57014", "Mcanceling statement due to statement timeout", "Fpostgres.c"],
            ["C21000", "Mmore than one row returned by a subquery used as an expression", "FnodeSubplan.c"],
            ["C40001", "Mcould not serialize access due to concurrent update", "FnodeModifyTable.c"],
        ] {
            let text = error(&[fields[0], fields[1], fields[2], "Dcanary", "WPL/pgSQL function f(canary)"]).unwrap();
            assert!(text.contains(&fields[1][1..]) && !text.contains("canary"), "{text}");
        }
    }

    #[test]
    fn constraint_violations_keep_their_names_and_lose_their_detail() {
        let text = error(&[
            "C23505",
            "Mduplicate key value violates unique constraint \"customers_email_key\"",
            "DKey (email)=(canary) already exists.",
            "ncustomers_email_key",
            "Fnbtinsert.c",
        ])
        .unwrap();
        assert!(text.contains("\"customers_email_key\"") && text.contains("\0ncustomers_email_key\0"), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }

    #[test]
    fn what_procedural_code_raises_is_withheld_whole() {
        for file in ["Fpl_exec.c", "Fplpy_plpymodule.c", "Fplperl.c", "Fconnection.c", "Fsome_extension.c"] {
            for code in ["C23505", "C40001", "C57014", "CP0001", "C42501", "C25006"] {
                let text = error(&[code, "Mcanary", "Hcanary", "Dcanary", "ncanary", "ccanary", file]).unwrap();
                assert!(!text.contains("canary"), "{text}");
            }
        }
    }

    #[test]
    fn an_error_of_parse_speaks_of_the_text() {
        let fields = ["C42704", "Mtype \"x\" does not exist", "Fparse_type.c"];
        assert_eq!(scrubbed(&fields, Stage::Parse, false), None);
        assert!(scrubbed(&[fields[0], fields[1], "WPL/pgSQL function check_it()"], Stage::Parse, false).is_some());
    }

    #[test]
    fn an_error_about_a_value_that_the_client_has_just_sent_is_left_alone() {
        let own = ["C22P02", "Minvalid input syntax for type integer: \"x\"", "Fnumutils.c"];
        let with = |context: &str, stage| scrubbed(&[own[0], own[1], own[2], &format!("W{context}")], stage, false);
        for context in
            ["unnamed portal parameter $1 = '...'", "portal \"p\" parameter $12", "unnamed portal parameter $1"]
        {
            assert_eq!(with(context, Stage::Bind), None, "{context}");
            assert!(with(context, Stage::Run).is_some(), "{context}");
            // A foreign server was given a value of ours.
            assert!(with(&format!("{context}\nremote SQL command: SELECT"), Stage::Bind).is_some());
        }
        assert!(with("unnamed portal with parameters: $1 = '...'", Stage::Bind).is_some());
        assert!(with("COPY scratch, line 1, column n: \"x\"", Stage::CopyIn).is_none());
        // A foreign table over a file reads it as COPY does.
        assert!(with("COPY scratch, line 1, column n: \"x\"", Stage::Run).is_some());
        assert!(with("COPY scratch, line 1", Stage::CopyIn).is_some());
    }

    #[test]
    fn notices_for_the_operator_are_withheld() {
        for level in ["VLOG", "VDEBUG1", "VDEBUG5"] {
            for file in ["Fpostgres.c", "Fprint.c", "Fauto_explain.c", "Fgram.y"] {
                let text = scrubbed(&[level, "C00000", "Mcanary", "Dcanary", file], Stage::Run, true).unwrap();
                assert!(!text.contains("canary"), "{text}");
            }
        }
        let skipping = ["VNOTICE", "C42P07", "Mrelation \"t\" already exists, skipping", "Fparse_utilcmd.c"];
        assert_eq!(scrubbed(&skipping, Stage::Run, true), None);
        let raised = ["VNOTICE", "C00000", "Mcanary", "Fpl_exec.c", "Rexec_stmt_raise"];
        assert!(!scrubbed(&raised, Stage::Run, true).unwrap().contains("canary"));
    }
}
