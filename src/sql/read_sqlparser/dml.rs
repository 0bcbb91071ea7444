//! INSERT, UPDATE, DELETE, MERGE.

use sqlparser::ast;

use super::{Reader, Result, construct, require};
use crate::sql::NotUnderstood;
use crate::sql::tree::{
    Alias, Assignment, Body, Delete, Expr, FromItem, Insert, Merge, MergeAction, MergeBranch, MergeRows, ObjectName,
    OnConflict, SelectItem, Target, Update,
};

impl Reader {
    pub(super) fn changing(&mut self, statement: &ast::Statement) -> Result<Body> {
        match statement {
            ast::Statement::Insert(insert) => Ok(Body::Insert(Box::new(self.insert(insert)?))),
            ast::Statement::Update(update) => Ok(Body::Update(Box::new(self.update(update)?))),
            ast::Statement::Delete(delete) => Ok(Body::Delete(Box::new(self.delete(delete)?))),
            ast::Statement::Merge(merge) => Ok(Body::Merge(Box::new(self.merge(merge)?))),
            _ => Err(NotUnderstood::Syntax),
        }
    }

    fn insert(&mut self, insert: &ast::Insert) -> Result<Insert> {
        require(
            insert.optimizer_hints.is_empty()
                && insert.or.is_none()
                && !insert.ignore
                && insert.into
                && !insert.overwrite
                && insert.assignments.is_empty()
                && insert.partitioned.is_none()
                && insert.after_columns.is_empty()
                && !insert.has_table_keyword
                && insert.output.is_none()
                && !insert.replace_into
                && insert.priority.is_none()
                && insert.insert_alias.is_none()
                && insert.settings.is_none()
                && insert.format_clause.is_none()
                && insert.multi_table_insert_type.is_none()
                && insert.multi_table_into_clauses.is_empty()
                && insert.multi_table_when_clauses.is_empty()
                && insert.multi_table_else_clause.is_none(),
        )?;
        let ast::TableObject::TableName(table) = &insert.table else {
            return construct("INSERT into something other than a table");
        };
        let target = self.object_name(table)?;
        let alias = insert.table_alias.as_ref().map(|alias| self.column_or_table(&alias.alias)).transpose()?;
        let columns = self.targets(&insert.columns)?;
        let source = insert.source.as_ref().map(|source| self.query(source)).transpose()?.map(Box::new);
        let on_conflict = match &insert.on {
            None => None,
            Some(ast::OnInsert::OnConflict(clause)) => Some(self.on_conflict(clause)?),
            Some(_) => return construct("ON DUPLICATE KEY"),
        };
        let returning = self.returning(insert.returning.as_deref())?;
        Ok(Insert { target, alias, columns, source, on_conflict, returning })
    }

    fn on_conflict(&mut self, clause: &ast::OnConflict) -> Result<OnConflict> {
        let target = match &clause.conflict_target {
            None => Vec::new(),
            Some(ast::ConflictTarget::Columns(columns)) => columns
                .iter()
                .map(|column| Ok(Expr::Column(vec![self.column_or_table(column)?])))
                .collect::<Result<_>>()?,
            Some(ast::ConflictTarget::OnConstraint(name)) => {
                self.passed_over(name)?;
                Vec::new()
            }
        };
        match &clause.action {
            ast::OnConflictAction::DoNothing => Ok(OnConflict { target, assignments: Vec::new(), filter: None }),
            ast::OnConflictAction::DoUpdate(update) => Ok(OnConflict {
                target,
                assignments: self.assignments(&update.assignments)?,
                filter: update.selection.as_ref().map(|filter| self.expr(filter)).transpose()?,
            }),
        }
    }

    fn update(&mut self, update: &ast::Update) -> Result<Update> {
        require(
            update.optimizer_hints.is_empty()
                && update.output.is_none()
                && update.or.is_none()
                && update.order_by.is_empty()
                && update.limit.is_none(),
        )?;
        let (target, only, alias) = self.target_table(&update.table)?;
        let assignments = self.assignments(&update.assignments)?;
        let from = match &update.from {
            None => Vec::new(),
            Some(ast::UpdateTableFromKind::AfterSet(from)) => self.relations(from)?,
            Some(ast::UpdateTableFromKind::BeforeSet(_)) => return construct("FROM before SET"),
        };
        let filter = update.selection.as_ref().map(|filter| self.expr(filter)).transpose()?;
        let returning = self.returning(update.returning.as_deref())?;
        Ok(Update { target, only, alias, assignments, from, filter, returning })
    }

    fn delete(&mut self, delete: &ast::Delete) -> Result<Delete> {
        require(
            delete.optimizer_hints.is_empty()
                && delete.tables.is_empty()
                && delete.output.is_none()
                && delete.order_by.is_empty()
                && delete.limit.is_none(),
        )?;
        let ast::FromTable::WithFromKeyword(tables) = &delete.from else {
            return construct("DELETE without FROM");
        };
        let [table] = tables.as_slice() else { return construct("DELETE from several tables") };
        let (target, only, alias) = self.target_table(table)?;
        let using = delete.using.as_ref().map_or(Ok(Vec::new()), |using| self.relations(using))?;
        let filter = delete.selection.as_ref().map(|filter| self.expr(filter)).transpose()?;
        let returning = self.returning(delete.returning.as_deref())?;
        Ok(Delete { target, only, alias, using, filter, returning })
    }

    fn merge(&mut self, merge: &ast::Merge) -> Result<Merge> {
        require(merge.optimizer_hints.is_empty() && merge.into)?;
        let (target, only, alias) = relation(self.factor(&merge.table)?)?;
        let source = self.factor(&merge.source)?;
        let condition = self.expr(&merge.on)?;
        let branches = merge.clauses.iter().map(|clause| self.branch(clause)).collect::<Result<_>>()?;
        let returning = match &merge.output {
            None => Vec::new(),
            Some(ast::OutputClause::Returning { select_items, .. }) => self.items(select_items)?,
            Some(ast::OutputClause::Output { .. }) => return construct("OUTPUT"),
        };
        Ok(Merge { target, only, alias, source, condition, branches, returning })
    }

    fn branch(&mut self, clause: &ast::MergeClause) -> Result<MergeBranch> {
        let rows = match clause.clause_kind {
            ast::MergeClauseKind::Matched => MergeRows::Matched,
            ast::MergeClauseKind::NotMatched | ast::MergeClauseKind::NotMatchedByTarget => MergeRows::OfSource,
            ast::MergeClauseKind::NotMatchedBySource => MergeRows::OfTarget,
        };
        let filter = clause.predicate.as_ref().map(|filter| self.expr(filter)).transpose()?;
        let action = match &clause.action {
            ast::MergeAction::DoNothing { .. } => MergeAction::Nothing,
            ast::MergeAction::Delete { .. } => MergeAction::Delete,
            ast::MergeAction::Update(update) => {
                require(update.update_predicate.is_none() && update.delete_predicate.is_none())?;
                let ast::MergeUpdateKind::Set(assignments) = &update.kind else { return construct("UPDATE *") };
                MergeAction::Update(self.assignments(assignments)?)
            }
            ast::MergeAction::Insert(insert) => {
                require(insert.insert_predicate.is_none())?;
                let columns = self.targets(&insert.columns)?;
                let ast::MergeInsertKind::Values(values) = &insert.kind else { return construct("INSERT ROW") };
                let mut rows = self.rows(values)?;
                match (rows.pop(), rows.is_empty()) {
                    (Some(row), true) => MergeAction::Insert(columns, row),
                    _ => return Err(NotUnderstood::Syntax),
                }
            }
        };
        Ok(MergeBranch { rows, filter, action })
    }

    fn target_table(&mut self, table: &ast::TableWithJoins) -> Result<(ObjectName, bool, Option<Alias>)> {
        require(table.joins.is_empty())?;
        relation(self.factor(&table.relation)?)
    }

    fn targets(&mut self, columns: &[ast::ObjectName]) -> Result<Vec<Target>> {
        columns.iter().map(|column| self.target(column)).collect()
    }

    /// A column, or `column.field`.
    fn target(&mut self, column: &ast::ObjectName) -> Result<Target> {
        let mut parts = self.object_parts(column)?.into_iter();
        let Some(column) = parts.next() else { return Err(NotUnderstood::Syntax) };
        Ok(Target { column, part: parts.next().is_some(), subscripts: Vec::new() })
    }

    fn assignments(&mut self, assignments: &[ast::Assignment]) -> Result<Vec<Assignment>> {
        assignments
            .iter()
            .map(|assignment| {
                let targets = match &assignment.target {
                    ast::AssignmentTarget::ColumnName(column) => vec![self.target(column)?],
                    ast::AssignmentTarget::Tuple(columns) => self.targets(columns)?,
                };
                Ok(Assignment { targets, value: self.expr(&assignment.value)? })
            })
            .collect()
    }

    fn returning(&mut self, items: Option<&[ast::SelectItem]>) -> Result<Vec<SelectItem>> {
        items.map_or(Ok(Vec::new()), |items| self.items(items))
    }
}

/// The target of a statement: a relation and nothing else.
fn relation(item: FromItem) -> Result<(ObjectName, bool, Option<Alias>)> {
    match item {
        FromItem::Relation { name, only, alias, sample } if sample.is_empty() => Ok((name, only, alias)),
        FromItem::Relation { .. }
        | FromItem::Subquery { .. }
        | FromItem::Functions { .. }
        | FromItem::TableExpr { .. }
        | FromItem::Join { .. } => Err(NotUnderstood::Syntax),
    }
}
