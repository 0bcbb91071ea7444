//! A tree as one line, for tables of expectations.

use crate::catalog::Name;
use crate::sql::tree::{
    Alias, Assignment, Body, Call, Constant, Distinct, Expr, FromItem, JoinCondition, JoinKind, LikeKind, MergeAction,
    ObjectName, Operator, Query, Select, SelectItem, TableColumn, Target, TypeName, Wildcards, Window,
};

/// `with? body order_by? limits?`
pub(super) fn query(query: &Query) -> String {
    let mut out = String::new();
    if !query.with.is_empty() {
        let ctes =
            list(&query.with, |cte| format!("{}{} = {}", cte.name, columns(&cte.columns), self::query(&cte.query)));
        out += &format!("with{} [{ctes}] ", if query.recursive { " recursive" } else { "" });
    }
    out += &body(&query.body);
    if !query.order_by.is_empty() {
        out += &format!(" order [{}]", exprs(&query.order_by));
    }
    if !query.limits.is_empty() {
        out += &format!(" limit [{}]", exprs(&query.limits));
    }
    out
}

fn body(body: &Body) -> String {
    match body {
        Body::Select(select) => self::select(select),
        Body::SetOperation { all, left, right } => {
            format!("{{{} {} {}}}", query(left), if *all { "all" } else { "distinct" }, query(right))
        }
        Body::Values(rows) => format!("values [{}]", list(rows, |row| format!("({})", exprs(row)))),
        Body::Nested(inner) => format!("<{}>", query(inner)),
        Body::Insert(insert) => {
            let mut out = format!("insert {}{}", object(&insert.target), maybe(&insert.alias, |a| format!(" as {a}")));
            out += &format!(" ({})", list(&insert.columns, target));
            out += &match &insert.source {
                Some(source) => format!(" {}", query(source)),
                None => " default values".to_owned(),
            };
            if let Some(conflict) = &insert.on_conflict {
                out += &format!(" conflict [{}] set [{}]", exprs(&conflict.target), assignments(&conflict.assignments));
                out += &maybe(&conflict.filter, |filter| format!(" where {}", expr(filter)));
            }
            out + &returning(&insert.returning)
        }
        Body::Update(update) => format!(
            "update {}{}{} set [{}]{}{}{}",
            only(update.only),
            object(&update.target),
            maybe(&update.alias, alias),
            assignments(&update.assignments),
            if update.from.is_empty() { String::new() } else { format!(" from [{}]", list(&update.from, item)) },
            maybe(&update.filter, |filter| format!(" where {}", expr(filter))),
            returning(&update.returning),
        ),
        Body::Delete(delete) => format!(
            "delete {}{}{}{}{}{}",
            only(delete.only),
            object(&delete.target),
            maybe(&delete.alias, alias),
            if delete.using.is_empty() { String::new() } else { format!(" using [{}]", list(&delete.using, item)) },
            maybe(&delete.filter, |filter| format!(" where {}", expr(filter))),
            returning(&delete.returning),
        ),
        Body::Merge(merge) => format!(
            "merge {}{}{} using {} on {} [{}]{}",
            only(merge.only),
            object(&merge.target),
            maybe(&merge.alias, alias),
            item(&merge.source),
            expr(&merge.condition),
            list(&merge.branches, |branch| {
                let action = match &branch.action {
                    MergeAction::Nothing => "nothing".to_owned(),
                    MergeAction::Delete => "delete".to_owned(),
                    MergeAction::Update(set) => format!("update [{}]", assignments(set)),
                    MergeAction::Insert(targets, values) => {
                        format!("insert ({}) [{}]", list(targets, target), exprs(values))
                    }
                };
                format!("{}{action}", maybe(&branch.filter, |filter| format!("{} -> ", expr(filter))))
            }),
            returning(&merge.returning),
        ),
    }
}

fn select(select: &Select) -> String {
    let mut out = "select".to_owned();
    out += &match &select.distinct {
        Distinct::No => String::new(),
        Distinct::Rows => " distinct".to_owned(),
        Distinct::On(keys) => format!(" distinct on ({})", exprs(keys)),
    };
    out += &format!(" [{}]", list(&select.items, select_item));
    out += &maybe(&select.into, |into| format!(" into {}", object(into)));
    if !select.from.is_empty() {
        out += &format!(" from [{}]", list(&select.from, item));
    }
    out += &maybe(&select.filter, |filter| format!(" where {}", expr(filter)));
    if !select.group_by.is_empty() {
        out += &format!(" group [{}]", exprs(&select.group_by));
    }
    out += &maybe(&select.having, |having| format!(" having {}", expr(having)));
    if !select.windows.is_empty() {
        out += &format!(" window [{}]", list(&select.windows, |(name, it)| format!("{name} {}", window(it))));
    }
    out
}

fn select_item(item: &SelectItem) -> String {
    match item {
        SelectItem::Expr(value, name) => expr(value) + &maybe(name, |name| format!(" as {name}")),
        SelectItem::Star => "*".to_owned(),
        SelectItem::QualifiedStar(name) => format!("{}.*", object(name)),
        SelectItem::FieldStar(value) => format!("({}).*", expr(value)),
    }
}

fn returning(items: &[SelectItem]) -> String {
    if items.is_empty() { String::new() } else { format!(" returning [{}]", list(items, select_item)) }
}

fn table_column(column: &TableColumn) -> String {
    format!(
        "{} {}{:?} [{}]{}{}",
        column.name,
        maybe(&column.type_name, |of| format!("{} ", type_name(of))),
        column.path,
        exprs(&column.others),
        if column.strict { " strict" } else { "" },
        if column.required { " required" } else { "" },
    )
}

fn item(from: &FromItem) -> String {
    match from {
        FromItem::Relation { name, only: is_only, alias: new, sample } => format!(
            "{}{}{}{}",
            only(*is_only),
            object(name),
            maybe(new, alias),
            if sample.is_empty() { String::new() } else { format!(" sample [{}]", exprs(sample)) },
        ),
        FromItem::Subquery { lateral, query: inner, alias: new } => {
            format!("{}<{}>{}", if *lateral { "lateral " } else { "" }, query(inner), maybe(new, alias))
        }
        FromItem::Functions { calls, ordinality, alias: new } => format!(
            "functions({}){}{}",
            list(calls, |(call, defined)| expr(call) + &columns(defined)),
            if *ordinality { " ordinality" } else { "" },
            maybe(new, alias),
        ),
        FromItem::TableExpr { table, alias: new } => format!(
            "{}!({} {:?} [{}] -> {}){}",
            table.name,
            expr(&table.document),
            table.rows,
            exprs(&table.others),
            list(&table.columns, table_column),
            maybe(new, alias)
        ),
        FromItem::Join { kind, left, right, condition, alias: new } => format!(
            "({} {} {}{}){}",
            item(left),
            match kind {
                JoinKind::Inner => "inner",
                JoinKind::Left => "left",
                JoinKind::Right => "right",
                JoinKind::Full => "full",
                JoinKind::Cross => "cross",
            },
            item(right),
            match condition {
                JoinCondition::None => String::new(),
                JoinCondition::On(condition) => format!(" on {}", expr(condition)),
                JoinCondition::Using(names, alias) => {
                    format!(" using{}{}", columns(names), maybe(alias, |alias| format!(" as {alias}")))
                }
                JoinCondition::Natural => " natural".to_owned(),
            },
            maybe(new, alias),
        ),
    }
}

fn expr(value: &Expr) -> String {
    match value {
        Expr::Column(parts) => dotted(parts),
        Expr::Star(parts) if parts.is_empty() => "*".to_owned(),
        Expr::Star(parts) => format!("{}.*", dotted(parts)),
        Expr::Constant(constant) => match constant {
            Constant::Null => "null".to_owned(),
            Constant::Number(Some(number)) => number.to_string(),
            Constant::Number(None) | Constant::Fraction => "#".to_owned(),
            Constant::Text(Wildcards::None | Wildcards::Modest | Wildcards::Separator | Wildcards::Path, _) => {
                "'a'".to_owned()
            }
            Constant::Text(Wildcards::Trailing, _) => "'a%'".to_owned(),
            Constant::Text(Wildcards::Anywhere | Wildcards::Format | Wildcards::Dangling, _) => "'%a%'".to_owned(),
            Constant::Bool => "bool".to_owned(),
        },
        Expr::Parameter(number) => format!("${number}"),
        Expr::Default => "default".to_owned(),
        Expr::Call(call) => self::call(call),
        Expr::Operator(operator, operands) => match operands.as_slice() {
            [only] => format!("({} {})", symbol(operator), expr(only)),
            [left, right] => format!("({} {} {})", expr(left), symbol(operator), expr(right)),
            operands => format!("({}: {})", symbol(operator), exprs(operands)),
        },
        Expr::Logic(_, operands) => format!("logic({})", exprs(operands)),
        Expr::NullTest(value) => format!("isnull({})", expr(value)),
        Expr::Test(value) => format!("test({})", expr(value)),
        Expr::DistinctFrom(left, right) => format!("distinct({}, {})", expr(left), expr(right)),
        Expr::Like { kind, subject, pattern, escape } => format!(
            "{}({}, {}{})",
            match kind {
                LikeKind::Like => "like",
                LikeKind::Ilike => "ilike",
                LikeKind::SimilarTo => "similar",
            },
            expr(subject),
            expr(pattern),
            maybe(escape, |escape| format!(", {}", expr(escape))),
        ),
        Expr::Between(value, low, high) => format!("between({}, {}, {})", expr(value), expr(low), expr(high)),
        Expr::InList(value, items) => format!("in({}, [{}])", expr(value), exprs(items)),
        Expr::InQuery(value, inner) => format!("in({}, <{}>)", expr(value), query(inner)),
        Expr::Quantified(value, operator, array) => {
            format!("({} {} any {})", expr(value), symbol(operator), expr(array))
        }
        Expr::QuantifiedQuery(value, operator, inner) => {
            format!("({} {} any <{}>)", expr(value), symbol(operator), query(inner))
        }
        Expr::Exists(inner) => format!("exists<{}>", query(inner)),
        Expr::Subquery(inner) => format!("<{}>", query(inner)),
        Expr::ArrayQuery(inner) => format!("array<{}>", query(inner)),
        Expr::Array(items) => format!("array[{}]", exprs(items)),
        Expr::Row(items) => format!("row({})", exprs(items)),
        Expr::Case(operand, branches, otherwise) => format!(
            "case({}{}{})",
            maybe(operand, |operand| format!("{}: ", expr(operand))),
            list(branches, |(when, then)| format!("{} -> {}", expr(when), expr(then))),
            maybe(otherwise, |value| format!(" else {}", expr(value))),
        ),
        Expr::Cast(value, target) => format!("{}::{}", expr(value), type_name(target)),
        Expr::Collate(value) => format!("collate({})", expr(value)),
        Expr::AtTimeZone(value, zone) => format!("zone({}, {})", expr(value), expr(zone)),
        Expr::Subscript(value, indexes) => format!("{}[{}]", expr(value), exprs(indexes)),
        Expr::Field(value, name) => format!("({}).{name}", expr(value)),
        Expr::CurrentOf(name) => format!("current of {name}"),
    }
}

fn call(call: &Call) -> String {
    let mut out = format!("{}{}(", object(&call.function), if call.special { "!" } else { "" });
    if call.distinct {
        out += "distinct ";
    }
    out += &exprs(&call.args);
    if !call.order_by.is_empty() {
        out += &format!(" order {}", exprs(&call.order_by));
    }
    out += ")";
    if !call.within_group.is_empty() {
        out += &format!(" within({})", exprs(&call.within_group));
    }
    out += &maybe(&call.filter, |filter| format!(" filter({})", expr(filter)));
    out + &maybe(&call.over, |over| format!(" over{}", window(over)))
}

fn window(window: &Window) -> String {
    let mut parts: Vec<String> = window.base.iter().map(Name::to_string).collect();
    for (word, values) in [("by", &window.partition_by), ("order", &window.order_by), ("frame", &window.frame)] {
        if !values.is_empty() {
            parts.push(format!("{word} {}", exprs(values)));
        }
    }
    format!("({})", parts.join(" "))
}

fn symbol(operator: &Operator) -> String {
    maybe(&operator.schema, |schema| format!("{schema}.")) + &operator.symbol
}

fn type_name(name: &TypeName) -> String {
    let schema = maybe(&name.schema, |schema| format!("{schema}."));
    let (modified, array) = (if name.modified { "()" } else { "" }, if name.array { "[]" } else { "" });
    format!("{schema}{}{modified}{array}", name.name)
}

fn target(target: &Target) -> String {
    let subscripts =
        if target.subscripts.is_empty() { String::new() } else { format!("[{}]", exprs(&target.subscripts)) };
    format!("{}{}{subscripts}", target.column, if target.part { "~" } else { "" })
}

fn assignments(set: &[Assignment]) -> String {
    list(set, |one| format!("{} = {}", list(&one.targets, target), expr(&one.value)))
}

fn object(name: &ObjectName) -> String {
    let parts: Vec<Name> = name.database.iter().chain(&name.schema).chain([&name.name]).cloned().collect();
    dotted(&parts)
}

fn dotted(parts: &[Name]) -> String {
    parts.iter().map(Name::to_string).collect::<Vec<_>>().join(".")
}

fn alias(alias: &Alias) -> String {
    format!(" as {}{}", alias.name, columns(&alias.columns))
}

fn columns(names: &[Name]) -> String {
    if names.is_empty() { String::new() } else { format!("({})", list(names, Name::to_string)) }
}

fn only(only: bool) -> &'static str {
    if only { "only " } else { "" }
}

fn exprs(values: &[Expr]) -> String {
    list(values, expr)
}

fn list<T>(values: &[T], show: impl Fn(&T) -> String) -> String {
    values.iter().map(show).collect::<Vec<_>>().join(", ")
}

fn maybe<T>(value: &Option<T>, show: impl Fn(&T) -> String) -> String {
    value.as_ref().map(show).unwrap_or_default()
}
