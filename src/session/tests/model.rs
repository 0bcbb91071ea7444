//! A small server that answers as PostgreSQL does (tcop/postgres.c): order of replies, errors and what they skip,
//! transactions, and the tables of statements and portals.

use std::collections::BTreeMap;

use super::frames;
use crate::wire::frame::{HEADER_BYTES, Header};

/// What a statement returns: its description and its rows. The rows of tagged columns hold the word `anary`.
const RESULTS: [(&str, &str, &[&str]); 4] = [
    ("SELECT 1", "?column?:23", &["1"]),
    ("SELECT note FROM notes", "note=16385.2:25", &["one", "two", "three"]),
    ("SELECT name FROM customers", "name=16384.2:25", &["Canary", "Canary", "Canary"]),
    ("SELECT lower(name) FROM customers", "lower:25", &["canary", "canary", "canary"]),
];

struct Portal {
    text: String,
    rows: Option<Vec<&'static str>>,
    cursor: bool,
}

/// The server.
pub(super) struct Model {
    status: char,
    statements: BTreeMap<String, String>,
    portals: BTreeMap<String, Portal>,
    skipping: bool,
    input: Vec<u8>,
}

type Failed = &'static str;

impl Model {
    pub(super) fn new() -> Self {
        Self { status: 'I', statements: BTreeMap::new(), portals: BTreeMap::new(), skipping: false, input: Vec::new() }
    }

    /// Take bytes, and answer the whole frames among them.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.input.extend_from_slice(bytes);
        let mut replies = Vec::new();
        while let Some(header) = Header::read(&self.input).unwrap() {
            if self.input.len() < header.frame() {
                break;
            }
            let frame: Vec<u8> = self.input.drain(..header.frame()).collect();
            let words = self.message(header.tag, &frame[HEADER_BYTES..]);
            if !words.is_empty() {
                replies.extend_from_slice(&frames::server(&words.join(" / ")));
            }
        }
        replies
    }

    fn message(&mut self, tag: u8, body: &[u8]) -> Vec<String> {
        let strings: Vec<String> = body.split(|byte| *byte == 0).map(|s| String::from_utf8_lossy(s).into()).collect();
        if tag == b'S' {
            self.skipping = false;
            self.end_implicit();
            return vec![format!("Z {}", self.status)];
        }
        if self.skipping {
            return Vec::new();
        }
        if tag == b'Q' {
            let mut words = Vec::new();
            for text in strings[0].split("; ") {
                match self.simple(text) {
                    Ok(mut more) => words.append(&mut more),
                    Err(code) => {
                        self.fail();
                        words.push(format!("E {code}"));
                        break;
                    }
                }
            }
            self.end_implicit();
            words.push(format!("Z {}", self.status));
            return words;
        }
        let answer = match tag {
            b'P' => self.parse(&strings[0], &strings[1]),
            b'B' => self.bind(&strings[0], &strings[1]),
            b'D' => self.describe(&strings[0]),
            b'E' => self.execute(&strings[0], body[body.len() - 1]),
            b'C' => {
                let (subject, name) = strings[0].split_at(1);
                match subject {
                    "S" => drop(self.statements.remove(name)),
                    _ => drop(self.portals.remove(name)),
                }
                Ok(vec!["3".into()])
            }
            _ => Ok(Vec::new()),
        };
        answer.unwrap_or_else(|code| {
            self.fail();
            self.skipping = true;
            vec![format!("E {code}")]
        })
    }

    fn fail(&mut self) {
        if self.status == 'T' {
            self.status = 'E';
        }
        self.portals.clear();
    }

    fn end_implicit(&mut self) {
        if self.status == 'I' {
            self.portals.clear();
        }
    }

    /// Whether the text can be analysed at all.
    fn analysed(&self, text: &str) -> Result<(), Failed> {
        let ends = matches!(text, "COMMIT" | "ROLLBACK");
        if self.status == 'E' && !ends {
            return Err("25P02");
        }
        let known = ["BEGIN", "PREPARE", "EXECUTE", "DEALLOCATE", "DECLARE", "FETCH", "CLOSE"];
        let first = text.split(' ').next().unwrap_or_default();
        let select = RESULTS.iter().any(|(known, ..)| *known == text);
        if ends || select || known.contains(&first) { Ok(()) } else { Err("42P01") }
    }

    fn named(text: &str) -> &str {
        text.rsplit(' ').next().unwrap_or_default()
    }

    /// What a text returns; none: nothing.
    fn result(&self, text: &str) -> Result<Option<(&'static str, Vec<&'static str>)>, Failed> {
        if text.starts_with("EXECUTE") {
            let text = self.statements.get(Self::named(text)).ok_or("26000")?;
            return if text.starts_with("EXECUTE") { Err("54001") } else { self.result(text) };
        }
        if text.starts_with("FETCH") {
            let cursor = self.portals.get(Self::named(text)).ok_or("34000")?;
            return if cursor.text.starts_with("FETCH") { Err("34000") } else { self.result(&cursor.text) };
        }
        Ok(RESULTS.iter().find(|(known, ..)| *known == text).map(|(_, columns, rows)| (*columns, rows.to_vec())))
    }

    fn simple(&mut self, text: &str) -> Result<Vec<String>, Failed> {
        self.analysed(text)?;
        match self.result(text)? {
            Some((columns, rows)) => {
                let mut words = vec![format!("T {columns}")];
                words.extend(rows.iter().map(|row| format!("D {row}")));
                words.push("C SELECT".into());
                Ok(words)
            }
            None => self.utility(text),
        }
    }

    fn utility(&mut self, text: &str) -> Result<Vec<String>, Failed> {
        let words: Vec<&str> = text.split(' ').collect();
        match words.as_slice() {
            ["BEGIN"] => self.status = 'T',
            ["COMMIT" | "ROLLBACK"] => {
                self.status = 'I';
                self.portals.clear();
            }
            ["PREPARE", name, "AS", ..] => {
                if self.statements.contains_key(*name) {
                    return Err("42P05");
                }
                let inner = text.split_once(" AS ").unwrap().1;
                self.analysed(inner)?;
                self.statements.insert((*name).into(), inner.into());
            }
            ["DEALLOCATE", name] => drop(self.statements.remove(*name).ok_or("26000")?),
            ["DECLARE", name, "CURSOR", "FOR", ..] => {
                if self.status != 'T' {
                    return Err("25P01");
                }
                if self.portals.contains_key(*name) {
                    return Err("42P03");
                }
                let text = text.split_once(" FOR ").unwrap().1.to_owned();
                self.portals.insert((*name).into(), Portal { text, rows: None, cursor: true });
                return Ok(vec!["C DECLARE CURSOR".into()]);
            }
            ["CLOSE", name] => {
                self.portals.remove(*name).ok_or("34000")?;
                return Ok(vec!["C CLOSE CURSOR".into()]);
            }
            _ => return Err("42601"),
        }
        Ok(vec![format!("C {}", words[0])])
    }

    fn parse(&mut self, name: &str, text: &str) -> Result<Vec<String>, Failed> {
        if name.is_empty() {
            self.statements.remove("");
        }
        self.analysed(text)?;
        if self.statements.contains_key(name) {
            return Err("42P05");
        }
        self.statements.insert(name.into(), text.into());
        Ok(vec!["1".into()])
    }

    fn bind(&mut self, portal: &str, statement: &str) -> Result<Vec<String>, Failed> {
        let text = self.statements.get(statement).ok_or("26000")?.clone();
        self.analysed(&text)?;
        self.result(&text)?;
        if !portal.is_empty() && self.portals.contains_key(portal) {
            return Err("42P03");
        }
        self.portals.insert(portal.into(), Portal { text, rows: None, cursor: false });
        Ok(vec!["2".into()])
    }

    fn describe(&mut self, what: &str) -> Result<Vec<String>, Failed> {
        let (subject, name) = what.split_at(1);
        let (text, mut words) = match subject {
            "S" => (self.statements.get(name).ok_or("26000")?, vec!["t".to_owned()]),
            _ => (&self.portals.get(name).ok_or("34000")?.text, Vec::new()),
        };
        if self.status == 'E' {
            return Err("25P02");
        }
        words.push(self.result(text)?.map_or("n".into(), |(columns, _)| format!("T {columns}")));
        Ok(words)
    }

    fn execute(&mut self, portal: &str, limit: u8) -> Result<Vec<String>, Failed> {
        let (text, cursor) = self.portals.get(portal).map(|known| (known.text.clone(), known.cursor)).ok_or("34000")?;
        self.analysed(&text)?;
        let Some((_, all)) = self.result(&text)? else {
            return self.utility(&text);
        };
        let known = self.portals.get_mut(portal).ok_or("34000")?;
        let rows = known.rows.get_or_insert(all);
        let suspends = limit > 0 && rows.len() >= usize::from(limit) && !cursor;
        let count = if suspends { usize::from(limit) } else { rows.len() };
        let mut words: Vec<String> = rows.drain(..count).map(|row| format!("D {row}")).collect();
        words.push(if suspends { "s".into() } else { "C SELECT".into() });
        Ok(words)
    }
}
