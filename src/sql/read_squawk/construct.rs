//! Calls with a syntax of their own: `EXTRACT`, `TRIM`, XML, JSON and the like, each under the name of the function that
//! PostgreSQL calls for it, which is also that of its result column (`FigureColname` in `parse_target.c`).

use squawk_syntax::{SyntaxKind as K, SyntaxNode};

use super::call::{argument, special, text_literal};
use super::expr::value;
use super::names::{name, object};
use super::parts::{Parts, Read, only_child};
use super::query::{is_query, order_by, query};
use super::types::{is_type, type_name};
use crate::catalog::Name;
use crate::sql::NotUnderstood;
use crate::sql::tree::{Call, Constant, Expr};

const WHAT: &str = "a built-in function of an unusual form";

/// The node of a construct, within its `CALL_EXPR`.
pub(super) fn construct(node: &SyntaxNode) -> Read<Expr> {
    let name = match node.kind() {
        K::EXISTS_FN => {
            let mut parts = Parts::of(node, WHAT);
            parts.expect_all(&[K::EXISTS_KW, K::L_PAREN])?;
            let inner = parts.node()?;
            parts.expect(K::R_PAREN)?;
            parts.end()?;
            return Ok(Expr::Exists(Box::new(query(&inner)?)));
        }
        K::EXTRACT_FN => return extract(node),
        K::TRIM_FN => return trim(node),
        K::POSITION_FN => {
            let mut args = inputs(node)?;
            // PostgreSQL passes them in this order.
            args.reverse();
            return Ok(special("position", args));
        }
        K::SUBSTRING_FN => {
            let length_first = node.children().any(|child| child.kind() == K::SUBSTRING_FOR_FROM);
            let mut call = plain_or_special(node, "substring", K::SUBSTRING_EXPRS)?;
            if let Expr::Call(call) = &mut call
                && length_first
                && let [_, length, start] = call.args.as_mut_slice()
            {
                std::mem::swap(length, start);
            }
            return Ok(call);
        }
        K::OVERLAY_FN => return plain_or_special(node, "overlay", K::OVERLAY_EXPRS),
        K::COLLATION_FOR_FN => "pg_collation_for",
        K::XML_ELEMENT_FN => "xmlelement",
        K::XML_FOREST_FN => "xmlforest",
        K::XML_PARSE_FN => "xmlparse",
        K::XML_PI_FN => "xmlpi",
        K::XML_ROOT_FN => "xmlroot",
        K::XML_SERIALIZE_FN => "xmlserialize",
        K::XML_EXISTS_FN => "xmlexists",
        K::JSON_FN => "json",
        K::JSON_SCALAR_FN => "json_scalar",
        K::JSON_SERIALIZE_FN => "json_serialize",
        K::JSON_OBJECT_FN => "json_object",
        K::JSON_ARRAY_FN => "json_array",
        K::JSON_OBJECT_AGG_FN => "json_objectagg",
        K::JSON_ARRAY_AGG_FN => "json_arrayagg",
        K::JSON_VALUE_FN => "json_value",
        K::JSON_QUERY_FN => "json_query",
        K::JSON_EXISTS_FN => "json_exists",
        K::ANY_FN | K::SOME_FN | K::ALL_FN => return Err(NotUnderstood::Syntax),
        K::GRAPH_TABLE_FN => return Err(NotUnderstood::Construct("GRAPH_TABLE")),
        _ => return Err(NotUnderstood::Construct(WHAT)),
    };
    let mut found = Found::default();
    collect(node, &mut found)?;
    if !found.columns.is_empty() {
        return Err(NotUnderstood::Construct(WHAT));
    }
    match special(name, found.inputs) {
        Expr::Call(call) => {
            let lenient = is_lenient(node);
            Ok(Expr::Call(Box::new(Call { order_by: found.order_by, lenient, ..*call })))
        }
        other => Ok(other),
    }
}

/// Whether a look into a document never fails: no clause says `ERROR`, computes what it says instead, or names a type whose
/// checks might.
fn is_lenient(node: &SyntaxNode) -> bool {
    let asks = matches!(node.kind(), K::JSON_VALUE_FN | K::JSON_QUERY_FN | K::JSON_EXISTS_FN);
    let behaves = |clause: &SyntaxNode| {
        clause.children().all(|behavior| match behavior.kind() {
            K::JSON_BEHAVIOR_ERROR => false,
            K::JSON_BEHAVIOR_DEFAULT => behavior.children().all(|value| value.kind() == K::LITERAL),
            _ => true,
        })
    };
    asks && node.children().all(|clause| match clause.kind() {
        K::JSON_RETURNING_CLAUSE => false,
        K::JSON_ON_EMPTY_CLAUSE | K::JSON_ON_ERROR_CLAUSE => behaves(&clause),
        _ => true,
    })
}

/// `EXTRACT(field FROM value)`: the field is a string to PostgreSQL.
fn extract(node: &SyntaxNode) -> Read<Expr> {
    let mut parts = Parts::of(node, WHAT);
    parts.expect_all(&[K::EXTRACT_KW, K::L_PAREN])?;
    let field = parts.node()?;
    let field = match field.kind() {
        K::EXTRACT_FIELD_NAME => {
            name(&field)?;
            Expr::Constant(Constant::plain_text())
        }
        K::EXTRACT_FIELD_LITERAL => text_literal(&only_child(&field, WHAT)?)?,
        _ => return Err(parts.unexpected()),
    };
    parts.expect(K::FROM_KW)?;
    let source = value(&mut parts)?;
    parts.expect(K::R_PAREN)?;
    parts.end()?;
    Ok(special("extract", vec![field, source]))
}

/// `TRIM([side] [characters FROM] value)`: the value comes first.
fn trim(node: &SyntaxNode) -> Read<Expr> {
    let mut parts = Parts::of(node, WHAT);
    parts.expect_all(&[K::TRIM_KW, K::L_PAREN])?;
    let function = if parts.eat_words(&[K::TRIM_LEADING])? {
        "ltrim"
    } else if parts.eat_words(&[K::TRIM_TRAILING])? {
        "rtrim"
    } else {
        parts.eat_words(&[K::TRIM_BOTH])?;
        "btrim"
    };
    let written = parts.node()?;
    parts.expect(K::R_PAREN)?;
    parts.end()?;
    let mut args = inputs(&written)?;
    if written.kind() == K::TRIM_EXPR_FROM && !args.is_empty() {
        args.rotate_left(1);
    }
    Ok(special(function, args))
}

/// With commas it is a function like others, found by the search path; with keywords it is the built-in one.
fn plain_or_special(node: &SyntaxNode, function: &'static str, plain: K) -> Read<Expr> {
    let args = inputs(node)?;
    if node.children().all(|child| child.kind() == plain) {
        return Ok(Expr::call(object(vec![Name::exact(function)])?, false, args));
    }
    Ok(special(function, args))
}

/// Every expression in a construct, in order.
fn inputs(node: &SyntaxNode) -> Read<Vec<Expr>> {
    let mut found = Found::default();
    collect(node, &mut found)?;
    let only_inputs = found.columns.is_empty() && found.order_by.is_empty();
    if only_inputs { Ok(found.inputs) } else { Err(NotUnderstood::Construct(WHAT)) }
}

#[derive(Default)]
pub(super) struct Found {
    pub(super) inputs: Vec<Expr>,
    pub(super) columns: Vec<Name>,
    pub(super) order_by: Vec<Expr>,
}

/// Go through the clauses of a construct. Keywords and punctuation say nothing about what goes in; each node is known.
pub(super) fn collect(node: &SyntaxNode, found: &mut Found) -> Read<()> {
    let mut parts = Parts::of(node, WHAT);
    while let Some(kind) = parts.kind() {
        let Some(child) = parts.peek_node().cloned() else {
            parts.token()?;
            continue;
        };
        match kind {
            K::NAMED_ARG => {
                found.inputs.push(argument(&mut parts)?.1);
                continue;
            }
            K::ELEMENT_TAG
            | K::XML_ATTR
            | K::XML_PI_TARGET
            | K::XML_NAMESPACE_PREFIX
            | K::JSON_PATH_NAME
            | K::JSON_VARIABLE_NAME
            | K::JSON_ENCODING => {
                name(&child)?;
            }
            K::COLUMN_NAME => found.columns.push(name(&child)?),
            K::ORDER_BY_CLAUSE => found.order_by.append(&mut order_by(&child)?),
            K::JSON_SELECT_FORMAT => json_query_input(&child, found)?,
            kind if is_clause(kind) => collect(&child, found)?,
            kind if is_type(kind) => {
                type_name(&child)?;
            }
            _ => {
                found.inputs.push(value(&mut parts)?);
                continue;
            }
        }
        parts.node()?;
    }
    parts.end()
}

/// `JSON_ARRAY(query)`.
fn json_query_input(node: &SyntaxNode, found: &mut Found) -> Read<()> {
    let mut parts = Parts::of(node, WHAT);
    let inner = parts.node()?;
    if !is_query(&inner) {
        return Err(parts.unexpected());
    }
    found.inputs.push(Expr::Subquery(Box::new(query(&inner)?)));
    if let Some(format) = parts.node_of(K::JSON_FORMAT_CLAUSE) {
        collect(&format, found)?;
    }
    parts.end()
}

/// Nodes that only hold keywords, expressions, names and types, or more of their kind.
fn is_clause(kind: K) -> bool {
    matches!(
        kind,
        K::SUBSTRING_FOR_FROM
            | K::SUBSTRING_FROM_FOR
            | K::SUBSTRING_SIMILAR_ESCAPE
            | K::SUBSTRING_EXPRS
            | K::OVERLAY_PLACING
            | K::OVERLAY_EXPRS
            | K::EXPR_AS_XML_ATTR_LIST
            | K::EXPR_AS_XML_ATTR
            | K::EXPR_AS_ELEMENT_TAG_LIST
            | K::EXPR_AS_ELEMENT_TAG
            | K::XML_DOCUMENT
            | K::XML_CONTENT
            | K::PRESERVE_WHITESPACE
            | K::STRIP_WHITESPACE
            | K::INDENT
            | K::NO_INDENT
            | K::XML_VERSION_NO_VALUE
            | K::XML_VERSION_EXPR
            | K::STANDALONE_YES
            | K::STANDALONE_NO
            | K::STANDALONE_NO_VALUE
            | K::XML_ROW_PASSING_CLAUSE
            | K::XML_PASSING_MECH_BY_REF
            | K::XML_PASSING_MECH_BY_VALUE
            | K::XML_PASSING_DOC
            | K::XML_NAMESPACE_LIST
            | K::XML_NAMESPACE
            | K::XML_TABLE_COLUMN_LIST
            | K::XML_TABLE_COLUMN
            | K::XML_COLUMN_OPTION_LIST
            | K::OPTION_DEFAULT
            | K::OPTION_PATH
            | K::OPTION_NOT_NULL
            | K::OPTION_NULL
            | K::JSON_FORMAT_CLAUSE
            | K::JSON_ENCODING_CLAUSE
            | K::JSON_PASSING_CLAUSE
            | K::JSON_PASSING_ARG
            | K::JSON_RETURNING_CLAUSE
            | K::JSON_ON_ERROR_CLAUSE
            | K::JSON_ON_EMPTY_CLAUSE
            | K::JSON_BEHAVIOR_DEFAULT
            | K::JSON_BEHAVIOR_ERROR
            | K::JSON_BEHAVIOR_NULL
            | K::JSON_BEHAVIOR_TRUE
            | K::JSON_BEHAVIOR_FALSE
            | K::JSON_BEHAVIOR_UNKNOWN
            | K::JSON_BEHAVIOR_EMPTY_ARRAY
            | K::JSON_BEHAVIOR_EMPTY_OBJECT
            | K::JSON_WITH_CONDITIONAL_WRAPPER
            | K::JSON_WITH_UNCONDITIONAL_WRAPPER
            | K::JSON_WITHOUT_WRAPPER
            | K::JSON_QUOTES_CLAUSE
            | K::KEEP_QUOTES
            | K::OMIT_QUOTES
            | K::ON_SCALAR_STRING
            | K::JSON_NULL_ON_NULL
            | K::JSON_ABSENT_ON_NULL
            | K::JSON_WITH_UNIQUE_KEYS
            | K::JSON_WITHOUT_UNIQUE_KEYS
            | K::JSON_KEY_VALUE
            | K::JSON_VALUE_EXPR
            | K::JSON_EXPR_FORMAT
            | K::JSON_PATH_NAME_CLAUSE
            | K::JSON_PATH_CLAUSE
            | K::JSON_TABLE_COLUMN_LIST
            | K::JSON_TABLE_ORDINALITY_COLUMN
            | K::JSON_TABLE_VALUE_COLUMN
            | K::JSON_TABLE_EXISTS_COLUMN
            | K::JSON_TABLE_NESTED_COLUMN
    )
}
