use bytes::{BufMut, BytesMut};
use proptest::prelude::*;

use super::*;

fn text() -> CopyFormat {
    CopyFormat::Text { delimiter: b'\t', null: b"\\N"[..].into() }
}

fn csv(escape: u8) -> CopyFormat {
    CopyFormat::Csv { delimiter: b',', quote: b'"', escape, null: b""[..].into(), force_quote: Box::new([]) }
}

type CopiedRow = Vec<Option<Vec<u8>>>;

/// All rows, where the data comes in pieces of that size; what is handed on has to be the data as it came.
fn rows(format: &CopyFormat, header: bool, data: &[u8], piece: usize) -> Result<Vec<CopiedRow>, CopyFault> {
    let mut reader = CopyReader::new(format.clone(), header, 10_000);
    let (mut rows, mut handed_on) = (Vec::new(), Vec::new());
    let mut read = |reader: &mut CopyReader| {
        while reader.next_row()? {
            let mut row = Vec::new();
            reader.fields(|position, field| {
                assert_eq!(position, row.len());
                row.push((!field.is_null).then(|| field.value.to_vec()));
            });
            rows.push(row);
        }
        Ok(())
    };
    for piece in data.chunks(piece.max(1)) {
        reader.push(piece);
        read(&mut reader)?;
        handed_on.extend_from_slice(&reader.take_read());
    }
    reader.finish();
    read(&mut reader)?;
    handed_on.extend_from_slice(&reader.take_rest());
    assert_eq!(handed_on, data);
    Ok(rows)
}

#[test]
fn data_is_read_as_the_server_reads_it() {
    type Expected<'a> = &'a [&'a [Option<&'a str>]];
    let cases: [(CopyFormat, bool, &str, Expected<'_>); 13] = [
        (text(), false, "1\tAda\n2\t\\N\n", &[&[Some("1"), Some("Ada")], &[Some("2"), None]]),
        (text(), false, "a\\x41\\101\\tb\\\\\\N\r\nlast", &[&[Some("aAA\tb\\N")], &[Some("last")]]),
        (text(), false, "a\\\nb\rc", &[&[Some("a\nb")], &[Some("c")]]),
        (text(), true, "id\tname\n1\t\n", &[&[Some("1"), Some("")]]),
        (
            csv(b'"'),
            true,
            "id,name\r\n1,\"a,\"\"b\"\"\n\"\r\n,\"\"\r\n",
            &[&[Some("1"), Some("a,\"b\"\n")], &[None, Some("")]],
        ),
        (csv(b'"'), false, "a\"b,c\"d,e", &[&[Some("ab,cd"), Some("e")]]),
        (csv(b'\\'), false, "\"a\\\"\nb\\\\\",c\\d\n", &[&[Some("a\"\nb\\"), Some("c\\d")]]),
        (csv(b'"'), false, "one\n\ntwo", &[&[Some("one")], &[None], &[Some("two")]]),
        // The end marker ends a line, at the end of a line too; what is behind it is read as rows.
        (text(), false, "a\n\\.\n", &[&[Some("a")]]),
        (text(), false, "a\r\n\\.\r\nb", &[&[Some("a")], &[Some("b")]]),
        (text(), false, "a\t##\\.\nb\\\\.\n", &[&[Some("a"), Some("##")], &[Some("b\\.")]]),
        (csv(b'"'), false, "a\n\\.\n##\n", &[&[Some("a")], &[Some("\\.")], &[Some("##")]]),
        // A backslash that nothing follows is dropped.
        (text(), false, "a\t##\\", &[&[Some("a"), Some("##")]]),
    ];
    for (format, header, data, expected) in cases {
        let expected: Vec<CopiedRow> = expected
            .iter()
            .map(|row| row.iter().map(|value| value.map(|value| value.as_bytes().to_vec())).collect())
            .collect();
        for piece in 1..=data.len() {
            assert_eq!(rows(&format, header, data.as_bytes(), piece).unwrap(), expected, "{data:?} by {piece}");
        }
    }
}

#[test]
fn binary_data_is_read_from_its_header_to_its_trailer() {
    let mut data = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\x02xx".to_vec();
    data.extend(b"\0\x02\0\0\0\x03Ada\xff\xff\xff\xff\0\x01\0\0\0\0\xff\xff");
    let expected = vec![vec![Some(b"Ada".to_vec()), None], vec![Some(Vec::new())]];
    for piece in 1..=data.len() {
        assert_eq!(rows(&CopyFormat::Binary, false, &data, piece).unwrap(), expected, "by {piece}");
    }
    // A row that is not there whole is none; the server takes it for an error.
    assert_eq!(rows(&CopyFormat::Binary, false, &data[..data.len() - 5], 7).unwrap(), expected[..1]);
    assert!(rows(&CopyFormat::Binary, false, b"no header at all", 7).is_err());
}

#[test]
fn rows_have_the_number_of_their_last_line() {
    let cases: [(CopyFormat, &str, &[u64]); 3] = [
        (text(), "h\na\\\nb\n\nc", &[2, 3, 4]),
        (csv(b'"'), "\"h\n\"\r\n\"a\n\nb\",c\r\nd\r\n", &[5, 6]),
        (csv(b'"'), "h\ra\rb", &[2, 3]),
    ];
    for (format, data, expected) in cases {
        let mut reader = CopyReader::new(format, true, 100);
        let mut lines = Vec::new();
        for byte in data.bytes() {
            reader.push(&[byte]);
            while reader.next_row().unwrap() {
                lines.push(reader.line());
            }
        }
        reader.finish();
        while reader.next_row().unwrap() {
            lines.push(reader.line());
        }
        assert_eq!(lines, expected, "{data:?}");
    }
}

#[test]
fn rows_are_bounded() {
    assert!(rows(&text(), false, &[b'x'; 20_000], 1_000).is_err());
    assert_eq!(rows(&text(), false, &b"x\n".repeat(20_000), 1_000).unwrap().len(), 20_000);
}

proptest! {
    /// Whatever comes is read in the same way however it is cut.
    #[test]
    fn how_data_is_cut_does_not_matter(
        data in r#"([ab,"\\\\.\t\n\r]|\\\\\\.\n|"")*"#, pieces in prop::collection::vec(1_usize..5, 1..8),
        format in prop::sample::select(vec![text(), csv(b'"'), csv(b'\\')]), header in any::<bool>(),
    ) {
        let whole = rows(&format, header, data.as_bytes(), data.len()).unwrap();
        for piece in pieces {
            prop_assert_eq!(&rows(&format, header, data.as_bytes(), piece).unwrap(), &whole);
        }
    }

    #[test]
    fn how_binary_data_is_cut_does_not_matter(
        cells in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..9)), 0..6),
        noise in prop::option::of((0_usize..99, any::<u8>())), piece in 1_usize..9,
    ) {
        let mut data = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        for row in cells.chunks(2) {
            data.extend(u16::try_from(row.len()).unwrap().to_be_bytes());
            for cell in row {
                data.extend(cell.as_ref().map_or(u32::MAX, |cell| u32::try_from(cell.len()).unwrap()).to_be_bytes());
                data.extend(cell.iter().flatten());
            }
        }
        data.extend([0xff, 0xff]);
        match noise.filter(|(at, _)| *at < data.len()) {
            Some((at, byte)) => data[at] = byte,
            None => {
                let meant: Vec<CopiedRow> = cells.chunks(2).map(<[_]>::to_vec).collect();
                prop_assert_eq!(rows(&CopyFormat::Binary, false, &data, data.len()).unwrap(), meant);
            }
        }
        let whole = rows(&CopyFormat::Binary, false, &data, data.len());
        prop_assert_eq!(rows(&CopyFormat::Binary, false, &data, piece), whole);
    }

    /// What is written as PostgreSQL writes it is read, however it is cut.
    #[test]
    fn what_the_server_writes_is_read(
        table in prop::collection::vec(prop::collection::vec(prop::option::of("[a-c,\"\\\\\t\n\r .]{0,5}"), 2), 0..4),
        piece in 1_usize..9, format in prop::sample::select(vec![text(), csv(b'"'), csv(b'\\')]),
    ) {
        let mut data = BytesMut::new();
        for row in &table {
            for (position, value) in row.iter().enumerate() {
                if position > 0 {
                    data.put_u8(format.delimiter());
                }
                format.write(position, value.as_ref().map(String::as_bytes), false, &mut data);
            }
            data.put_u8(b'\n');
        }
        let read = rows(&format, false, &data, piece).unwrap();
        let meant: Vec<CopiedRow> =
            table.into_iter().map(|row| row.into_iter().map(|value| value.map(String::into_bytes)).collect()).collect();
        prop_assert_eq!(read, meant);
    }
}
