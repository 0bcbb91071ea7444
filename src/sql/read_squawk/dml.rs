//! INSERT, UPDATE, DELETE, MERGE.

use squawk_syntax::{SyntaxKind as K, SyntaxNode};

use super::expr::value;
use super::from::{from_item, from_list};
use super::names::{as_name, name, path, relation, relation_only};
use super::parts::{Parts, Read, only_child};
use super::query::{is_query, query, rows, start};
use super::select::{target_list, where_clause};
use crate::sql::NotUnderstood;
use crate::sql::tree::{
    Alias, Assignment, Body, Delete, Expr, Insert, Merge, MergeAction, MergeBranch, MergeRows, OnConflict, Query,
    SelectItem, Target, Update,
};

/// An `INSERT`.
pub(super) fn insert(node: &SyntaxNode) -> Read<Query> {
    let mut parts = Parts::of(node, "an unusual part of INSERT");
    let mut whole = start(&mut parts)?;
    parts.expect_all(&[K::INSERT_KW, K::INTO_KW])?;
    let target = relation(&parts.node_of(K::RELATION_NAME_REF).ok_or_else(|| parts.unexpected())?)?;
    let alias = parts.node_of(K::REQUIRED_AS_ALIAS).map(|alias| as_name(&alias)).transpose()?;
    let columns = column_targets(&mut parts)?;
    overriding(&mut parts)?;
    let source = if parts.eat_words(&[K::DEFAULT_VALUES])? { None } else { Some(Box::new(query(&parts.node()?)?)) };
    let on_conflict = parts.node_of(K::ON_CONFLICT_CLAUSE).map(|clause| conflict(&clause)).transpose()?;
    let returning = returning(&mut parts)?;
    parts.end()?;
    whole.body = Body::Insert(Box::new(Insert { target, alias, columns, source, on_conflict, returning }));
    Ok(whole)
}

fn overriding(parts: &mut Parts) -> Read<bool> {
    parts.eat_words(&[K::OVERRIDING_SYSTEM_VALUE, K::OVERRIDING_USER_VALUE])
}

fn returning(parts: &mut Parts) -> Read<Vec<SelectItem>> {
    let Some(clause) = parts.node_of(K::RETURNING_CLAUSE) else { return Ok(Vec::new()) };
    let mut clause = Parts::of(&clause, "an unusual RETURNING clause");
    clause.expect(K::RETURNING_KW)?;
    if clause.kind() == Some(K::RETURNING_OPTION_LIST) {
        return Err(NotUnderstood::Construct("RETURNING WITH"));
    }
    let list = clause.node_of(K::TARGET_LIST).ok_or_else(|| clause.unexpected())?;
    clause.end()?;
    target_list(&list)
}

fn conflict(node: &SyntaxNode) -> Read<OnConflict> {
    let what = "an unusual ON CONFLICT clause";
    let mut parts = Parts::of(node, what);
    parts.expect_all(&[K::ON_KW, K::CONFLICT_KW])?;
    let mut on = OnConflict { target: Vec::new(), assignments: Vec::new(), filter: None };
    if let Some(constraint) = parts.node_of(K::CONFLICT_ON_CONSTRAINT) {
        let mut constraint = Parts::of(&constraint, what);
        constraint.expect_all(&[K::ON_KW, K::CONSTRAINT_KW])?;
        path(&only_child(&constraint.node()?, what)?)?;
        constraint.end()?;
    } else if let Some(index) = parts.node_of(K::CONFLICT_ON_INDEX) {
        let mut index = Parts::of(&index, what);
        let mut items = Parts::of(&index.node_of(K::CONFLICT_INDEX_ITEM_LIST).ok_or_else(|| parts.unexpected())?, what);
        for item in items.parenthesised_list()? {
            let mut item = Parts::of(&item, what);
            on.target.push(value(&mut item)?);
            if let Some(class) = item.node_of(K::OP_CLASS_REF) {
                path(&only_child(&class, what)?)?;
            }
            item.end()?;
        }
        items.end()?;
        on.target.extend(where_clause(&mut index)?);
        index.end()?;
    }
    if !parts.eat_words(&[K::CONFLICT_DO_NOTHING])? {
        let update = parts.node_of(K::CONFLICT_DO_UPDATE_SET).ok_or_else(|| parts.unexpected())?;
        let mut update = Parts::of(&update, what);
        update.expect_all(&[K::DO_KW, K::UPDATE_KW])?;
        on.assignments = set_clause(&mut update)?;
        on.filter = where_clause(&mut update)?;
        update.end()?;
    }
    parts.end()?;
    Ok(on)
}

/// `(a, b[1], c.d)`, if it is next.
fn column_targets(parts: &mut Parts) -> Read<Vec<Target>> {
    let Some(list) = parts.node_of(K::COLUMN_TARGET_LIST) else { return Ok(Vec::new()) };
    let mut list = Parts::of(&list, "an unusual list of target columns");
    let targets = list.parenthesised_list()?;
    list.end()?;
    targets.iter().map(column_target).collect()
}

fn column_target(node: &SyntaxNode) -> Read<Target> {
    let what = "an unusual target column";
    let mut parts = Parts::of(node, what);
    let column = name(&parts.node_of(K::COLUMN_NAME_REF).ok_or_else(|| parts.unexpected())?)?;
    let mut target = Target { column, part: false, subscripts: Vec::new() };
    while parts.kind().is_some() {
        let accessor = parts.node()?;
        let mut accessor_parts = Parts::of(&accessor, what);
        match accessor.kind() {
            K::FIELD_ACCESSOR => {
                accessor_parts.expect(K::DOT)?;
                name(&accessor_parts.node_of(K::COMPOSITE_FIELD_REF).ok_or_else(|| parts.unexpected())?)?;
            }
            K::INDEX_ACCESSOR | K::SLICE_ACCESSOR => {
                accessor_parts.expect(K::L_BRACK)?;
                while accessor_parts.kind() != Some(K::R_BRACK) {
                    if !accessor_parts.eat(K::COLON) {
                        target.subscripts.push(value(&mut accessor_parts)?);
                    }
                }
                accessor_parts.expect(K::R_BRACK)?;
            }
            _ => return Err(parts.unexpected()),
        }
        accessor_parts.end()?;
        target.part = true;
    }
    Ok(target)
}

fn set_clause(parts: &mut Parts) -> Read<Vec<Assignment>> {
    let what = "an unusual SET clause";
    let mut clause = Parts::of(&parts.node_of(K::SET_CLAUSE).ok_or_else(|| parts.unexpected())?, what);
    clause.expect(K::SET_KW)?;
    let mut list = Parts::of(&clause.node_of(K::SET_COLUMN_LIST).ok_or_else(|| clause.unexpected())?, what);
    clause.end()?;
    let assignments = list.comma_list()?;
    list.end()?;
    assignments.iter().map(assignment).collect()
}

fn assignment(node: &SyntaxNode) -> Read<Assignment> {
    let what = "an unusual assignment";
    let mut parts = Parts::of(node, what);
    let assignment = match node.kind() {
        K::SET_SINGLE_COLUMN => {
            let target = column_target(&parts.node_of(K::COLUMN_TARGET).ok_or_else(|| parts.unexpected())?)?;
            parts.expect(K::EQ)?;
            let value = set_value(&parts.node_of(K::SET_EXPR).ok_or_else(|| parts.unexpected())?)?;
            Assignment { targets: vec![target], value }
        }
        K::SET_MULTIPLE_COLUMNS => {
            let targets = column_targets(&mut parts)?;
            parts.expect(K::EQ)?;
            let value = parts.node()?;
            let value = if value.kind() == K::SET_EXPR_LIST {
                let mut list = Parts::of(&value, what);
                let row = list.eat(K::ROW_KW);
                let values = list.parenthesised_list()?;
                list.end()?;
                let mut values = values.iter().map(set_value).collect::<Read<Vec<_>>>()?;
                match (row, values.len(), values.pop()) {
                    // One value in parentheses is no row: `(a, b) = ((SELECT 1, 2))`.
                    (false, 1, Some(only)) => only,
                    (_, _, last) => {
                        values.extend(last);
                        Expr::Row(values)
                    }
                }
            } else if matches!(value.kind(), K::PAREN_SELECT | K::PAREN_EXPR) && is_query(&value) {
                Expr::Subquery(Box::new(query(&value)?))
            } else {
                return Err(parts.unexpected());
            };
            Assignment { targets, value }
        }
        _ => return Err(parts.unexpected()),
    };
    parts.end()?;
    Ok(assignment)
}

fn set_value(node: &SyntaxNode) -> Read<Expr> {
    let mut parts = Parts::of(node, "an unusual assignment");
    let assigned = if parts.eat(K::DEFAULT_KW) { Expr::Default } else { value(&mut parts)? };
    parts.end()?;
    Ok(assigned)
}

/// `[AS] alias`, if it is next.
fn optional_alias(parts: &mut Parts) -> Read<Option<Alias>> {
    let Some(alias) = parts.node_of(K::OPTIONAL_AS_ALIAS) else { return Ok(None) };
    Ok(Some(Alias { name: as_name(&alias)?, columns: Vec::new() }))
}

/// WHERE, or WHERE CURRENT OF.
fn where_or_current_of(parts: &mut Parts) -> Read<Option<Expr>> {
    let Some(clause) = parts.node_of(K::WHERE_CURRENT_OF) else { return where_clause(parts) };
    let mut clause = Parts::of(&clause, "an unusual WHERE clause");
    clause.expect_all(&[K::WHERE_KW, K::CURRENT_KW, K::OF_KW])?;
    let cursor = name(&clause.node_of(K::CURSOR_REF).ok_or_else(|| clause.unexpected())?)?;
    clause.end()?;
    Ok(Some(Expr::CurrentOf(cursor)))
}

/// An `UPDATE`.
pub(super) fn update(node: &SyntaxNode) -> Read<Query> {
    let mut parts = Parts::of(node, "an unusual part of UPDATE");
    let mut whole = start(&mut parts)?;
    parts.expect(K::UPDATE_KW)?;
    let (target, only) = relation_only(&parts.node_of(K::RELATION_NAME).ok_or_else(|| parts.unexpected())?)?;
    let alias = optional_alias(&mut parts)?;
    let assignments = set_clause(&mut parts)?;
    let mut from = Vec::new();
    if let Some(clause) = parts.node_of(K::FROM_CLAUSE) {
        let mut clause = Parts::of(&clause, "an unusual FROM clause");
        clause.expect(K::FROM_KW)?;
        from = from_list(&mut clause)?;
        clause.end()?;
    }
    let filter = where_or_current_of(&mut parts)?;
    let returning = returning(&mut parts)?;
    parts.end()?;
    whole.body = Body::Update(Box::new(Update { target, only, alias, assignments, from, filter, returning }));
    Ok(whole)
}

/// A `DELETE`.
pub(super) fn delete(node: &SyntaxNode) -> Read<Query> {
    let mut parts = Parts::of(node, "an unusual part of DELETE");
    let mut whole = start(&mut parts)?;
    parts.expect_all(&[K::DELETE_KW, K::FROM_KW])?;
    let (target, only) = relation_only(&parts.node_of(K::RELATION_NAME).ok_or_else(|| parts.unexpected())?)?;
    let alias = optional_alias(&mut parts)?;
    let mut using = Vec::new();
    if let Some(clause) = parts.node_of(K::USING_CLAUSE) {
        let mut clause = Parts::of(&clause, "an unusual USING clause");
        clause.expect(K::USING_KW)?;
        using = from_list(&mut clause)?;
        clause.end()?;
    }
    let filter = where_or_current_of(&mut parts)?;
    let returning = returning(&mut parts)?;
    parts.end()?;
    whole.body = Body::Delete(Box::new(Delete { target, only, alias, using, filter, returning }));
    Ok(whole)
}

/// A `MERGE`.
pub(super) fn merge(node: &SyntaxNode) -> Read<Query> {
    let mut parts = Parts::of(node, "an unusual part of MERGE");
    let mut whole = start(&mut parts)?;
    parts.expect_all(&[K::MERGE_KW, K::INTO_KW])?;
    let (target, only) = relation_only(&parts.node_of(K::TABLE_RELATION_NAME).ok_or_else(|| parts.unexpected())?)?;
    let alias = optional_alias(&mut parts)?;
    let using = parts.node_of(K::USING_ON_CLAUSE).ok_or_else(|| parts.unexpected())?;
    let mut using = Parts::of(&using, "an unusual part of MERGE");
    using.expect(K::USING_KW)?;
    let source = from_item(&using.node()?)?;
    let mut on = Parts::of(&using.node_of(K::ON_CLAUSE).ok_or_else(|| using.unexpected())?, "an unusual part of MERGE");
    using.end()?;
    on.expect(K::ON_KW)?;
    let condition = value(&mut on)?;
    on.end()?;
    let mut branches = Vec::new();
    while let Some(K::MERGE_WHEN_MATCHED | K::MERGE_WHEN_NOT_MATCHED_SOURCE | K::MERGE_WHEN_NOT_MATCHED_TARGET) =
        parts.kind()
    {
        branches.push(merge_branch(&parts.node()?)?);
    }
    let returning = returning(&mut parts)?;
    parts.end()?;
    whole.body = Body::Merge(Box::new(Merge { target, only, alias, source, condition, branches, returning }));
    Ok(whole)
}

fn merge_branch(node: &SyntaxNode) -> Read<MergeBranch> {
    let what = "an unusual WHEN clause of MERGE";
    let mut parts = Parts::of(node, what);
    parts.expect(K::WHEN_KW)?;
    let unmatched = parts.eat(K::NOT_KW);
    parts.expect(K::MATCHED_KW)?;
    let by_source = parts.eat(K::BY_KW);
    if by_source {
        parts.expect(K::SOURCE_KW)?;
    }
    let by_target = parts.eat_words(&[K::BY_TARGET])?;
    let rows = match (unmatched, by_source, by_target) {
        (false, false, false) => MergeRows::Matched,
        (true, false, _) => MergeRows::OfSource,
        (true, true, false) => MergeRows::OfTarget,
        (false, _, _) | (true, true, true) => return Err(NotUnderstood::Syntax),
    };
    let mut filter = None;
    if let Some(condition) = parts.node_of(K::MERGE_CONDITION) {
        let mut condition = Parts::of(&condition, what);
        condition.expect(K::AND_KW)?;
        filter = Some(value(&mut condition)?);
        condition.end()?;
    }
    parts.expect(K::THEN_KW)?;
    let action = if parts.eat_words(&[K::MERGE_DO_NOTHING])? {
        MergeAction::Nothing
    } else if parts.eat_words(&[K::MERGE_DELETE])? {
        MergeAction::Delete
    } else if let Some(update) = parts.node_of(K::MERGE_UPDATE) {
        let mut update = Parts::of(&update, what);
        update.expect(K::UPDATE_KW)?;
        let assignments = set_clause(&mut update)?;
        update.end()?;
        MergeAction::Update(assignments)
    } else {
        let insert = parts.node_of(K::MERGE_INSERT).ok_or_else(|| parts.unexpected())?;
        let mut insert = Parts::of(&insert, what);
        insert.expect(K::INSERT_KW)?;
        let columns = column_targets(&mut insert)?;
        overriding(&mut insert)?;
        let values = if insert.eat_words(&[K::DEFAULT_VALUES])? { Vec::new() } else { merge_values(&mut insert)? };
        insert.end()?;
        MergeAction::Insert(columns, values)
    };
    parts.end()?;
    Ok(MergeBranch { rows, filter, action })
}

/// `VALUES (...)` with one row.
fn merge_values(parts: &mut Parts) -> Read<Vec<Expr>> {
    let mut values =
        Parts::of(&parts.node_of(K::VALUES).ok_or_else(|| parts.unexpected())?, "an unusual part of MERGE");
    values.expect(K::VALUES_KW)?;
    let list = values.node_of(K::ROW_LIST).ok_or_else(|| values.unexpected())?;
    values.end()?;
    let mut rows = rows(&list)?.into_iter();
    match (rows.next(), rows.next()) {
        (Some(row), None) => Ok(row),
        (Some(_), Some(_)) | (None, _) => Err(NotUnderstood::Syntax),
    }
}
