//! What EXPLAIN says of the values in a table: the average width of a row is taken from their statistics.

use bytes::{BufMut, BytesMut};

/// What stands before a width, in the formats TEXT, JSON, XML and YAML (PostgreSQL manual, EXPLAIN).
const MARKS: [&[u8]; 4] = [b" width=", b"\"Plan Width\": ", b"<Plan-Width>", b"Plan Width: "];

/// Appends the text of a plan, or a line of it, with 0 for each width.
pub(super) fn without_widths(text: &[u8], out: &mut BytesMut) {
    let mut rest = text;
    while let Some(first) = rest.first() {
        match MARKS.iter().find(|mark| rest.starts_with(mark)) {
            Some(mark) => {
                let (mark, behind) = rest.split_at(mark.len());
                let digits = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
                out.put_slice(mark);
                if digits > 0 {
                    out.put_u8(b'0');
                }
                rest = behind.get(digits..).unwrap_or_default();
            }
            None => {
                out.put_u8(*first);
                rest = rest.get(1..).unwrap_or_default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_of_a_plan_loses_its_widths_and_nothing_else() {
        for (shown, expected) in [
            ("Seq Scan on c  (cost=0.00..1.04 rows=3 width=52)", "Seq Scan on c  (cost=0.00..1.04 rows=3 width=0)"),
            ("  Filter: (width = 5)", "  Filter: (width = 5)"),
            ("\"Plan Rows\": 3,\n \"Plan Width\": 52,", "\"Plan Rows\": 3,\n \"Plan Width\": 0,"),
            (
                "<Plan-Rows>3</Plan-Rows><Plan-Width>7</Plan-Width>",
                "<Plan-Rows>3</Plan-Rows><Plan-Width>0</Plan-Width>",
            ),
            ("    Plan Rows: 3\n    Plan Width: 1234", "    Plan Rows: 3\n    Plan Width: 0"),
            ("Result  (rows=1 width=", "Result  (rows=1 width="),
            ("", ""),
        ] {
            let mut out = BytesMut::new();
            without_widths(shown.as_bytes(), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }
}
