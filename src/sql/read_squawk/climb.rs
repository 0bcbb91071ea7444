//! Operators: the leaves of squawk's operator nodes in their order, grouped again by PostgreSQL's own precedence.
//!
//! squawk takes `2 + a BETWEEN 1 AND 3` for `2 + (a BETWEEN 1 AND 3)`; `gram.y` has the table that counts. Chains to the
//! left cost no stack.

use squawk_syntax::{SyntaxElement, SyntaxKind as K, SyntaxNode};

use super::expr::{list_or_query, primary, quantifier};
use super::literal::literal;
use super::names::{name, path};
use super::parts::{Parts, Read, only_child};
use super::types::{is_type, type_name};
use crate::catalog::Name;
use crate::sql::NotUnderstood;
use crate::sql::tree::{Constant, Expr, Junction, LikeKind, ObjectName, Operator};

/// Levels of precedence, from the table at the head of `gram.y`.
type Level = u8;
const OR: Level = 1;
const AND: Level = 2;
const NOT: Level = 3;
const IS: Level = 4;
const COMPARISON: Level = 5;
const MATCH: Level = 6;
const ESCAPE: Level = 7;
const OPERATOR: Level = 8;
const SUM: Level = 9;
const PRODUCT: Level = 10;
const POWER: Level = 11;
const AT: Level = 12;
const COLLATE: Level = 13;
const SIGN: Level = 14;
const TYPECAST: Level = 16;

/// Whether a node is one of operators, to be grouped here; `CAST(...)` and `type 'literal'` are not.
pub(super) fn is_operation(node: &SyntaxNode) -> bool {
    match node.kind() {
        K::BIN_EXPR | K::PREFIX_EXPR | K::POSTFIX_EXPR | K::BETWEEN_EXPR | K::COLLATE => true,
        K::CAST_EXPR => node.children().any(|child| child.kind() == K::COLON_COLON),
        _ => false,
    }
}

/// Whether a node is the rest of an expression whose beginning is the node before it: squawk leaves the left side of
/// `a::int BETWEEN 1 AND 2` outside.
pub(super) fn is_continuation(node: &SyntaxNode) -> bool {
    let mut node = node.clone();
    while matches!(node.kind(), K::BIN_EXPR | K::POSTFIX_EXPR | K::COLLATE | K::CAST_EXPR) {
        match node.first_child() {
            Some(first) => node = first,
            None => return false,
        }
    }
    let first = node.first_token().map(|token| token.kind());
    node.kind() == K::BETWEEN_EXPR && matches!(first, Some(K::BETWEEN_KW | K::NOT_KW)) && !starts_with_operand(&node)
}

/// Whether the first child of a `BETWEEN_EXPR` is its left side.
fn starts_with_operand(node: &SyntaxNode) -> bool {
    Parts::of(node, "BETWEEN").next().is_some_and(|first| first.as_node().is_some())
}

/// The value of operator nodes: one, or one and its continuations.
pub(super) fn operation(nodes: Vec<SyntaxNode>) -> Read<Expr> {
    let mut leaves = Vec::new();
    let mut open = vec![Parts::these(nodes, "an operator of an unusual form")];
    while let Some(mut parts) = open.pop() {
        let Some(element) = parts.next() else { continue };
        open.push(parts);
        match element.as_node() {
            Some(node) if is_operation(node) => open.push(Parts::of(node, "an operator of an unusual form")),
            Some(_) | None => leaves.push(element),
        }
    }
    let mut climb = Climb { leaves: leaves.into_iter().peekable() };
    let value = climb.value(OR)?;
    if climb.leaves.next().is_some() { Err(NotUnderstood::Syntax) } else { Ok(value) }
}

struct Climb {
    leaves: std::iter::Peekable<std::vec::IntoIter<SyntaxElement>>,
}

/// An operator before its operand.
enum Prefix {
    Not,
    Symbol(Level, Operator),
}

/// What may follow an operand.
enum Infix {
    Logic(Junction),
    /// An operator; on its right may stand ANY, SOME or ALL.
    Symbol(Operator),
    Like(LikeKind),
    In,
    Between,
    Is,
    Distinct,
    /// `IS JSON`, `IS NORMALIZED`: all of it.
    Test,
    Null,
    AtTimeZone,
    AtLocal,
    Overlaps,
    Collate,
    Cast,
}

impl Climb {
    fn kind(&mut self) -> Option<K> {
        self.leaves.peek().map(SyntaxElement::kind)
    }

    fn node(&mut self) -> Read<SyntaxNode> {
        self.leaves.next().and_then(SyntaxElement::into_node).ok_or(NotUnderstood::Syntax)
    }

    /// An operand and all operators after it that bind at least as strongly as `min`.
    fn value(&mut self, min: Level) -> Read<Expr> {
        let mut prefixes = Vec::new();
        while let Some(prefix) = self.prefix()? {
            prefixes.push(prefix);
        }
        let mut value = primary(&self.node()?)?;
        while self.kind() == Some(K::OVERLAPS_KW) {
            value = self.apply(value, Infix::Overlaps, TYPECAST)?;
        }
        for prefix in prefixes.into_iter().rev() {
            value = match prefix {
                Prefix::Not => Expr::Logic(Junction::Not, vec![self.climb(value, NOT)?]),
                Prefix::Symbol(level, operator) => {
                    // `- - x` groups to the right, `@ a || b` to the left.
                    let operand = self.climb(value, level + u8::from(level == OPERATOR))?;
                    Expr::Operator(operator, vec![operand])
                }
            };
        }
        self.climb(value, min)
    }

    fn prefix(&mut self) -> Read<Option<Prefix>> {
        let prefix = match self.kind() {
            Some(K::NOT_KW) => Prefix::Not,
            Some(K::PLUS | K::MINUS) => {
                let symbol = if self.kind() == Some(K::PLUS) { "+" } else { "-" };
                Prefix::Symbol(SIGN, unqualified(symbol))
            }
            Some(K::CUSTOM_OP | K::OPERATOR_CALL) => {
                return Ok(Some(Prefix::Symbol(OPERATOR, operator(&self.node()?)?)));
            }
            Some(_) | None => return Ok(None),
        };
        self.leaves.next();
        Ok(Some(prefix))
    }

    fn climb(&mut self, mut left: Expr, min: Level) -> Read<Expr> {
        // After `a < b` no other comparison may follow, and the like: `%nonassoc`.
        let mut closed = None;
        while let Some((level, infix)) = self.peek_infix() {
            if level < min {
                break;
            }
            if closed == Some(level) {
                return Err(NotUnderstood::Syntax);
            }
            let nonassociative = matches!(infix, Infix::Symbol(_) | Infix::Like(_) | Infix::Between | Infix::Distinct)
                && matches!(level, IS | COMPARISON | MATCH);
            left = self.apply(left, infix, level)?;
            // What ends in a parenthesis or keyword is complete.
            let complete = matches!(left, Expr::Quantified(..) | Expr::QuantifiedQuery(..));
            closed = (nonassociative && !complete).then_some(level);
        }
        Ok(left)
    }

    /// The operator that is next, with its level. An explicit `NOT` before BETWEEN is a leaf of its own.
    fn peek_infix(&mut self) -> Option<(Level, Infix)> {
        let element = self.leaves.peek()?;
        let infix = match element.kind() {
            K::OR_KW => (OR, Infix::Logic(Junction::Or)),
            K::AND_KW => (AND, Infix::Logic(Junction::And)),
            K::IS_KW | K::IS_NOT => (IS, Infix::Is),
            K::ISNULL_KW | K::NOTNULL_KW => (IS, Infix::Null),
            K::IS_DISTINCT_FROM | K::IS_NOT_DISTINCT_FROM => (IS, Infix::Distinct),
            kind if is_test(kind) => (IS, Infix::Test),
            K::EQ | K::L_ANGLE | K::R_ANGLE | K::LTEQ | K::GTEQ | K::NEQ | K::NEQB => {
                let token = element.as_token()?;
                (COMPARISON, Infix::Symbol(unqualified(token.text())))
            }
            K::LIKE_KW | K::NOT_LIKE => (MATCH, Infix::Like(LikeKind::Like)),
            K::ILIKE_KW | K::NOT_ILIKE => (MATCH, Infix::Like(LikeKind::Ilike)),
            K::SIMILAR_TO | K::NOT_SIMILAR_TO => (MATCH, Infix::Like(LikeKind::SimilarTo)),
            K::IN_KW | K::NOT_IN => (MATCH, Infix::In),
            K::BETWEEN_KW | K::NOT_KW => (MATCH, Infix::Between),
            K::CUSTOM_OP | K::OPERATOR_CALL => (OPERATOR, Infix::Symbol(operator(element.as_node()?).ok()?)),
            K::PLUS | K::MINUS => (SUM, Infix::Symbol(unqualified(element.as_token()?.text()))),
            K::STAR | K::SLASH | K::PERCENT => (PRODUCT, Infix::Symbol(unqualified(element.as_token()?.text()))),
            K::CARET => (POWER, Infix::Symbol(unqualified("^"))),
            K::AT_TIME_ZONE => (AT, Infix::AtTimeZone),
            K::AT_LOCAL => (AT, Infix::AtLocal),
            K::COLLATE_KW => (COLLATE, Infix::Collate),
            K::COLON_COLON => (TYPECAST, Infix::Cast),
            _ => return None,
        };
        Some(infix)
    }

    /// Take the operator that [`Self::peek_infix`] has seen, and its right side.
    fn apply(&mut self, left: Expr, infix: Infix, level: Level) -> Read<Expr> {
        let taken = self.leaves.next().ok_or(NotUnderstood::Syntax)?;
        let negated = matches!(taken.kind(), K::NOT_LIKE | K::NOT_ILIKE);
        Ok(match infix {
            Infix::Logic(junction) => {
                let right = self.value(level + 1)?;
                match left {
                    Expr::Logic(before, mut operands) if before == junction => {
                        operands.push(right);
                        Expr::Logic(junction, operands)
                    }
                    left => Expr::Logic(junction, vec![left, right]),
                }
            }
            Infix::Symbol(operator) => match self.quantified()? {
                Some(array) => quantifier(left, operator, &array)?,
                None => Expr::Operator(operator, vec![left, self.value(level + 1)?]),
            },
            Infix::Like(kind) => match (self.quantified()?, like_symbol(kind, negated)) {
                (Some(array), Some(symbol)) => quantifier(left, unqualified(symbol), &array)?,
                (Some(_), None) => return Err(NotUnderstood::Syntax),
                (None, _) => {
                    let pattern = self.value(ESCAPE + 1)?;
                    let escape = if self.kind() == Some(K::ESCAPE_KW) {
                        self.leaves.next();
                        Some(Box::new(self.value(ESCAPE + 1)?))
                    } else {
                        None
                    };
                    Expr::Like { kind, subject: Box::new(left), pattern: Box::new(pattern), escape }
                }
            },
            Infix::In => list_or_query(left, &self.node()?)?,
            Infix::Between => {
                if taken.kind() == K::NOT_KW && !self.eat(K::BETWEEN_KW) {
                    return Err(NotUnderstood::Syntax);
                }
                let _ = self.eat(K::SYMMETRIC) || self.eat(K::ASYMMETRIC);
                let low = self.value(IS)?;
                if !self.eat(K::AND_KW) {
                    return Err(NotUnderstood::Syntax);
                }
                Expr::Between(Box::new(left), Box::new(low), Box::new(self.value(MATCH + 1)?))
            }
            Infix::Is => {
                let what = self.node()?;
                match what.kind() {
                    K::LITERAL => match literal(&what)? {
                        Expr::Constant(Constant::Null) => Expr::NullTest(Box::new(left)),
                        Expr::Constant(Constant::Bool) => Expr::Test(Box::new(left)),
                        _ => return Err(NotUnderstood::Syntax),
                    },
                    K::NAME_REF => match what.first_token().map(|word| word.kind()) {
                        Some(K::UNKNOWN_KW | K::DOCUMENT_KW) => Expr::Test(Box::new(left)),
                        Some(_) | None => return Err(NotUnderstood::Syntax),
                    },
                    _ => return Err(NotUnderstood::Syntax),
                }
            }
            Infix::Null => Expr::NullTest(Box::new(left)),
            Infix::Test => Expr::Test(Box::new(left)),
            Infix::Distinct => Expr::DistinctFrom(Box::new(left), Box::new(self.value(IS + 1)?)),
            Infix::AtTimeZone => Expr::AtTimeZone(Box::new(left), Box::new(self.value(AT + 1)?)),
            Infix::AtLocal => Expr::call(ObjectName::bare(Name::exact("timezone")), true, vec![left]),
            Infix::Overlaps => match (left, primary(&self.node()?)?) {
                (Expr::Row(mut args), Expr::Row(right)) => {
                    args.extend(right);
                    Expr::call(ObjectName::bare(Name::exact("overlaps")), true, args)
                }
                _ => return Err(NotUnderstood::Syntax),
            },
            Infix::Collate => {
                path(&only_child(&self.node()?, "a collation of an unusual form")?)?;
                Expr::Collate(Box::new(left))
            }
            Infix::Cast => {
                let target = self.node()?;
                if !is_type(target.kind()) {
                    return Err(NotUnderstood::Syntax);
                }
                Expr::Cast(Box::new(left), type_name(&target)?)
            }
        })
    }

    fn eat(&mut self, kind: K) -> bool {
        let eaten = self.kind() == Some(kind);
        if eaten {
            self.leaves.next();
        }
        eaten
    }

    /// Take `ANY (...)`, `SOME (...)`, `ALL (...)`, if that is next.
    fn quantified(&mut self) -> Read<Option<SyntaxNode>> {
        let is_it = self.leaves.peek().and_then(SyntaxElement::as_node).is_some_and(|node| {
            node.kind() == K::CALL_EXPR
                && node.first_child().is_some_and(|f| matches!(f.kind(), K::ANY_FN | K::SOME_FN | K::ALL_FN))
        });
        if is_it { only_child(&self.node()?, "a quantifier of an unusual form").map(Some) } else { Ok(None) }
    }
}

/// The operator that stands behind LIKE where it is quantified.
fn like_symbol(kind: LikeKind, negated: bool) -> Option<&'static str> {
    match (kind, negated) {
        (LikeKind::Like, false) => Some("~~"),
        (LikeKind::Like, true) => Some("!~~"),
        (LikeKind::Ilike, false) => Some("~~*"),
        (LikeKind::Ilike, true) => Some("!~~*"),
        (LikeKind::SimilarTo, _) => None,
    }
}

/// Tests that are one node of keywords.
fn is_test(kind: K) -> bool {
    matches!(
        kind,
        K::IS_JSON
            | K::IS_JSON_ARRAY
            | K::IS_JSON_OBJECT
            | K::IS_JSON_SCALAR
            | K::IS_JSON_VALUE
            | K::IS_NORMALIZED
            | K::IS_NOT_JSON
            | K::IS_NOT_JSON_ARRAY
            | K::IS_NOT_JSON_OBJECT
            | K::IS_NOT_JSON_SCALAR
            | K::IS_NOT_JSON_VALUE
            | K::IS_NOT_NORMALIZED
    )
}

fn unqualified(symbol: &str) -> Operator {
    Operator { schema: None, symbol: if symbol == "!=" { "<>" } else { symbol }.into() }
}

/// A `CUSTOM_OP`, or `OPERATOR(schema.symbol)`.
fn operator(node: &SyntaxNode) -> Read<Operator> {
    let what = "an operator of an unusual form";
    let mut parts = Parts::of(node, what);
    if node.kind() == K::CUSTOM_OP {
        return Ok(unqualified(&symbol(&mut parts)?));
    }
    parts.expect_all(&[K::OPERATOR_KW, K::L_PAREN])?;
    let written = parts.node_of(K::OP).ok_or_else(|| parts.unexpected())?;
    parts.expect(K::R_PAREN)?;
    parts.end()?;
    let mut parts = Parts::of(&written, what);
    let mut schema = None;
    if let Some(qualifier) = parts.node_of(K::PATH_REF) {
        let mut qualifier = Parts::of(&qualifier, what);
        let mut outer = Parts::of(&qualifier.node_of(K::PATH_REF).ok_or_else(|| parts.unexpected())?, what);
        schema = Some(name(&outer.node_of(K::PATH_SEGMENT_REF).ok_or_else(|| parts.unexpected())?)?);
        outer.end()?;
        qualifier.expect(K::DOT)?;
        qualifier.eat_words(&[K::PATH_SEGMENT_REF])?;
        qualifier.end()?;
    }
    let symbol = match parts.node_of(K::CUSTOM_OP) {
        Some(custom) => {
            parts.end()?;
            symbol(&mut Parts::of(&custom, what))?
        }
        None => symbol(&mut parts)?,
    };
    Ok(Operator { schema, ..unqualified(&symbol) })
}

/// All that is left, which has to be operator characters.
fn symbol(parts: &mut Parts) -> Read<String> {
    let mut symbol = String::new();
    while parts.kind().is_some() {
        let token = parts.token()?;
        if token.text().contains(|character: char| character.is_ascii_alphanumeric() || character == ':') {
            return Err(parts.unexpected());
        }
        symbol.push_str(token.text());
    }
    if symbol.is_empty() { Err(parts.unexpected()) } else { Ok(symbol) }
}
