//! The rewriting of rows: any bytes under any mask, of any type, in both formats.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pgveil::catalog::Name;
use pgveil::mask::{Format, TextEncoding};
use pgveil::plan::{PlannedRows, Protection};
use pgveil::sql::lineage::{Flow, Lineage, Origin, Output, Source, Taint};
use pgveil::value::TextForms;
use pgveil::wire::Reader;
use pgveil::wire::backend::{Field, RowDescription};
use pgveil::wire::frame::{HEADER_BYTES, Header};

use super::Dice;
use super::database::{SNAPSHOT, caller, typed_table};

/// The input says which columns a result has, under which masks, in which formats; what is left is the cells.
pub fn run(data: &[u8]) {
    let mut dice = Dice(data);
    let encoding = [TextEncoding::Utf8, TextEncoding::SingleByte, TextEncoding::MultiByte][dice.below(3)];
    let columns: Vec<Shown> = (0..1 + dice.below(4)).map(|_| Shown::chosen(&mut dice)).collect();
    let lineage = Lineage { outputs: columns.iter().map(Shown::output).collect(), ..Lineage::default() };
    let description = RowDescription { fields: columns.iter().map(|column| column.field.clone()).collect() };
    let protection = Protection::known(Arc::new(lineage), 0, true);
    let plan = protection.bind(&description, &SNAPSHOT, &caller("clerk"), (encoding, &TextForms::default()));
    let PlannedRows::Masked(rows) = plan.rows else { panic!("tagged columns are masked") };
    let body = match dice.byte() {
        // anything
        0..=31 => dice.0.to_vec(),
        _ => row(&mut dice, columns.len()),
    };
    let mut out = BytesMut::from(&b"before"[..]);
    if rows.rewrite(&body, &mut out).is_err() {
        assert_eq!(&out[..], b"before", "nothing of a row that can not be read is written");
        return;
    }
    let shown = cells(&out[6..]);
    assert_eq!(shown.len(), columns.len());
    let mut reader = Reader::new(&body, "DataRow");
    reader.count().unwrap();
    for (column, shown) in columns.iter().zip(&shown) {
        let stored = reader.value().unwrap();
        if column.flow == Flow::Derived {
            // A computed value tells nothing at all.
            let mut other = BytesMut::new();
            let one =
                Protection::known(Arc::new(Lineage { outputs: vec![column.output()], ..Lineage::default() }), 0, true);
            let plan = one.bind(
                &RowDescription { fields: vec![column.field.clone()] },
                &SNAPSHOT,
                &caller("clerk"),
                (encoding, &TextForms::default()),
            );
            let PlannedRows::Masked(rows) = plan.rows else { panic!("a tagged column is masked") };
            rows.rewrite(&[0, 1, 0, 0, 0, 0], &mut other).unwrap();
            assert_eq!(cells(&other)[0], *shown, "{column:?} {stored:?}");
        }
        if let (Some(shown), Format::Text) = (shown, column.field.format) {
            assert!(!shown.contains(&0) || stored.is_some_and(|stored| stored.contains(&0)), "{column:?}");
            let valid = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok();
            if encoding == TextEncoding::Utf8 && stored.is_none_or(valid) {
                assert!(valid(shown), "{column:?} {stored:?} {shown:?}");
            }
        }
    }
}

#[derive(Debug)]
struct Shown {
    source: Source,
    flow: Flow,
    field: Field,
}

impl Shown {
    fn chosen(dice: &mut Dice<'_>) -> Self {
        let table = typed_table(dice.below(256));
        let column = &table.columns[dice.below(table.columns.len())];
        let format = if dice.byte() & 1 == 0 { Format::Text } else { Format::Binary };
        let flow = if dice.byte() & 3 == 0 { Flow::Derived } else { Flow::Direct };
        let direct = flow == Flow::Direct && dice.byte() & 1 == 0;
        Self {
            source: Source::Column { relation: table.oid, attnum: column.attnum },
            flow,
            field: Field {
                name: Bytes::from_static(b"c"),
                table: if direct { table.oid } else { pgveil::catalog::Oid(0) },
                attnum: if direct { column.attnum } else { 0 },
                type_oid: column.type_oid,
                size: -1,
                modifier: -1,
                format,
            },
        }
    }

    fn output(&self) -> Output {
        Output {
            name: Some(Name::exact("c")),
            origin: Origin::Value(Taint::of(self.source, self.flow)),
            made_up: 0,
            unaltered: true,
            unlimited: false,
            as_text: false,
        }
    }
}

fn row(dice: &mut Dice<'_>, count: usize) -> Vec<u8> {
    let mut body = vec![0, u8::try_from(count).unwrap()];
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

/// The cells of a DataRow frame that has to be whole.
fn cells(frame: &[u8]) -> Vec<Option<Vec<u8>>> {
    let header = Header::read(frame).unwrap().unwrap();
    assert_eq!((header.tag, header.frame()), (b'D', frame.len()));
    let mut reader = Reader::new(&frame[HEADER_BYTES..], "DataRow");
    let count = reader.count().unwrap();
    let cells = (0..count).map(|_| reader.value().unwrap().map(<[u8]>::to_vec)).collect();
    reader.end().unwrap();
    cells
}
