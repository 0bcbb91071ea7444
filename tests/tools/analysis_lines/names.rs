//! The names that the readers and the lexer find in a text.

use std::collections::BTreeMap;

use pgveil::catalog::Name;
use pgveil::sql::readings::readings;
use pgveil::sql::tree::{
    Alias, Assignment, Body, Distinct, Expr, FromItem, JoinCondition, MergeAction, ObjectName, Query, Select,
    SelectItem, Target, TypeName, Window,
};
use pgveil::sql::{Limits, words};
use serde_json::{Value, json};

/// `words`: every identifier and key word, `null` where the text can not be lexed. `readings`: for each statement with a
/// query the names in the first and second reading, `null` where a reader gave up.
pub fn names(text: &str) -> Value {
    let mut found = std::collections::BTreeSet::new();
    let lexed = words(text, |word| {
        if !found.contains(word.text) {
            found.insert(word.text.to_owned());
        }
    });
    let read = readings(text, &Limits::default()).map(|readings| {
        readings
            .iter()
            .map(|one| json!([one.first.as_ref().ok().map(tree), one.second.as_ref().ok().map(tree)]))
            .collect::<Vec<_>>()
    });
    json!({ "words": lexed.ok().map(|()| found), "readings": read.ok() })
}

/// How often each name stands in a tree, by what it is there for.
#[derive(Default)]
struct Names {
    /// `name`, `schema.name`, with `only ` before it where that was said.
    relations: Counted,
    /// References as written: `a`, `t.a`, `*`, `t.*`; `.f` for the field of a composite value.
    columns: Counted,
    functions: Counted,
    types: Counted,
    /// Columns that are written to.
    targets: Counted,
    /// Labels of select items, aliases of relations and of their columns, CTEs, columns of USING.
    labels: Counted,
    /// Entries of select lists and RETURNING.
    items: u32,
}

type Counted = BTreeMap<String, u32>;

fn tree(query: &Query) -> Value {
    let mut names = Names::default();
    names.query(query);
    let Names { relations, columns, functions, types, targets, labels, items } = names;
    json!({
        "relations": relations, "columns": columns, "functions": functions, "types": types, "targets": targets,
        "labels": labels, "items": items,
    })
}

fn count(counted: &mut Counted, name: String) {
    *counted.entry(name).or_default() += 1;
}

fn dotted(parts: &[Name], last: Option<&str>) -> String {
    parts.iter().map(Name::as_str).chain(last).collect::<Vec<_>>().join(".")
}

fn object(name: &ObjectName) -> String {
    let parts = name.database.iter().chain(&name.schema).chain([&name.name]);
    parts.map(Name::as_str).collect::<Vec<_>>().join(".")
}

impl Names {
    fn label(&mut self, name: &Name) {
        count(&mut self.labels, name.as_str().to_owned());
    }

    fn alias(&mut self, alias: Option<&Alias>) {
        for name in alias.into_iter().flat_map(|alias| [&alias.name].into_iter().chain(&alias.columns)) {
            self.label(name);
        }
    }

    fn relation(&mut self, name: &ObjectName, only: bool) {
        count(&mut self.relations, format!("{}{}", if only { "only " } else { "" }, object(name)));
    }

    fn query(&mut self, query: &Query) {
        for cte in &query.with {
            self.label(&cte.name);
            cte.columns.iter().for_each(|column| self.label(column));
            self.query(&cte.query);
        }
        self.exprs(&query.order_by);
        self.exprs(&query.limits);
        match &query.body {
            Body::Select(select) => self.select(select),
            Body::SetOperation { left, right, .. } => {
                self.query(left);
                self.query(right);
            }
            Body::Values(rows) => rows.iter().for_each(|row| self.exprs(row)),
            Body::Nested(inner) => self.query(inner),
            Body::Insert(insert) => {
                self.relation(&insert.target, false);
                insert.alias.iter().for_each(|alias| self.label(alias));
                self.targets(&insert.columns);
                insert.source.iter().for_each(|source| self.query(source));
                if let Some(conflict) = &insert.on_conflict {
                    self.exprs(&conflict.target);
                    self.assignments(&conflict.assignments);
                    self.exprs(&conflict.filter);
                }
                self.items(&insert.returning);
            }
            Body::Update(update) => {
                self.relation(&update.target, update.only);
                self.alias(update.alias.as_ref());
                self.assignments(&update.assignments);
                update.from.iter().for_each(|item| self.from(item));
                self.exprs(&update.filter);
                self.items(&update.returning);
            }
            Body::Delete(delete) => {
                self.relation(&delete.target, delete.only);
                self.alias(delete.alias.as_ref());
                delete.using.iter().for_each(|item| self.from(item));
                self.exprs(&delete.filter);
                self.items(&delete.returning);
            }
            Body::Merge(merge) => {
                self.relation(&merge.target, merge.only);
                self.alias(merge.alias.as_ref());
                self.from(&merge.source);
                self.expr(&merge.condition);
                for branch in &merge.branches {
                    self.exprs(&branch.filter);
                    match &branch.action {
                        MergeAction::Nothing | MergeAction::Delete => {}
                        MergeAction::Update(assignments) => self.assignments(assignments),
                        MergeAction::Insert(targets, values) => {
                            self.targets(targets);
                            self.exprs(values);
                        }
                    }
                }
                self.items(&merge.returning);
            }
        }
    }

    fn select(&mut self, select: &Select) {
        if let Distinct::On(keys) = &select.distinct {
            self.exprs(keys);
        }
        self.items(&select.items);
        select.into.iter().for_each(|into| self.relation(into, false));
        select.from.iter().for_each(|item| self.from(item));
        self.exprs(&select.filter);
        self.exprs(&select.group_by);
        self.exprs(&select.having);
        for (name, window) in &select.windows {
            self.label(name);
            self.window(window);
        }
    }

    fn items(&mut self, items: &[SelectItem]) {
        for item in items {
            self.items += 1;
            match item {
                SelectItem::Expr(expr, label) => {
                    self.expr(expr);
                    label.iter().for_each(|label| self.label(label));
                }
                SelectItem::Star => count(&mut self.columns, "*".to_owned()),
                SelectItem::QualifiedStar(name) => count(&mut self.columns, format!("{}.*", object(name))),
                SelectItem::FieldStar(expr) => {
                    self.expr(expr);
                    count(&mut self.columns, ".*".to_owned());
                }
            }
        }
    }

    fn from(&mut self, item: &FromItem) {
        match item {
            FromItem::Relation { name, only, alias, sample } => {
                self.relation(name, *only);
                self.alias(alias.as_ref());
                self.exprs(sample);
            }
            FromItem::Subquery { query, alias, .. } => {
                self.query(query);
                self.alias(alias.as_ref());
            }
            FromItem::Functions { calls, alias, .. } => {
                for (call, columns) in calls {
                    self.expr(call);
                    columns.iter().for_each(|column| self.label(column));
                }
                self.alias(alias.as_ref());
            }
            FromItem::TableExpr { table, alias } => {
                self.expr(&table.document);
                self.exprs(&table.others);
                for column in &table.columns {
                    self.label(&column.name);
                    self.exprs(&column.others);
                }
                self.alias(alias.as_ref());
            }
            FromItem::Join { left, right, condition, alias, .. } => {
                self.from(left);
                self.from(right);
                match condition {
                    JoinCondition::None | JoinCondition::Natural => {}
                    JoinCondition::On(expr) => self.expr(expr),
                    JoinCondition::Using(columns, name) => {
                        columns.iter().chain(name).for_each(|column| self.label(column));
                    }
                }
                self.alias(alias.as_ref());
            }
        }
    }

    fn targets(&mut self, targets: &[Target]) {
        for target in targets {
            count(&mut self.targets, target.column.as_str().to_owned());
            self.exprs(&target.subscripts);
        }
    }

    fn assignments(&mut self, assignments: &[Assignment]) {
        for assignment in assignments {
            self.targets(&assignment.targets);
            self.expr(&assignment.value);
        }
    }

    fn exprs<'a>(&mut self, exprs: impl IntoIterator<Item = &'a Expr>) {
        exprs.into_iter().for_each(|expr| self.expr(expr));
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Column(parts) => count(&mut self.columns, dotted(parts, None)),
            Expr::Star(parts) if parts.is_empty() => {}
            Expr::Star(parts) => count(&mut self.columns, dotted(parts, Some("*"))),
            Expr::Constant(_) | Expr::Parameter(_) | Expr::Default | Expr::CurrentOf(_) => {}
            Expr::Call(call) => {
                count(&mut self.functions, object(&call.function));
                self.exprs(&call.args);
                self.exprs(&call.order_by);
                self.exprs(&call.within_group);
                self.exprs(call.filter.as_deref());
                call.over.iter().for_each(|window| self.window(window));
            }
            Expr::Operator(_, operands) | Expr::Logic(_, operands) | Expr::Array(operands) | Expr::Row(operands) => {
                self.exprs(operands);
            }
            Expr::NullTest(inner) | Expr::Test(inner) | Expr::Collate(inner) => self.expr(inner),
            Expr::DistinctFrom(left, right) | Expr::AtTimeZone(left, right) | Expr::Quantified(left, _, right) => {
                self.expr(left);
                self.expr(right);
            }
            Expr::Like { subject, pattern, escape, .. } => {
                self.expr(subject);
                self.expr(pattern);
                self.exprs(escape.as_deref());
            }
            Expr::Between(subject, low, high) => self.exprs([&**subject, low, high]),
            Expr::InList(subject, list) => {
                self.expr(subject);
                self.exprs(list);
            }
            Expr::InQuery(subject, query) | Expr::QuantifiedQuery(subject, _, query) => {
                self.expr(subject);
                self.query(query);
            }
            Expr::Exists(query) | Expr::Subquery(query) | Expr::ArrayQuery(query) => self.query(query),
            Expr::Case(operand, branches, otherwise) => {
                self.exprs(operand.as_deref());
                for (condition, result) in branches {
                    self.exprs([condition, result]);
                }
                self.exprs(otherwise.as_deref());
            }
            Expr::Cast(inner, to) => {
                self.expr(inner);
                self.type_name(to);
            }
            Expr::Subscript(base, indexes) => {
                self.expr(base);
                self.exprs(indexes);
            }
            Expr::Field(base, field) => {
                self.expr(base);
                count(&mut self.columns, format!(".{field}"));
            }
        }
    }

    fn window(&mut self, window: &Window) {
        self.exprs(&window.partition_by);
        self.exprs(&window.order_by);
        self.exprs(&window.frame);
    }

    fn type_name(&mut self, name: &TypeName) {
        count(&mut self.types, name.name.as_str().to_owned());
    }
}
