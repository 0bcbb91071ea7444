//! Frames as words: how the playbooks write what goes over the wire.
//!
//! Client: `Q text`, `P name|text`, `B portal|statement|values`, `D S|name`, `E portal [limit]`, `C P|name`, `d bytes`
//! (where `\n` is a newline), `f why`, and `S H c X`. Server: `T column[=relation.attnum]:type ...`, `D cell|cell`, `C tag`,
//! `E code text`, `N code text`, `S name value`, `Z I`, `H columns`, `d line` (a newline behind it), and
//! `1 2 3 n s t I G c V`. Frames are parted by ` / `.

use bytes::{BufMut, BytesMut};

use crate::wire::backend::{Report, RowDescription};
use crate::wire::compose;
use crate::wire::frame::{HEADER_BYTES, Header};
use crate::wire::frontend;

fn strings(parts: &[&str]) -> Vec<u8> {
    parts.iter().flat_map(|part| part.bytes().chain([0])).collect()
}

fn pair(text: &str) -> (&str, &str) {
    text.split_once('|').unwrap_or((text, ""))
}

fn split(word: &str) -> (u8, &str) {
    let (tag, rest) = word.split_once(' ').unwrap_or((word, ""));
    (tag.as_bytes()[0], rest)
}

/// The client's frames in a line.
pub(super) fn client(line: &str) -> BytesMut {
    let mut out = BytesMut::new();
    for word in line.split(" / ") {
        let (tag, rest) = split(word.trim());
        let body = match tag {
            b'Q' | b'f' => strings(&[rest]),
            b'P' => {
                let (name, text) = pair(rest);
                [&strings(&[name, text])[..], &[0, 0]].concat()
            }
            b'B' => {
                // names, then parameters in text format
                let (portal, rest) = pair(rest);
                let mut parts = rest.split('|');
                let mut body = strings(&[portal, parts.next().unwrap_or_default()]);
                let parameters: Vec<_> = parts.collect();
                body.extend_from_slice(&[0, 0]);
                body.extend(u16::try_from(parameters.len()).unwrap().to_be_bytes());
                for parameter in parameters {
                    body.extend(u32::try_from(parameter.len()).unwrap().to_be_bytes());
                    body.extend(parameter.bytes());
                }
                body.extend_from_slice(&[0, 0]);
                body
            }
            b'D' | b'C' => {
                let (subject, name) = pair(rest);
                [subject.as_bytes(), &strings(&[name])].concat()
            }
            b'E' => {
                let (portal, limit) = rest.split_once(' ').unwrap_or((rest, "0"));
                [&strings(&[portal])[..], &limit.parse::<u32>().unwrap().to_be_bytes()].concat()
            }
            b'F' => vec![0, 0, 4, 210, 0, 0, 0, 0, 0, 0],
            b'd' => rest.replace("\\n", "\n").into_bytes(),
            _ => rest.as_bytes().to_vec(),
        };
        out.extend_from_slice(&compose::raw(tag, &body));
    }
    out
}

/// A RowDescription: `email=16384.3:25`, `lower:25`.
fn description(columns: &str) -> Vec<u8> {
    let columns: Vec<_> = columns.split_whitespace().collect();
    let mut body = BytesMut::new();
    body.put_i16(columns.len().try_into().unwrap());
    for column in columns {
        let (named, type_oid) = column.rsplit_once(':').unwrap();
        let (name, origin) = named.split_once('=').unwrap_or((named, "0.0"));
        let (table, attnum) = origin.split_once('.').unwrap();
        body.put(&strings(&[name])[..]);
        body.put_u32(table.parse().unwrap());
        body.put_i16(attnum.parse().unwrap());
        body.put_u32(type_oid.parse().unwrap());
        body.put_i16(-1);
        body.put_i32(-1);
        body.put_i16(0);
    }
    body.to_vec()
}

/// The server's frames in a line.
pub(super) fn server(line: &str) -> BytesMut {
    let mut out = BytesMut::new();
    for word in line.split(" / ") {
        let (tag, rest) = split(word.trim());
        let body = match tag {
            b'T' => description(rest),
            b'D' => {
                let cells: Vec<_> = rest.split('|').collect();
                let mut body = BytesMut::new();
                body.put_i16(cells.len().try_into().unwrap());
                for cell in cells {
                    if cell == "NULL" {
                        body.put_i32(-1);
                    } else {
                        body.put_i32(cell.len().try_into().unwrap());
                        body.put(cell.as_bytes());
                    }
                }
                body.to_vec()
            }
            b'C' => strings(&[rest]),
            b'E' | b'N' => {
                let (code, text) = rest.split_once(' ').unwrap_or((rest, "text"));
                let severity = if code.starts_with("57P") { "SFATAL" } else { "SERROR" };
                // Further fields stand behind the text: `|Ddetail`.
                let (text, more) = text.split_once('|').unwrap_or((text, ""));
                let mut fields = vec![
                    severity.to_owned(),
                    if tag == b'E' { "VERROR" } else { "VNOTICE" }.into(),
                    format!("C{code}"),
                    format!("M{text}"),
                ];
                fields.extend(more.split('|').filter(|field| !field.is_empty()).map(str::to_owned));
                fields.push(String::new());
                strings(&fields.iter().map(String::as_str).collect::<Vec<_>>())
            }
            b'S' => {
                let (name, value) = rest.split_once(' ').unwrap();
                strings(&[name, value])
            }
            b't' => vec![0, 0],
            b'G' | b'H' => {
                // the number of columns, 0 where it does not matter, behind `b` for the binary format
                let (binary, count) = rest.strip_prefix('b').map_or((0, rest), |count| (1, count));
                let count: u8 = count.trim().parse().unwrap_or(0);
                [vec![binary, 0, count], [0, binary].repeat(count.into())].concat()
            }
            b'V' => vec![0xff; 4],
            b'Z' => rest.as_bytes().to_vec(),
            b'd' => [rest.as_bytes(), b"\n"].concat(),
            b'1' | b'2' | b'3' | b'n' | b's' | b'I' | b'c' => Vec::new(),
            other => panic!("no such frame: {}", char::from(other)),
        };
        out.extend_from_slice(&compose::raw(tag, &body));
    }
    out
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn client_word(tag: u8, body: &[u8]) -> String {
    let words: Vec<String> = body.split(|byte| *byte == 0).map(text).collect();
    match tag {
        b'Q' | b'f' => words[0].clone(),
        b'P' | b'B' => format!("{}|{}", words[0], words[1]),
        b'D' | b'C' => format!("{}|{}", &words[0][..1], &words[0][1..]),
        b'E' => match frontend::execute(body).unwrap() {
            (portal, 0) => text(portal),
            (portal, limit) => format!("{} {limit}", text(portal)),
        },
        b'F' => String::new(),
        b'd' => text(body).replace('\n', "\\n"),
        _ => text(body),
    }
}

fn server_word(tag: u8, body: &[u8]) -> String {
    match tag {
        b'T' => {
            let description = RowDescription::decode(body).unwrap();
            let columns = description.fields.iter().map(|field| match field.table.0 {
                0 => format!("{}:{}", text(&field.name), field.type_oid.0),
                table => format!("{}={table}.{}:{}", text(&field.name), field.attnum, field.type_oid.0),
            });
            columns.collect::<Vec<_>>().join(" ")
        }
        b'D' => {
            let mut reader = crate::wire::Reader::new(body, "DataRow");
            let cells = (0..reader.count().unwrap()).map(|_| reader.value().unwrap().map_or("NULL".into(), text));
            cells.collect::<Vec<_>>().join("|")
        }
        b'C' => text(body).trim_end_matches('\0').to_owned(),
        b'E' | b'N' => {
            let report = Report::decode(body).unwrap();
            let field = |code| report.field(code).map(text).unwrap_or_default();
            let detail = report.field(b'D').map(|detail| format!("|D{}", text(detail))).unwrap_or_default();
            format!("{} {}{detail}", field(b'C'), field(b'M'))
        }
        b'S' => text(body).trim_end_matches('\0').replace('\0', " "),
        b'd' => text(body.strip_suffix(b"\n").unwrap_or(body)),
        b'Z' => text(body),
        _ => String::new(),
    }
}

/// Whole frames as a line.
pub(super) fn shown(mut bytes: &[u8], from_client: bool) -> String {
    let mut words = Vec::new();
    while let Some(header) = Header::read(bytes).unwrap() {
        let (frame, rest) = bytes.split_at(header.frame());
        let body = &frame[HEADER_BYTES..];
        let word = if from_client { client_word(header.tag, body) } else { server_word(header.tag, body) };
        words.push(format!("{} {word}", char::from(header.tag)).trim_end().to_owned());
        bytes = rest;
    }
    assert!(bytes.is_empty(), "part of a frame: {bytes:?}");
    words.join(" / ")
}
