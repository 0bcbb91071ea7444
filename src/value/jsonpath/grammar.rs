//! Paths out of tokens (`jsonpath_gram.y`).

use super::lexer::{Token, tokens};
use super::regex::{self, Flags};
use super::{Item, Operator, Path, ValueError, syntax, unread};
use crate::value::numeric;

/// How deep paths may be nested in each other.
const DEPTH_MAX: u32 = 100;
/// Operators that may stand beside each other: the tree leans to the left.
const OPERATORS_MAX: u32 = 200;

/// Methods without arguments.
const METHODS: [&str; 7] = ["abs", "size", "type", "floor", "double", "ceiling", "keyvalue"];
/// Methods of PostgreSQL 17.
const LATER: [&str; 11] = [
    "bigint",
    "boolean",
    "date",
    "decimal",
    "integer",
    "number",
    "string",
    "time",
    "time_tz",
    "timestamp",
    "timestamp_tz",
];
const KEY_WORDS: [&str; 10] =
    ["exists", "flag", "is", "last", "lax", "like_regex", "starts", "strict", "to", "unknown"];

pub(super) struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    depth: u32,
    operators: u32,
}

type Parsed<T = Path> = Result<T, ValueError>;

impl Parser {
    /// The path, and whether it is strict.
    pub fn whole(text: &str) -> Parsed<(Path, bool)> {
        let tokens = tokens(text)?;
        if tokens.is_empty() {
            return Err(ValueError::new("22P02", "invalid input syntax for type jsonpath"));
        }
        let mut parser = Self { tokens: tokens.into_iter().peekable(), depth: 0, operators: 0 };
        let strict = parser.takes_word("strict");
        if !strict {
            parser.takes_word("lax");
        }
        let path = parser.any()?;
        match parser.tokens.next() {
            None => Ok((path, strict)),
            Some(_) => Err(syntax()),
        }
    }

    fn takes(&mut self, sign: &str) -> bool {
        self.tokens.next_if(|next| matches!(next, Token::Sign(found) if *found == sign)).is_some()
    }

    fn expect(&mut self, sign: &str) -> Parsed<()> {
        if self.takes(sign) { Ok(()) } else { Err(syntax()) }
    }

    fn takes_word(&mut self, word: &str) -> bool {
        self.tokens.next_if(|next| is_word(next, word)).is_some()
    }

    fn is_next(&mut self, sign: &str) -> bool {
        matches!(self.tokens.peek(), Some(Token::Sign(found)) if *found == sign)
    }

    /// A value or a condition.
    fn any(&mut self) -> Parsed {
        self.depth = self.depth.saturating_add(1);
        if self.depth > DEPTH_MAX {
            return Err(unread());
        }
        let mut left = self.conjunction()?;
        while self.takes("||") {
            let right = self.conjunction()?;
            left = self.joined(Operator::Or, left, right, true)?;
        }
        self.depth = self.depth.saturating_sub(1);
        Ok(left)
    }

    fn conjunction(&mut self) -> Parsed {
        let mut left = self.condition()?;
        while self.takes("&&") {
            let right = self.condition()?;
            left = self.joined(Operator::And, left, right, true)?;
        }
        Ok(left)
    }

    fn joined(&mut self, operator: Operator, left: Path, right: Path, of_predicates: bool) -> Parsed {
        self.operators = self.operators.saturating_add(1);
        if self.operators > OPERATORS_MAX {
            return Err(unread());
        }
        if left.is_predicate() != of_predicates || right.is_predicate() != of_predicates {
            return Err(syntax());
        }
        Ok(Path::of(Item::Binary(operator, Box::new(left), Box::new(right))))
    }

    /// A comparison or the like, or a value.
    fn condition(&mut self) -> Parsed {
        if self.takes("!") {
            let (inner, _) = match self.tokens.peek() {
                Some(Token::Sign("(")) => self.primary()?,
                Some(next) if is_word(next, "exists") => self.primary()?,
                Some(_) | None => return Err(syntax()),
            };
            return match inner.is_predicate() {
                true => Ok(Path::of(Item::Not(Box::new(inner)))),
                false => Err(syntax()),
            };
        }
        let (left, in_parens) = self.sum()?;
        if left.is_predicate() {
            if in_parens && self.takes_word("is") {
                return match self.takes_word("unknown") {
                    true => Ok(Path::of(Item::IsUnknown(Box::new(left)))),
                    false => Err(syntax()),
                };
            }
            return Ok(left);
        }
        const COMPARISONS: [(&str, Operator); 7] = [
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<>", Operator::NotEqual),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        if let Some((_, operator)) = COMPARISONS.into_iter().find(|(sign, _)| self.takes(sign)) {
            let (right, _) = self.sum()?;
            return self.joined(operator, left, right, false);
        }
        if self.takes_word("starts") {
            if !self.takes_word("with") {
                return Err(syntax());
            }
            let right = match self.tokens.next() {
                Some(Token::Text(text)) => Item::Text(text),
                Some(Token::Variable(name)) => Item::Variable(name),
                Some(_) | None => return Err(syntax()),
            };
            return self.joined(Operator::StartsWith, left, Path::of(right), false);
        }
        if self.takes_word("like_regex") {
            let Some(Token::Text(pattern)) = self.tokens.next() else { return Err(syntax()) };
            let flags = match self.takes_word("flag") {
                false => Flags::default(),
                true => match self.tokens.next() {
                    Some(Token::Text(flags)) => Flags::read(&flags)?,
                    Some(_) | None => return Err(syntax()),
                },
            };
            regex::check(&pattern, flags)?;
            return Ok(Path::of(Item::Regex { subject: Box::new(left), pattern, flags }));
        }
        Ok(left)
    }

    /// Terms with `+` and `-` between them; and whether it is nothing but a condition in parentheses.
    fn sum(&mut self) -> Parsed<(Path, bool)> {
        let (mut left, mut in_parens) = self.product()?;
        loop {
            let operator = match () {
                () if self.takes("+") => Operator::Add,
                () if self.takes("-") => Operator::Subtract,
                () => return Ok((left, in_parens)),
            };
            let (right, _) = self.product()?;
            (left, in_parens) = (self.joined(operator, left, right, false)?, false);
        }
    }

    fn product(&mut self) -> Parsed<(Path, bool)> {
        let (mut left, mut in_parens) = self.signed()?;
        loop {
            let operator = match () {
                () if self.takes("*") => Operator::Multiply,
                () if self.takes("/") => Operator::Divide,
                () if self.takes("%") => Operator::Modulo,
                () => return Ok((left, in_parens)),
            };
            let (right, _) = self.signed()?;
            (left, in_parens) = (self.joined(operator, left, right, false)?, false);
        }
    }

    fn signed(&mut self) -> Parsed<(Path, bool)> {
        let minus = self.takes("-");
        if !minus && !self.takes("+") {
            return self.primary();
        }
        self.depth = self.depth.saturating_add(1);
        if self.depth > DEPTH_MAX {
            return Err(unread());
        }
        let (inner, _) = self.signed()?;
        self.depth = self.depth.saturating_sub(1);
        if inner.is_predicate() {
            return Err(syntax());
        }
        let signed = match inner {
            Path { head: Item::Number(number), accessors } if accessors.is_empty() => {
                Path::of(Item::Number(match minus {
                    true => negated(number),
                    false => number,
                }))
            }
            inner if minus => Path::of(Item::Minus(Box::new(inner))),
            inner => Path::of(Item::Plus(Box::new(inner))),
        };
        Ok((signed, false))
    }

    /// What a path begins with, and what follows; and whether it is nothing but a condition in parentheses.
    fn primary(&mut self) -> Parsed<(Path, bool)> {
        let mut in_parens = false;
        let mut path = match self.tokens.next().ok_or_else(syntax)? {
            Token::Text(text) => Path::of(Item::Text(text)),
            Token::Variable(name) => Path::of(Item::Variable(name)),
            Token::Integer(number) | Token::Decimal(number) => Path::of(Item::Number(canonical(&number)?)),
            Token::Sign("$") => Path::of(Item::Root),
            Token::Sign("@") => Path::of(Item::Current),
            Token::Sign("(") => {
                let inner = self.any()?;
                self.expect(")")?;
                in_parens = inner.is_predicate();
                inner
            }
            Token::Word(word) if is_word(&Token::Word(word.clone()), "exists") => {
                self.expect("(")?;
                let inner = self.any()?;
                self.expect(")")?;
                if inner.is_predicate() {
                    return Err(syntax());
                }
                // No accessor stands behind it.
                return Ok((Path::of(Item::Exists(Box::new(inner))), false));
            }
            Token::Word(word) => match word.as_str() {
                "null" => Path::of(Item::Null),
                "true" => Path::of(Item::Bool(true)),
                "false" => Path::of(Item::Bool(false)),
                _ if word.eq_ignore_ascii_case("last") => Path::of(Item::Last),
                _ => return Err(syntax()),
            },
            Token::Sign(_) => return Err(syntax()),
        };
        while let Some(accessor) = self.accessor()? {
            in_parens = false;
            path.accessors.push(accessor);
        }
        Ok((path, in_parens))
    }

    fn accessor(&mut self) -> Parsed<Option<Item>> {
        if self.takes("?") {
            self.expect("(")?;
            let inner = self.any()?;
            self.expect(")")?;
            return if inner.is_predicate() { Ok(Some(Item::Filter(Box::new(inner)))) } else { Err(syntax()) };
        }
        if self.takes("[") {
            return self.elements().map(Some);
        }
        if !self.takes(".") {
            return Ok(None);
        }
        let item = match self.tokens.next().ok_or_else(syntax)? {
            Token::Sign("*") => Item::AnyKey,
            Token::Sign("**") => self.levels()?,
            Token::Text(key) => Item::Key(key),
            Token::Word(word) if self.is_next("(") => return self.method(&word).map(Some),
            Token::Word(word) => Item::Key(word),
            Token::Sign(_) | Token::Variable(_) | Token::Integer(_) | Token::Decimal(_) => return Err(syntax()),
        };
        Ok(Some(item))
    }

    fn method(&mut self, word: &str) -> Parsed<Item> {
        self.expect("(")?;
        if word.eq_ignore_ascii_case("datetime") {
            let template = match self.tokens.next_if(|next| matches!(next, Token::Text(_))) {
                Some(Token::Text(template)) => Some(template),
                Some(_) | None => None,
            };
            // Numbers are taken by later majors.
            return if self.takes(")") { Ok(Item::Datetime(template)) } else { Err(syntax()) };
        }
        if LATER.iter().any(|method| word.eq_ignore_ascii_case(method)) {
            return Err(unread());
        }
        let method = METHODS.into_iter().find(|method| word.eq_ignore_ascii_case(method)).ok_or_else(syntax)?;
        self.expect(")")?;
        Ok(Item::Method(method))
    }

    fn elements(&mut self) -> Parsed<Item> {
        if self.takes("*") {
            self.expect("]")?;
            return Ok(Item::AnyElement);
        }
        let mut elements = Vec::new();
        loop {
            let from = self.value()?;
            let to = if self.takes_word("to") { Some(self.value()?) } else { None };
            elements.push((from, to));
            if self.takes("]") {
                return Ok(Item::Elements(elements));
            }
            self.expect(",")?;
        }
    }

    /// A value, not a condition.
    fn value(&mut self) -> Parsed {
        let value = self.any()?;
        if value.is_predicate() { Err(syntax()) } else { Ok(value) }
    }

    fn levels(&mut self) -> Parsed<Item> {
        if !self.takes("{") {
            return Ok(Item::Levels(Some(0), None));
        }
        let first = self.level()?;
        let last = if self.takes_word("to") { self.level()? } else { first };
        self.expect("}")?;
        Ok(Item::Levels(first, last))
    }

    fn level(&mut self) -> Parsed<Option<u32>> {
        if self.takes_word("last") {
            return Ok(None);
        }
        let Some(Token::Integer(digits)) = self.tokens.next() else { return Err(syntax()) };
        let level: i32 =
            digits.parse().map_err(|_| ValueError::new("22003", "value is out of range for type integer"))?;
        u32::try_from(level).map(Some).map_err(|_| syntax())
    }
}

/// Key words are words in any case, but for `null`, `true` and `false`.
fn is_word(token: &Token, word: &str) -> bool {
    debug_assert!(KEY_WORDS.contains(&word) || word == "with");
    matches!(token, Token::Word(found) if found.eq_ignore_ascii_case(word))
}

/// A number as PostgreSQL prints it.
fn canonical(number: &str) -> Result<String, ValueError> {
    let mut text = bytes::BytesMut::new();
    numeric::write_text(&numeric::read_text(number)?, &mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn negated(number: String) -> String {
    match number.strip_prefix('-') {
        Some(positive) => positive.to_owned(),
        None if number.bytes().any(|digit| (b'1'..=b'9').contains(&digit)) => format!("-{number}"),
        None => number,
    }
}
