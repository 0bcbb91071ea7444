//! `tsquery` (PostgreSQL manual, section 8.11.2; `tsquery.c`): a count of nodes (4 bytes) and the nodes, an operator before its
//! operands and the right one first. A lexeme is 1, its weights, whether it is a prefix, and its bytes up to a zero byte; an
//! operator is 2 and which one, behind FOLLOWED BY the distance (2).

use bytes::{BufMut, BytesMut};

use super::binary::Reader;
use super::character::{checked, is_space};
use super::{Scalar, ValueError};

const LEXEME: u8 = 1;
const OPERATOR: u8 = 2;
/// Bytes of a lexeme are fewer.
const LEXEME_BYTES_END: usize = 1 << 11;
/// Where a lexeme begins among all of them lies before.
const LEXEMES_BYTES_END: usize = 1 << 20;
const DISTANCE_MAX: u16 = 1 << 14;
const WEIGHTS_ALL: u8 = 0b1111;
/// Operators that wait for their right operand within one pair of parentheses.
const WAITING_MAX: usize = 32;
const NODES_MAX: usize = 0x3fff_ffff / 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Not,
    And,
    Or,
    /// FOLLOWED BY, so many lexemes later.
    Phrase(u16),
}

impl Operator {
    fn priority(self) -> u8 {
        match self {
            Self::Not => 4,
            Self::Phrase(_) => 3,
            Self::And => 2,
            Self::Or => 1,
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Not => 1,
            Self::And => 2,
            Self::Or => 3,
            Self::Phrase(_) => 4,
        }
    }
}

enum Node {
    Lexeme { text: String, weights: u8, prefix: bool },
    Operator(Operator),
}

/// The nodes, each operator behind its operands, the left one first.
struct Query(Vec<Node>);

fn syntax() -> ValueError {
    ValueError::new("42601", "syntax error in tsquery")
}

fn invalid(what: &'static str) -> ValueError {
    ValueError::new("XX000", what)
}

pub(super) fn read_text(text: &str) -> Result<Vec<u8>, ValueError> {
    // Which others are spaces depends on the server's locale.
    if text.chars().any(|next| !next.is_ascii() && next.is_whitespace()) {
        return Err(ValueError::new("0A000", "pgveil does not read this form of tsquery"));
    }
    let mut parser = Parser { rest: text, nodes: Vec::new(), waiting: vec![Vec::new()], bytes: 0 };
    parser.query()?;
    Query(parser.nodes).encode()
}

pub(super) fn from_binary(bytes: &[u8]) -> Result<Vec<u8>, ValueError> {
    Query::decode(bytes)?.encode()
}

pub(super) fn write_text(plaintext: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    let query = Query::decode(plaintext).map_err(|_| ValueError::damaged(Scalar::TsQuery))?;
    out.put_slice(query.infix()?.as_bytes());
    Ok(())
}

struct Parser<'a> {
    rest: &'a str,
    nodes: Vec<Node>,
    /// The operators that wait for what comes behind them, of each pair of parentheses that is open.
    waiting: Vec<Vec<Operator>>,
    /// Of all lexemes.
    bytes: usize,
}

impl<'a> Parser<'a> {
    fn query(&mut self) -> Result<(), ValueError> {
        self.spaces();
        if self.rest.is_empty() {
            return Ok(());
        }
        loop {
            self.operand()?;
            if !self.operator()? {
                return Ok(());
            }
        }
    }

    fn spaces(&mut self) {
        self.rest = self.rest.trim_start_matches(is_space);
    }

    fn takes(&mut self, character: char) -> bool {
        let behind = self.rest.strip_prefix(character);
        behind.map(|behind| self.rest = behind).is_some()
    }

    /// A lexeme, with what comes before it.
    fn operand(&mut self) -> Result<(), ValueError> {
        loop {
            self.spaces();
            if self.takes('!') {
                self.push(Operator::Not)?;
            } else if self.takes('(') {
                self.waiting.push(Vec::new());
            } else if self.rest.is_empty() {
                return Err(ValueError::new("42601", "no operand in tsquery"));
            } else if self.rest.starts_with(':') {
                return Err(syntax());
            } else {
                let text = if self.takes('\'') { self.quoted_word()? } else { self.word()? };
                if text.is_empty() {
                    return Err(syntax());
                }
                let (weights, prefix) = self.modifiers();
                return self.lexeme(text, weights, prefix);
            }
        }
    }

    /// What comes behind a lexeme, up to an operator that wants another; whether there is one.
    fn operator(&mut self) -> Result<bool, ValueError> {
        loop {
            self.spaces();
            if self.takes('&') {
                return self.push(Operator::And).map(|()| true);
            }
            if self.takes('|') {
                return self.push(Operator::Or).map(|()| true);
            }
            if self.rest.starts_with('<') {
                let phrase = self.phrase()?;
                return self.push(phrase).map(|()| true);
            }
            let inner = self.waiting.len() > 1;
            if inner && self.takes(')') {
                let waiting = self.waiting.pop().unwrap_or_default();
                self.nodes.extend(waiting.into_iter().rev().map(Node::Operator));
            } else if !inner && self.rest.is_empty() {
                let waiting = self.waiting.pop().unwrap_or_default();
                self.nodes.extend(waiting.into_iter().rev().map(Node::Operator));
                return Ok(false);
            } else {
                return Err(syntax());
            }
        }
    }

    /// An operator: those before it that bind as strongly have their operands.
    fn push(&mut self, operator: Operator) -> Result<(), ValueError> {
        let Some(waiting) = self.waiting.last_mut() else { return Err(syntax()) };
        let done = |before: &mut Operator| match operator {
            Operator::Not => operator.priority() < before.priority(),
            Operator::And | Operator::Or | Operator::Phrase(_) => operator.priority() <= before.priority(),
        };
        while let Some(before) = waiting.pop_if(done) {
            self.nodes.push(Node::Operator(before));
        }
        if waiting.len() >= WAITING_MAX {
            return Err(invalid("tsquery stack too small"));
        }
        waiting.push(operator);
        Ok(())
    }

    fn lexeme(&mut self, text: String, weights: u8, prefix: bool) -> Result<(), ValueError> {
        if text.len() >= LEXEME_BYTES_END {
            return Err(ValueError::new("54000", "word is too long in tsquery"));
        }
        if self.bytes >= LEXEMES_BYTES_END {
            return Err(ValueError::new("54000", "value is too big in tsquery"));
        }
        self.bytes = self.bytes.saturating_add(text.len()).saturating_add(1);
        self.nodes.push(Node::Lexeme { text, weights, prefix });
        Ok(())
    }

    /// `<->` or `<2>`
    fn phrase(&mut self) -> Result<Operator, ValueError> {
        let behind = self.rest.strip_prefix('<').ok_or_else(syntax)?;
        let (distance, behind) = match behind.strip_prefix('-') {
            Some(behind) => (1, behind),
            None => {
                let end = behind.bytes().take_while(u8::is_ascii_digit).count();
                let (digits, behind) = behind.split_at_checked(end).ok_or_else(syntax)?;
                if digits.is_empty() {
                    return Err(syntax());
                }
                let distance = digits.parse().ok().filter(|distance| *distance <= DISTANCE_MAX);
                (distance.ok_or_else(distance_is_wrong)?, behind)
            }
        };
        self.rest = behind.strip_prefix('>').ok_or_else(syntax)?;
        Ok(Operator::Phrase(distance))
    }

    /// `:*AB`
    fn modifiers(&mut self) -> (u8, bool) {
        let (mut weights, mut prefix) = (0, false);
        if !self.takes(':') {
            return (weights, prefix);
        }
        loop {
            match self.rest.chars().next() {
                Some('a' | 'A') => weights |= 1 << 3,
                Some('b' | 'B') => weights |= 1 << 2,
                Some('c' | 'C') => weights |= 1 << 1,
                Some('d' | 'D') => weights |= 1,
                Some('*') => prefix = true,
                Some(_) | None => return (weights, prefix),
            }
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
    }

    /// A lexeme behind its first quotation mark.
    fn quoted_word(&mut self) -> Result<String, ValueError> {
        let mut out = String::new();
        loop {
            match self.next()? {
                '\\' => out.push(self.escaped()?),
                '\'' if self.takes('\'') => out.push('\''),
                '\'' => return Ok(out),
                other => out.push(other),
            }
        }
    }

    /// A lexeme up to a space, colon or operator.
    fn word(&mut self) -> Result<String, ValueError> {
        let mut out = String::new();
        loop {
            match self.rest.chars().next() {
                None | Some('!' | '&' | '|' | '(' | ')' | '<' | ':') => return Ok(out),
                Some(space) if is_space(space) => return Ok(out),
                Some(_) => match self.next()? {
                    '\\' => out.push(self.escaped()?),
                    other => out.push(other),
                },
            }
        }
    }

    fn next(&mut self) -> Result<char, ValueError> {
        let mut characters = self.rest.chars();
        let next = characters.next().ok_or_else(syntax)?;
        self.rest = characters.as_str();
        Ok(next)
    }

    fn escaped(&mut self) -> Result<char, ValueError> {
        self.next().map_err(|_| ValueError::new("42601", "there is no escaped character"))
    }
}

fn distance_is_wrong() -> ValueError {
    ValueError::new("22023", "distance in phrase operator must be an integer value between zero and 16384 inclusive")
}

impl Query {
    fn decode(bytes: &[u8]) -> Result<Self, ValueError> {
        let mut reader = Reader::new(bytes);
        let count = usize::try_from(reader.u32()?).ok().filter(|count| *count <= NODES_MAX);
        let count = count.ok_or_else(|| invalid("invalid size of tsquery"))?;
        let mut nodes = Vec::new();
        let mut total = 0_usize;
        // Operands that are still to come.
        let mut wanted = usize::from(count > 0);
        for _ in 0..count {
            wanted = wanted.checked_sub(1).ok_or_else(|| invalid("malformed tsquery: extra nodes"))?;
            match reader.u8()? {
                LEXEME => {
                    let (weights, prefix) = (reader.u8()?, reader.u8()? != 0);
                    if weights > WEIGHTS_ALL {
                        return Err(invalid("invalid tsquery: invalid weight bitmap"));
                    }
                    let text = checked(reader.terminated()?)?.to_owned();
                    if text.len() > LEXEME_BYTES_END {
                        return Err(invalid("invalid tsquery: operand too long"));
                    }
                    if total > LEXEMES_BYTES_END {
                        return Err(invalid("invalid tsquery: total operand length exceeded"));
                    }
                    total = total.saturating_add(text.len()).saturating_add(1);
                    nodes.push(Node::Lexeme { text, weights, prefix });
                }
                OPERATOR => {
                    let operator = match reader.u8()? {
                        1 => Operator::Not,
                        2 => Operator::And,
                        3 => Operator::Or,
                        4 => Operator::Phrase(reader.u16()?),
                        _ => return Err(invalid("invalid tsquery: unrecognized operator type")),
                    };
                    wanted = wanted.saturating_add(if operator == Operator::Not { 1 } else { 2 });
                    nodes.push(Node::Operator(operator));
                }
                _ => return Err(invalid("unrecognized tsquery node type")),
            }
        }
        if wanted > 0 {
            return Err(invalid("malformed tsquery: operand not found"));
        }
        reader.end()?;
        nodes.reverse();
        Ok(Self(nodes))
    }

    fn encode(&self) -> Result<Vec<u8>, ValueError> {
        let too_large = || ValueError::new("54000", "tsquery is too large");
        let mut out = u32::try_from(self.0.len()).map_err(|_| too_large())?.to_be_bytes().to_vec();
        for node in self.0.iter().rev() {
            match node {
                Node::Lexeme { text, weights, prefix } => {
                    out.extend_from_slice(&[LEXEME, *weights, u8::from(*prefix)]);
                    out.extend_from_slice(text.as_bytes());
                    out.push(0);
                }
                Node::Operator(operator) => {
                    out.extend_from_slice(&[OPERATOR, operator.code()]);
                    if let Operator::Phrase(distance) = operator {
                        out.extend_from_slice(&distance.to_be_bytes());
                    }
                }
            }
        }
        Ok(out)
    }

    /// As the server writes it. Queries may be nested as deeply as they are long, so nothing here calls itself.
    fn infix(&self) -> Result<String, ValueError> {
        let mut operands: Vec<(String, Option<Operator>)> = Vec::new();
        for node in &self.0 {
            let mut operand = || operands.pop().ok_or_else(|| ValueError::damaged(Scalar::TsQuery));
            let written = match node {
                Node::Lexeme { text, weights, prefix } => (lexeme(text, *weights, *prefix), None),
                Node::Operator(operator @ Operator::Not) => {
                    let inner = within(operand()?, *operator, false);
                    (format!("!{inner}"), Some(*operator))
                }
                Node::Operator(operator) => {
                    let right = within(operand()?, *operator, true);
                    let mut left = within(operand()?, *operator, false);
                    match operator {
                        Operator::Phrase(1) => left.push_str(" <-> "),
                        // The server takes it for a signed number.
                        Operator::Phrase(distance) => left.push_str(&format!(" <{}> ", distance.cast_signed())),
                        Operator::And => left.push_str(" & "),
                        Operator::Or | Operator::Not => left.push_str(" | "),
                    }
                    left.push_str(&right);
                    (left, Some(*operator))
                }
            };
            operands.push(written);
        }
        Ok(operands.pop().map(|(text, _)| text).unwrap_or_default())
    }
}

/// An operand of that operator, in parentheses if it needs them: a phrase depends on its order.
fn within((text, own): (String, Option<Operator>), operator: Operator, right: bool) -> String {
    let phrases = |own: Operator| right && matches!((own, operator), (Operator::Phrase(_), Operator::Phrase(_)));
    match own {
        Some(own) if own.priority() < operator.priority() || phrases(own) => format!("( {text} )"),
        Some(_) | None => text,
    }
}

fn lexeme(text: &str, weights: u8, prefix: bool) -> String {
    let mut out = String::from("'");
    for character in text.chars() {
        if matches!(character, '\'' | '\\') {
            out.push(character);
        }
        out.push(character);
    }
    out.push('\'');
    if prefix || weights != 0 {
        out.push(':');
    }
    if prefix {
        out.push('*');
    }
    out.extend((0..4_u8).rev().filter(|bit| weights & (1 << bit) != 0).map(|bit| char::from(b'D' - bit)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Result<String, String> {
        let plaintext = read_text(text).map_err(|error| error.message.into_owned())?;
        assert_eq!(from_binary(&plaintext).unwrap(), plaintext, "{text}");
        let mut out = BytesMut::new();
        write_text(&plaintext, &mut out).unwrap();
        let out = String::from_utf8(out.to_vec()).unwrap();
        assert_eq!(read_text(&out).unwrap(), plaintext, "{out}");
        Ok(out)
    }

    #[test]
    fn a_query_is_written_as_the_server_writes_it() {
        for (text, expected) in [
            ("", ""),
            (" \t", ""),
            ("a", "'a'"),
            ("a & b | c", "'a' & 'b' | 'c'"),
            ("a & (b | c)", "'a' & ( 'b' | 'c' )"),
            ("!a & !(b & c)", "!'a' & !( 'b' & 'c' )"),
            ("!!a", "!!'a'"),
            ("a <-> b <2> c", "'a' <-> 'b' <2> 'c'"),
            ("a <-> (b <-> c)", "'a' <-> ( 'b' <-> 'c' )"),
            ("(a | b) & c:*Ab", "( 'a' | 'b' ) & 'c':*AB"),
            ("'it''s \\'x' & b\\\\:dD", "'it''s ''x' & 'b\\\\':D"),
            ("a|b&c", "'a' | 'b' & 'c'"),
            ("ä&'x y'", "'ä' & 'x y'"),
            ("a <0> b", "'a' <0> 'b'"),
        ] {
            assert_eq!(written(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_query_is_refused() {
        for (text, message) in [
            ("a b", "syntax error in tsquery"),
            ("a &", "no operand in tsquery"),
            ("(a", "syntax error in tsquery"),
            ("a)", "syntax error in tsquery"),
            ("()", "syntax error in tsquery"),
            (":a", "syntax error in tsquery"),
            ("''", "syntax error in tsquery"),
            ("'a", "syntax error in tsquery"),
            ("a\\", "there is no escaped character"),
            ("a <16385> b", "distance in phrase operator must be an integer value between zero and 16384 inclusive"),
            ("a < b", "syntax error in tsquery"),
        ] {
            assert_eq!(written(text), Err(message.to_owned()), "{text}");
        }
        assert!(read_text(&"(".repeat(100_000)).is_err());
        assert!(read_text(&format!("{}a{}", "(".repeat(100_000), ")".repeat(100_000))).is_ok());
        assert_eq!(written(&"!".repeat(33)), Err("tsquery stack too small".to_owned()));
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        for bytes in [
            &[][..],
            &[0, 0, 0, 1],
            &[0, 0, 0, 1, 2, 2],
            &[0, 0, 0, 2, 1, 0, 0, b'a', 0, 1, 0, 0, b'b', 0],
            &[0, 0, 0, 1, 1, 16, 0, b'a', 0],
            &[0, 0, 0, 1, 1, 0, 0, b'a'],
            &[0, 0, 0, 1, 3],
            &[0, 0, 0, 0, 0],
            &[0xff, 0xff, 0xff, 0xff],
        ] {
            assert!(from_binary(bytes).is_err(), "{bytes:?}");
        }
    }
}
