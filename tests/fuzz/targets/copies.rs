//! The rewriting of COPY's rows: lines and binary rows under any mask, of any type, in any layout.

use bytes::BytesMut;
use pgveil::mask::TextEncoding;
use pgveil::plan::{Own, PlannedRows, Verdict, judge};
use pgveil::sql::analyze::analyze;
use pgveil::sql::statement::Analysis;
use pgveil::value::TextForms;
use pgveil::wire::Reader;
use pgveil::wire::copy::{CopyFormat, CopyPiece, behind_header};
use pgveil::wire::frame::{HEADER_BYTES, Header};

use super::Dice;
use super::database::{SNAPSHOT, caller, typed_table};

const OPTIONS: &[&str] = &[
    "",
    "(FORMAT csv)",
    "(FORMAT binary)",
    "(DELIMITER ';', NULL 'x')",
    "(FORMAT csv, QUOTE '''', ESCAPE '\\', NULL 'none', DELIMITER '|')",
    "(FORMAT csv, FORCE_QUOTE *, HEADER)",
    "(NULL '')",
];

/// The input says which columns are copied in which layout; what is left is one CopyData message.
pub fn run(data: &[u8]) {
    let mut dice = Dice(data);
    let snapshot = &**SNAPSHOT;
    let options = OPTIONS[dice.below(OPTIONS.len())];
    let binary = options.contains("binary");
    let encoding = [TextEncoding::Utf8, TextEncoding::SingleByte][dice.below(2)];
    let table = typed_table(dice.below(256));
    let columns: Vec<_> = (0..1 + dice.below(3)).map(|_| &table.columns[dice.below(table.columns.len())]).collect();
    let names: Vec<String> = columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
    let text = format!("COPY \"{}\" ({}) TO STDOUT {options}", table.name, names.join(", "));
    let Analysis::Statements(statements) = analyze(text.as_bytes(), &snapshot.catalog, &snapshot.limits) else {
        panic!("{text}")
    };
    let caller = caller("clerk");
    // The server refuses a column that is named twice.
    let Verdict::Protect(protection) = judge(&text, &statements[0], snapshot, &caller, &Own::default()).verdict else {
        return;
    };
    let Ok(plan) =
        protection.bind_copy(None, (binary, columns.len()), snapshot, &caller, (Some(encoding), &TextForms::default()))
    else {
        return;
    };
    let (PlannedRows::Masked(rows), Some(format)) = (plan.rows.rows, plan.format) else { panic!("{text}") };
    let body = match binary && dice.byte() >= 32 {
        true => binary_row(&mut dice, columns.len()),
        false => dice.0.to_vec(),
    };
    if !matches!(format.piece(&body), Ok(CopyPiece::Row)) {
        return;
    }
    let mut out = BytesMut::from(&b"before"[..]);
    if rows.rewrite(&body, &mut out).is_err() {
        assert_eq!(&out[..], b"before", "nothing of a row that can not be read is written");
        return;
    }
    let frame = &out[6..];
    let header = Header::read(frame).unwrap().unwrap();
    assert_eq!((header.tag, header.frame()), (b'd', frame.len()));
    let shown = fields(&format, &frame[HEADER_BYTES..]);
    assert_eq!(shown.len(), columns.len(), "{text}");
    if table.name.as_str() == "of_nullify" {
        assert!(shown.iter().all(Option::is_none), "{text}: {shown:?}");
    }
}

fn binary_row(dice: &mut Dice<'_>, count: usize) -> Vec<u8> {
    let mut body = i16::try_from(count).unwrap().to_be_bytes().to_vec();
    for at in 0..count {
        let length = match dice.byte() {
            0..=7 => {
                body.extend((-1_i32).to_be_bytes());
                continue;
            }
            _ if at + 1 == count => dice.0.len(),
            length => usize::from(length) - 8,
        };
        let cell = dice.take(length);
        body.extend(u32::try_from(cell.len()).unwrap().to_be_bytes());
        body.extend_from_slice(cell);
    }
    body
}

/// The fields of a row that has to be whole.
fn fields(format: &CopyFormat, body: &[u8]) -> Vec<Option<Vec<u8>>> {
    if *format == CopyFormat::Binary {
        let (_, rest) = behind_header(body).unwrap();
        let mut reader = Reader::new(rest, "CopyData");
        let count = reader.count().unwrap();
        let read = (0..count).map(|_| reader.value().unwrap().map(<[u8]>::to_vec)).collect();
        reader.end().unwrap();
        return read;
    }
    let mut buffer = Vec::new();
    let written = format.fields(body).unwrap();
    written.map(|field| format.value(field.unwrap(), &mut buffer).map(<[u8]>::to_vec)).collect()
}
