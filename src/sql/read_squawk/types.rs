//! Type names, under the names that PostgreSQL's grammar gives them (PostgreSQL manual, table 8.1; `SimpleTypename` in
//! `gram.y`).

use squawk_syntax::{SyntaxKind as K, SyntaxNode};

use super::literal::literal;
use super::names::{name, path};
use super::parts::{Parts, Read};
use crate::catalog::Name;
use crate::sql::NotUnderstood;
use crate::sql::tree::{Constant, Expr, TypeName};

const WHAT: &str = "a type name of an unusual form";

/// A built-in type by its internal name.
pub(super) fn internal(name: &str, modified: bool) -> TypeName {
    TypeName { schema: None, name: Name::exact(name), modified, array: false }
}

/// Whether a node is a type's name.
pub(super) fn is_type(kind: K) -> bool {
    matches!(
        kind,
        K::ARRAY_TYPE
            | K::PATH_TYPE
            | K::VARCHAR_TYPE
            | K::CHARACTER_TYPE
            | K::BIT_TYPE
            | K::BIT_VARYING_TYPE
            | K::DOUBLE_TYPE
            | K::TIME_TYPE
            | K::TIMESTAMP_TYPE
            | K::INTERVAL_TYPE
    )
}

/// A type where a value is cast or a column is defined: `char` and `bit` without a length have length one there.
pub(super) fn type_name(node: &SyntaxNode) -> Read<TypeName> {
    read(node, true)
}

/// The type of `type 'literal'`: `char` without a length has none there.
pub(super) fn literal_type(node: &SyntaxNode) -> Read<TypeName> {
    read(node, false)
}

fn read(node: &SyntaxNode, default_length: bool) -> Read<TypeName> {
    let mut parts = Parts::of(node, WHAT);
    if parts.kind() == Some(K::SETOF_KW) {
        return Err(NotUnderstood::Construct("SETOF in an expression"));
    }
    let read = match node.kind() {
        K::ARRAY_TYPE => {
            let element = read(&parts.node()?, default_length)?;
            parts.eat(K::ARRAY_KW);
            while let Some(bound) = parts.node_of(K::ARRAY_BOUND) {
                let mut bound = Parts::of(&bound, WHAT);
                bound.expect(K::L_BRACK)?;
                if let Some(size) = bound.node_of(K::LITERAL) {
                    number(&size)?;
                }
                bound.expect(K::R_BRACK)?;
                bound.end()?;
            }
            TypeName { array: true, ..element }
        }
        K::PATH_TYPE => {
            let written = parts.node_of(K::PATH_REF).ok_or_else(|| parts.unexpected())?;
            let modifiers = modifiers(&mut parts)?;
            named(&written, modifiers)?
        }
        K::VARCHAR_TYPE => {
            eat_words(&mut parts, &[K::VARCHAR_KW, K::NATIONAL_KW, K::CHARACTER_KW, K::CHAR_KW, K::NCHAR_KW]);
            parts.eat(K::VARYING_KW);
            internal("varchar", !modifiers(&mut parts)?.is_empty())
        }
        K::CHARACTER_TYPE => {
            eat_words(&mut parts, &[K::NATIONAL_KW, K::CHARACTER_KW, K::CHAR_KW, K::NCHAR_KW]);
            internal("bpchar", default_length || !modifiers(&mut parts)?.is_empty())
        }
        K::BIT_TYPE => {
            parts.expect(K::BIT_KW)?;
            internal("bit", default_length || !modifiers(&mut parts)?.is_empty())
        }
        K::BIT_VARYING_TYPE => {
            parts.expect_all(&[K::BIT_KW, K::VARYING_KW])?;
            internal("varbit", !modifiers(&mut parts)?.is_empty())
        }
        K::DOUBLE_TYPE => {
            parts.expect_all(&[K::DOUBLE_KW, K::PRECISION_KW])?;
            internal("float8", false)
        }
        K::TIME_TYPE => {
            parts.expect(K::TIME_KW)?;
            time(&mut parts, "time", "timetz")?
        }
        K::TIMESTAMP_TYPE => {
            parts.expect(K::TIMESTAMP_KW)?;
            time(&mut parts, "timestamp", "timestamptz")?
        }
        K::INTERVAL_TYPE => {
            parts.expect(K::INTERVAL_KW)?;
            let precise = precision(&mut parts)?;
            internal("interval", interval_qualifier(&mut parts)? || precise)
        }
        _ => return Err(parts.unexpected()),
    };
    // `char` and `bit` with a length under `default_length`: the list is still there.
    modifiers(&mut parts)?;
    parts.end()?;
    Ok(read)
}

fn eat_words(parts: &mut Parts, words: &[K]) {
    while words.iter().any(|&word| parts.eat(word)) {}
}

/// `WITH TIME ZONE`, a precision.
fn time(parts: &mut Parts, without: &str, with: &str) -> Read<TypeName> {
    let precise = precision(parts)?;
    let zone = parts.eat_words(&[K::WITH_TIMEZONE])?;
    if !zone {
        parts.eat_words(&[K::WITHOUT_TIMEZONE])?;
    }
    Ok(internal(if zone { with } else { without }, precise))
}

/// `( number )`.
fn precision(parts: &mut Parts) -> Read<bool> {
    if !parts.eat(K::L_PAREN) {
        return Ok(false);
    }
    number(&parts.node()?)?;
    parts.expect(K::R_PAREN)?;
    Ok(true)
}

fn number(node: &SyntaxNode) -> Read<Option<u16>> {
    match literal(node)? {
        Expr::Constant(Constant::Number(value)) => Ok(value),
        _ => Err(NotUnderstood::Construct(WHAT)),
    }
}

/// `YEAR TO MONTH` and the like, where there is one.
pub(super) fn interval_qualifier(parts: &mut Parts) -> Read<bool> {
    const FIELDS: [K; 6] = [
        K::INTERVAL_YEAR,
        K::INTERVAL_MONTH,
        K::INTERVAL_DAY,
        K::INTERVAL_HOUR,
        K::INTERVAL_MINUTE,
        K::INTERVAL_SECOND,
    ];
    for field in FIELDS {
        let Some(node) = parts.node_of(field) else { continue };
        let mut words = Parts::of(&node, WHAT);
        eat_words(&mut words, &[K::YEAR_KW, K::MONTH_KW, K::DAY_KW, K::HOUR_KW, K::MINUTE_KW, K::SECOND_KW, K::TO_KW]);
        precision(&mut words)?;
        words.end()?;
        return Ok(true);
    }
    Ok(false)
}

/// One modifier of a type: its value where it is a small number.
type Modifier = Option<u16>;

/// `( 10 , 2 )`: constants or bare names, as `typenameTypeMod` wants them.
fn modifiers(parts: &mut Parts) -> Read<Vec<Modifier>> {
    let Some(list) = parts.node_of(K::ARG_LIST) else { return Ok(Vec::new()) };
    let mut list = Parts::of(&list, WHAT);
    let arguments = list.parenthesised_list()?;
    list.end()?;
    arguments
        .iter()
        .map(|argument| {
            let mut argument = Parts::of(argument, WHAT);
            let value = argument.node()?;
            argument.end()?;
            match value.kind() {
                K::NAME_REF => name(&value).map(|_| None),
                K::LITERAL => match literal(&value)? {
                    Expr::Constant(Constant::Number(number)) => Ok(number),
                    Expr::Constant(Constant::Text(..)) => Ok(None),
                    _ => Err(NotUnderstood::Construct(WHAT)),
                },
                // A negative scale: `numeric(3, -2)`.
                K::PREFIX_EXPR => {
                    let mut negative = Parts::of(&value, WHAT);
                    negative.expect(K::MINUS)?;
                    number(&negative.node()?)?;
                    negative.end()?;
                    Ok(None)
                }
                _ => Err(NotUnderstood::Construct(WHAT)),
            }
        })
        .collect()
}

/// A type by its name: keywords of the grammar have another internal name, names in quotes or with a schema do not.
fn named(written: &SyntaxNode, modifiers: Vec<Modifier>) -> Read<TypeName> {
    let mut names = path(written)?.into_iter().rev();
    let name = names.next().ok_or(NotUnderstood::Syntax)?;
    let schema = names.next();
    if names.next().is_some() {
        return Err(NotUnderstood::Construct("a type name with a database"));
    }
    let keyword = match &schema {
        None => written.first_token().map(|token| token.kind()),
        Some(_) => None,
    };
    let modified = !modifiers.is_empty();
    Ok(match keyword {
        Some(K::INT_KW | K::INTEGER_KW) => internal("int4", false),
        Some(K::SMALLINT_KW) => internal("int2", false),
        Some(K::BIGINT_KW) => internal("int8", false),
        Some(K::REAL_KW) => internal("float4", false),
        Some(K::FLOAT_KW) => match modifiers.first() {
            Some(Some(..=24)) => internal("float4", false),
            Some(_) | None => internal("float8", false),
        },
        Some(K::DEC_KW | K::DECIMAL_KW | K::NUMERIC_KW) => internal("numeric", modified),
        Some(K::BOOLEAN_KW) => internal("bool", false),
        Some(_) | None => TypeName { schema, name, modified, array: false },
    })
}
