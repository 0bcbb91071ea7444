//! Identifiers, qualified names and aliases.

use squawk_syntax::unescape::{escape_unicode_esc_str, uescape_char};
use squawk_syntax::{SyntaxKind as K, SyntaxNode};

use super::parts::{Parts, Read, only_child};
use crate::catalog::Name;
use crate::sql::NotUnderstood;
use crate::sql::tree::{Alias, ObjectName};

/// The identifier that a node of one name holds (`NAME_REF`, `COLUMN_NAME`, `PATH_SEGMENT_REF`, ...).
pub(super) fn name(node: &SyntaxNode) -> Read<Name> {
    let mut parts = Parts::of(node, "a name of an unusual form");
    let token = parts.token()?;
    let text = token.text();
    let name = if token.kind() == K::IDENT {
        identifier(text, &mut parts)?
    } else if is_word(text) {
        Name::folded(text)
    } else {
        return Err(parts.unexpected());
    };
    parts.end()?;
    Ok(name)
}

/// The name in a node that wraps a node of one name (`OPTIONAL_AS_ALIAS`, `AS_NAME`): an `AS` may come before it.
pub(super) fn as_name(node: &SyntaxNode) -> Read<Name> {
    let mut parts = Parts::of(node, "an alias of an unusual form");
    parts.eat(K::AS_KW);
    let name = name(&parts.node()?)?;
    parts.end()?;
    Ok(name)
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

fn identifier(text: &str, parts: &mut Parts) -> Read<Name> {
    if let Some(quoted) = text.strip_prefix('"') {
        return Ok(Name::exact(&unquoted(quoted)?));
    }
    let Some(quoted) = text.strip_prefix(['u', 'U']).and_then(|rest| rest.strip_prefix("&\"")) else {
        return Ok(Name::folded(text));
    };
    let escape = if parts.eat(K::UESCAPE_KW) {
        let escape = parts.token()?;
        uescape_char(escape.text()).ok_or(NotUnderstood::Syntax)?
    } else {
        '\\'
    };
    let mut decoded = Some(String::new());
    escape_unicode_esc_str(&unquoted(quoted)?, escape, |_, character| match character {
        Ok(character) if character != '\0' => {
            if let Some(decoded) = &mut decoded {
                decoded.push(character);
            }
        }
        Ok(_) | Err(_) => decoded = None,
    });
    match decoded {
        Some(decoded) if !decoded.is_empty() => Ok(Name::exact(&decoded)),
        Some(_) | None => Err(NotUnderstood::Syntax),
    }
}

/// What stands between double quotes, after the opening one.
fn unquoted(quoted: &str) -> Read<String> {
    match quoted.strip_suffix('"') {
        Some(inner) if !inner.is_empty() => Ok(inner.replace("\"\"", "\"")),
        Some(_) | None => Err(NotUnderstood::Syntax),
    }
}

/// The parts of a `PATH_REF` or `PATH`: `a.b.c`.
pub(super) fn path(node: &SyntaxNode) -> Read<Vec<Name>> {
    let mut names = Vec::new();
    let mut next = Some(node.clone());
    while let Some(node) = next {
        let mut parts = Parts::of(&node, "a qualified name of an unusual form");
        next = parts.node_of(K::PATH_REF);
        if next.is_some() {
            parts.expect(K::DOT)?;
        }
        let segment = match parts.node_of(K::PATH_SEGMENT_REF) {
            Some(segment) => segment,
            None => parts.node_of(K::PATH_SEGMENT).ok_or_else(|| parts.unexpected())?,
        };
        names.push(name(&segment)?);
        parts.end()?;
    }
    names.reverse();
    Ok(names)
}

/// At most `database.schema.name`.
pub(super) fn object(names: Vec<Name>) -> Read<ObjectName> {
    let mut names = names.into_iter().rev();
    let name = names.next().ok_or(NotUnderstood::Syntax)?;
    let (schema, database) = (names.next(), names.next());
    match names.next() {
        None => Ok(ObjectName { database, schema, name }),
        Some(_) => Err(NotUnderstood::Syntax),
    }
}

/// A node that wraps a path: `RELATION_NAME_REF`, `TABLE_NAME_REF`, `TABLE_NAME`.
pub(super) fn relation(node: &SyntaxNode) -> Read<ObjectName> {
    object(path(&only_child(node, "a relation name of an unusual form")?)?)
}

/// `[ONLY] name`, `ONLY (name)`, `name *`: the name and whether `ONLY` was said.
pub(super) fn relation_only(node: &SyntaxNode) -> Read<(ObjectName, bool)> {
    let mut parts = Parts::of(node, "a target of an unusual form");
    let only = parts.eat(K::ONLY_KW);
    let parenthesised = only && parts.eat(K::L_PAREN);
    let name = relation(&parts.node()?)?;
    if parenthesised {
        parts.expect(K::R_PAREN)?;
    } else if !only {
        parts.eat(K::STAR);
    }
    parts.end()?;
    Ok((name, only))
}

/// `( name , name , ... )` (`COLUMN_LIST`, `COLUMN_REF_LIST`).
pub(super) fn column_list(node: &SyntaxNode) -> Read<Vec<Name>> {
    let mut parts = Parts::of(node, "a column list of an unusual form");
    let names = parts.parenthesised_list()?;
    parts.end()?;
    names.iter().map(name).collect()
}

/// A `FROM_ALIAS`: the alias, and the names of a column definition list, which may stand without one.
pub(super) fn from_alias(node: &SyntaxNode) -> Read<(Option<Alias>, Vec<Name>)> {
    let mut parts = Parts::of(node, "an alias of an unusual form");
    parts.eat(K::AS_KW);
    let name = parts.node_of(K::TABLE_ALIAS).map(|alias| name(&alias)).transpose()?;
    let columns = match parts.node_of(K::COLUMN_LIST) {
        Some(list) => column_list(&list)?,
        None => Vec::new(),
    };
    let defined = match parts.node_of(K::COLUMN_DEF_LIST) {
        Some(list) => column_definitions(&list)?,
        None => Vec::new(),
    };
    parts.end()?;
    match name {
        Some(name) => Ok((Some(Alias { name, columns }), defined)),
        None if columns.is_empty() && !defined.is_empty() => Ok((None, defined)),
        None => Err(NotUnderstood::Syntax),
    }
}

/// `( name type [COLLATE c] , ... )`: the names.
pub(super) fn column_definitions(node: &SyntaxNode) -> Read<Vec<Name>> {
    let mut parts = Parts::of(node, "a column definition list of an unusual form");
    let definitions = parts.parenthesised_list()?;
    parts.end()?;
    definitions
        .iter()
        .map(|definition| {
            let mut parts = Parts::of(definition, "a column definition of an unusual form");
            let column = name(&parts.node_of(K::COLUMN_NAME).ok_or_else(|| parts.unexpected())?)?;
            super::types::type_name(&parts.node()?)?;
            if let Some(collate) = parts.node_of(K::COLLATE) {
                let mut collate = Parts::of(&collate, "a collation of an unusual form");
                collate.expect(K::COLLATE_KW)?;
                path(&only_child(&collate.node()?, "a collation of an unusual form")?)?;
                collate.end()?;
            }
            parts.end()?;
            Ok(column)
        })
        .collect()
}
