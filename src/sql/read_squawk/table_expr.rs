//! `XMLTABLE` and `JSON_TABLE`.

use squawk_syntax::ast::{AstNode, Literal};
use squawk_syntax::{SyntaxKind as K, SyntaxNode};

use super::construct::{Found, collect};
use super::expr::value;
use super::names::name;
use super::parts::{Parts, Read};
use super::types::{is_type, type_name};
use crate::catalog::Name;
use crate::sql::tree::{Constant, Expr, Path, TableColumn, TableExpr};

const WHAT: &str = "a table of an unusual form out of a document";

/// A path and, where it is no literal, what it is computed from.
type Written = (Path, Option<Expr>);

fn path(parts: &mut Parts, read: fn(&str) -> Path) -> Read<Written> {
    let first = parts.peek_node().cloned();
    let expr = value(parts)?;
    let literal = first.and_then(Literal::cast).and_then(|literal| literal.string_value());
    match (&expr, literal) {
        (Expr::Constant(Constant::Text(..)), Some(text)) => Ok((read(&text), None)),
        _ => Ok((Path::Asking, Some(expr))),
    }
}

/// A clause of which only the expressions count.
fn others(clause: &SyntaxNode, into: &mut Vec<Expr>) -> Read<()> {
    let mut found = Found::default();
    collect(clause, &mut found)?;
    into.append(&mut found.inputs);
    if found.columns.is_empty() && found.order_by.is_empty() {
        Ok(())
    } else {
        Err(Parts::of(clause, WHAT).unexpected())
    }
}

/// `XMLTABLE([XMLNAMESPACES (...),] path PASSING document COLUMNS ...)`.
pub(super) fn xml_table(node: &SyntaxNode) -> Read<TableExpr> {
    let mut parts = Parts::of(node, WHAT);
    let mut elsewhere = Vec::new();
    parts.expect_all(&[K::XMLTABLE_KW, K::L_PAREN])?;
    if parts.eat(K::XMLNAMESPACES_KW) {
        others(&parts.node_of(K::XML_NAMESPACE_LIST).ok_or_else(|| parts.unexpected())?, &mut elsewhere)?;
        parts.expect(K::COMMA)?;
    }
    let passing = parts.node_of(K::XML_ROW_PASSING_CLAUSE).ok_or_else(|| parts.unexpected())?;
    let mut passing = Parts::of(&passing, WHAT);
    let (rows, computed) = path(&mut passing, Path::of_xml)?;
    elsewhere.extend(computed);
    passing.expect(K::PASSING_KW)?;
    let mechanism = [K::XML_PASSING_MECH_BY_REF, K::XML_PASSING_MECH_BY_VALUE];
    passing.eat_words(&mechanism)?;
    let mut document = Parts::of(&passing.node_of(K::XML_PASSING_DOC).ok_or_else(|| passing.unexpected())?, WHAT);
    let given = value(&mut document)?;
    document.end()?;
    passing.eat_words(&mechanism)?;
    passing.end()?;
    let list = parts.node_of(K::XML_TABLE_COLUMN_LIST).ok_or_else(|| parts.unexpected())?;
    parts.expect(K::R_PAREN)?;
    parts.end()?;
    let mut list = Parts::of(&list, WHAT);
    list.expect(K::COLUMNS_KW)?;
    let columns = list.comma_list()?.iter().map(xml_column).collect::<Read<_>>()?;
    list.end()?;
    Ok(TableExpr { name: Name::exact("xmltable"), document: given, rows: vec![rows], others: elsewhere, columns })
}

/// The name of a column, and its type if it does not count rows.
fn column(parts: &mut Parts) -> Read<TableColumn> {
    let column = name(&parts.node_of(K::COLUMN_NAME).ok_or_else(|| parts.unexpected())?)?;
    let type_name = match parts.eat(K::FOR_KW) {
        true => {
            parts.expect(K::ORDINALITY_KW)?;
            None
        }
        false => {
            let written = parts.node()?;
            if !is_type(written.kind()) {
                return Err(parts.unexpected());
            }
            Some(type_name(&written)?)
        }
    };
    let (strict, required) = (false, false);
    Ok(TableColumn { name: column, type_name, path: Path::Steps, others: Vec::new(), strict, required })
}

fn xml_column(node: &SyntaxNode) -> Read<TableColumn> {
    if node.kind() != K::XML_TABLE_COLUMN {
        return Err(Parts::of(node, WHAT).unexpected());
    }
    let mut parts = Parts::of(node, WHAT);
    let mut column = column(&mut parts)?;
    column.strict = true;
    column.path = Path::of_xml(column.name.as_str());
    if let Some(options) = parts.node_of(K::XML_COLUMN_OPTION_LIST) {
        let mut options = Parts::of(&options, WHAT);
        while options.kind().is_some() {
            let option = options.node()?;
            let mut parts = Parts::of(&option, WHAT);
            match option.kind() {
                K::OPTION_PATH => {
                    parts.expect(K::PATH_KW)?;
                    let (found, computed) = path(&mut parts, Path::of_xml)?;
                    column.path = found;
                    column.others.extend(computed);
                    parts.end()?;
                }
                K::OPTION_DEFAULT => {
                    parts.expect(K::DEFAULT_KW)?;
                    column.others.push(value(&mut parts)?);
                    parts.end()?;
                }
                K::OPTION_NOT_NULL => column.required = true,
                K::OPTION_NULL => {}
                _ => return Err(options.unexpected()),
            }
        }
    }
    parts.end()?;
    Ok(column)
}

/// `JSON_TABLE(document, path [AS name] [PASSING ...] COLUMNS (...) [... ON ERROR])`.
pub(super) fn json_table(node: &SyntaxNode) -> Read<TableExpr> {
    let mut parts = Parts::of(node, WHAT);
    parts.expect_all(&[K::JSON_TABLE_KW, K::L_PAREN])?;
    let document = value(&mut parts)?;
    let (mut rows, mut elsewhere, mut columns) = (Vec::new(), Vec::new(), Vec::new());
    if let Some(format) = parts.node_of(K::JSON_FORMAT_CLAUSE) {
        others(&format, &mut elsewhere)?;
    }
    parts.expect(K::COMMA)?;
    let (found, computed) = path(&mut parts, Path::of_json)?;
    rows.push(found);
    elsewhere.extend(computed);
    for clause in [K::JSON_PATH_NAME_CLAUSE, K::JSON_PASSING_CLAUSE] {
        if let Some(clause) = parts.node_of(clause) {
            others(&clause, &mut elsewhere)?;
        }
    }
    let list = parts.node_of(K::JSON_TABLE_COLUMN_LIST).ok_or_else(|| parts.unexpected())?;
    json_columns(&list, &mut rows, &mut elsewhere, &mut columns)?;
    // its rows are found by steps, or what it says of errors does not matter
    if let Some(clause) = parts.node_of(K::JSON_ON_ERROR_CLAUSE) {
        others(&clause, &mut elsewhere)?;
    }
    parts.expect(K::R_PAREN)?;
    parts.end()?;
    Ok(TableExpr { name: Name::exact("json_table"), document, rows, others: elsewhere, columns })
}

/// `COLUMNS (...)`. What nested paths find comes out behind the columns around them.
fn json_columns(
    list: &SyntaxNode,
    rows: &mut Vec<Path>,
    elsewhere: &mut Vec<Expr>,
    columns: &mut Vec<TableColumn>,
) -> Read<()> {
    let mut parts = Parts::of(list, WHAT);
    parts.expect(K::COLUMNS_KW)?;
    let written = parts.parenthesised_list()?;
    parts.end()?;
    let mut nested = Vec::new();
    for node in &written {
        let mut parts = Parts::of(node, WHAT);
        match node.kind() {
            K::JSON_TABLE_NESTED_COLUMN => {
                parts.expect(K::NESTED_KW)?;
                parts.eat(K::PATH_KW);
                let (found, computed) = path(&mut parts, Path::of_json)?;
                rows.push(found);
                elsewhere.extend(computed);
                if let Some(clause) = parts.node_of(K::JSON_PATH_NAME_CLAUSE) {
                    others(&clause, elsewhere)?;
                }
                nested.push(parts.node_of(K::JSON_TABLE_COLUMN_LIST).ok_or_else(|| parts.unexpected())?);
                parts.end()?;
            }
            K::JSON_TABLE_ORDINALITY_COLUMN | K::JSON_TABLE_VALUE_COLUMN | K::JSON_TABLE_EXISTS_COLUMN => {
                columns.push(json_column(parts)?);
            }
            _ => return Err(parts.unexpected()),
        }
    }
    nested.iter().try_for_each(|list| json_columns(list, rows, elsewhere, columns))
}

fn json_column(mut parts: Parts) -> Read<TableColumn> {
    let mut column = column(&mut parts)?;
    parts.eat(K::EXISTS_KW);
    while parts.kind().is_some() {
        let clause = parts.node()?;
        match clause.kind() {
            K::JSON_PATH_CLAUSE => {
                let mut parts = Parts::of(&clause, WHAT);
                parts.expect(K::PATH_KW)?;
                let (found, computed) = path(&mut parts, Path::of_json)?;
                column.path = found;
                column.others.extend(computed);
                parts.end()?;
            }
            K::JSON_ON_EMPTY_CLAUSE | K::JSON_ON_ERROR_CLAUSE => {
                if clause.children().any(|behavior| behavior.kind() == K::JSON_BEHAVIOR_ERROR) {
                    match clause.kind() {
                        K::JSON_ON_EMPTY_CLAUSE => column.required = true,
                        _ => column.strict = true,
                    }
                }
                others(&clause, &mut column.others)?;
            }
            K::JSON_FORMAT_CLAUSE
            | K::JSON_WITH_CONDITIONAL_WRAPPER
            | K::JSON_WITH_UNCONDITIONAL_WRAPPER
            | K::JSON_WITHOUT_WRAPPER
            | K::JSON_QUOTES_CLAUSE => others(&clause, &mut column.others)?,
            _ => return Err(parts.unexpected()),
        }
    }
    Ok(column)
}
