//! A tree in one short line, for tests.

use crate::sql::NotUnderstood;
use crate::sql::lexer::Lexer;
use crate::sql::tree::*;

pub(crate) fn read(text: &str) -> Result<Query, NotUnderstood> {
    super::read(&Lexer::tokens(text, usize::MAX)?)
}

pub(crate) fn query(q: &Query) -> String {
    let mut out = String::new();
    if !q.with.is_empty() {
        let ctes = join(&q.with, |cte| format!("{}{}=({})", cte.name, columns(&cte.columns), query(&cte.query)), "; ");
        out += &format!("with{} {ctes}: ", if q.recursive { "*" } else { "" });
    }
    out += &body(&q.body);
    clause(&mut out, "order", &q.order_by);
    clause(&mut out, "limit", &q.limits);
    out
}

fn body(b: &Body) -> String {
    match b {
        Body::Select(s) => select(s),
        Body::SetOperation { all, left, right } => {
            format!("({}) set{} ({})", query(left), if *all { "+" } else { "" }, query(right))
        }
        Body::Values(rows) => format!("values {}", join(rows, |row| format!("({})", exprs(row)), ",")),
        Body::Nested(inner) => format!("[{}]", query(inner)),
        Body::Insert(i) => {
            let mut out = format!("insert {}", object(&i.target));
            if let Some(alias) = &i.alias {
                out += &format!(" as {alias}");
            }
            out += &format!("({})", join(&i.columns, target, ","));
            if let Some(source) = &i.source {
                out += &format!(" <- {}", query(source));
            }
            if let Some(conflict) = &i.on_conflict {
                out += &format!(" conflict({}) {}", exprs(&conflict.target), assignments(&conflict.assignments));
                clause(&mut out, "where", conflict.filter.as_slice());
            }
            out + &returning(&i.returning)
        }
        Body::Update(u) => {
            let mut out = format!("update {}{}{}", object(&u.target), only(u.only), alias(u.alias.as_ref()));
            out += &format!(" set {}", assignments(&u.assignments));
            if !u.from.is_empty() {
                out += &format!(" from {}", join(&u.from, from, ", "));
            }
            clause(&mut out, "where", u.filter.as_slice());
            out + &returning(&u.returning)
        }
        Body::Delete(d) => {
            let mut out = format!("delete {}{}{}", object(&d.target), only(d.only), alias(d.alias.as_ref()));
            if !d.using.is_empty() {
                out += &format!(" from {}", join(&d.using, from, ", "));
            }
            clause(&mut out, "where", d.filter.as_slice());
            out + &returning(&d.returning)
        }
        Body::Merge(m) => {
            let mut out = format!("merge {}{}{}", object(&m.target), only(m.only), alias(m.alias.as_ref()));
            out += &format!(" from {} on {}", from(&m.source), expr(&m.condition));
            for branch in &m.branches {
                out += " when";
                clause(&mut out, "and", branch.filter.as_slice());
                out += &match &branch.action {
                    MergeAction::Nothing => " nothing".to_owned(),
                    MergeAction::Delete => " delete".to_owned(),
                    MergeAction::Update(set) => format!(" set {}", assignments(set)),
                    MergeAction::Insert(to, values) => {
                        format!(" insert({}) ({})", join(to, target, ","), exprs(values))
                    }
                };
            }
            out + &returning(&m.returning)
        }
    }
}

fn select(s: &Select) -> String {
    let mut out = "select".to_owned();
    match &s.distinct {
        Distinct::No => {}
        Distinct::Rows => out += " distinct",
        Distinct::On(keys) => out += &format!(" distinct({})", exprs(keys)),
    }
    if !s.items.is_empty() {
        out += &format!(" {}", join(&s.items, item, ", "));
    }
    if let Some(into) = &s.into {
        out += &format!(" into {}", object(into));
    }
    if !s.from.is_empty() {
        out += &format!(" from {}", join(&s.from, from, ", "));
    }
    clause(&mut out, "where", s.filter.as_slice());
    clause(&mut out, "group", &s.group_by);
    clause(&mut out, "having", s.having.as_slice());
    for (name, definition) in &s.windows {
        out += &format!(" window {name}={}", window(definition));
    }
    out
}

fn item(i: &SelectItem) -> String {
    match i {
        SelectItem::Expr(value, None) => expr(value),
        SelectItem::Expr(value, Some(alias)) => format!("{} as {alias}", expr(value)),
        SelectItem::Star => "*".to_owned(),
        SelectItem::QualifiedStar(name) => format!("{}.*", object(name)),
        SelectItem::FieldStar(value) => format!("({}).*", expr(value)),
    }
}

fn from(f: &FromItem) -> String {
    match f {
        FromItem::Relation { name, only: o, alias: a, sample } => {
            let mut out = format!("{}{}{}", object(name), only(*o), alias(a.as_ref()));
            clause(&mut out, "sample", sample);
            out
        }
        FromItem::Subquery { lateral, query: q, alias: a } => {
            format!("{}({}){}", if *lateral { "lateral " } else { "" }, query(q), alias(a.as_ref()))
        }
        FromItem::Functions { calls, ordinality, alias: a } => {
            let calls = join(calls, |(call, defined)| format!("{}{}", expr(call), columns(defined)), ", ");
            format!("<{calls}>{}{}", if *ordinality { "+n" } else { "" }, alias(a.as_ref()))
        }
        // sqlparser's reader makes none
        FromItem::TableExpr { table, alias: a } => format!("{}<>{}", table.name, alias(a.as_ref())),
        FromItem::Join { kind, left, right, condition, alias: a } => {
            let condition = match condition {
                JoinCondition::None => String::new(),
                JoinCondition::On(on) => format!(" on {}", expr(on)),
                JoinCondition::Using(names, a) => {
                    format!(" using{}{}", columns(names), a.as_ref().map_or(String::new(), |a| format!(" as {a}")))
                }
                JoinCondition::Natural => " natural".to_owned(),
            };
            format!("{{{} {kind:?} {}{condition}}}{}", from(left), from(right), alias(a.as_ref()))
        }
    }
}

pub(crate) fn expr(e: &Expr) -> String {
    match e {
        Expr::Column(parts) => join(parts, ToString::to_string, "."),
        Expr::Star(parts) => parts.iter().map(|part| format!("{part}.")).collect::<String>() + "*",
        Expr::Constant(Constant::Null) => "null".to_owned(),
        Expr::Constant(Constant::Number(Some(value))) => value.to_string(),
        Expr::Constant(Constant::Number(None)) => "#".to_owned(),
        Expr::Constant(Constant::Text(
            Wildcards::None | Wildcards::Modest | Wildcards::Separator | Wildcards::Path,
            _,
        )) => "''".to_owned(),
        Expr::Constant(Constant::Fraction) => "#".to_owned(),
        Expr::Constant(Constant::Text(Wildcards::Trailing, _)) => "'_%'".to_owned(),
        Expr::Constant(Constant::Text(Wildcards::Anywhere | Wildcards::Format | Wildcards::Dangling, _)) => {
            "'%_%'".to_owned()
        }
        Expr::Constant(Constant::Bool) => "bool".to_owned(),
        Expr::Parameter(number) => format!("${number}"),
        Expr::Default => "default".to_owned(),
        Expr::Call(call) => self::call(call),
        Expr::Operator(operator, operands) => match operands.as_slice() {
            [one] => format!("({}{})", symbol(operator), expr(one)),
            _ => format!("({})", join(operands, expr, &format!(" {} ", symbol(operator)))),
        },
        Expr::Logic(_, terms) => format!("logic({})", exprs(terms)),
        Expr::NullTest(inside) => format!("null?({})", expr(inside)),
        Expr::Test(inside) => format!("test({})", expr(inside)),
        Expr::DistinctFrom(left, right) => format!("({} distinct {})", expr(left), expr(right)),
        Expr::Like { kind, subject, pattern, escape } => {
            let escape = escape.as_ref().map_or(String::new(), |escape| format!(" escape {}", expr(escape)));
            format!("({} {kind:?} {}{escape})", expr(subject), expr(pattern))
        }
        Expr::Between(a, b, c) => format!("between({}, {}, {})", expr(a), expr(b), expr(c)),
        Expr::InList(a, list) => format!("({} in {})", expr(a), exprs(list)),
        Expr::InQuery(a, q) => format!("({} in ({}))", expr(a), query(q)),
        Expr::Quantified(a, op, b) => format!("({} {} any {})", expr(a), symbol(op), expr(b)),
        Expr::QuantifiedQuery(a, op, q) => format!("({} {} any ({}))", expr(a), symbol(op), query(q)),
        Expr::Exists(q) => format!("exists({})", query(q)),
        Expr::Subquery(q) => format!("sub({})", query(q)),
        Expr::ArrayQuery(q) => format!("array({})", query(q)),
        Expr::Array(members) => format!("array[{}]", exprs(members)),
        Expr::Row(members) => format!("row({})", exprs(members)),
        Expr::Case(operand, branches, otherwise) => {
            let operand = operand.as_ref().map_or(String::new(), |operand| expr(operand));
            let branches = join(branches, |(when, then)| format!(" {}:{}", expr(when), expr(then)), "");
            let otherwise = otherwise.as_ref().map_or(String::new(), |value| format!(" else {}", expr(value)));
            format!("case({operand}{branches}{otherwise})")
        }
        Expr::Cast(value, t) => format!("{}::{}", expr(value), type_name(t)),
        Expr::Collate(value) => format!("collate({})", expr(value)),
        Expr::AtTimeZone(value, zone) => format!("zone({}, {})", expr(value), expr(zone)),
        Expr::Subscript(value, indexes) => format!("{}[{}]", expr(value), exprs(indexes)),
        Expr::Field(value, name) => format!("({}).{name}", expr(value)),
        Expr::CurrentOf(name) => format!("current of {name}"),
    }
}

fn call(c: &Call) -> String {
    let mut out = format!("{}{}(", if c.special { "!" } else { "" }, object(&c.function));
    if c.distinct {
        out += "distinct ";
    }
    out += &exprs(&c.args);
    clause(&mut out, "order", &c.order_by);
    out += ")";
    clause(&mut out, "within", &c.within_group);
    if let Some(filter) = &c.filter {
        out += &format!(" filter({})", expr(filter));
    }
    if let Some(over) = &c.over {
        out += &format!(" over{}", window(over));
    }
    out
}

fn window(w: &Window) -> String {
    let mut out = format!("({}", w.base.as_ref().map_or(String::new(), ToString::to_string));
    clause(&mut out, "by", &w.partition_by);
    clause(&mut out, "order", &w.order_by);
    clause(&mut out, "frame", &w.frame);
    out + ")"
}

fn type_name(t: &TypeName) -> String {
    let schema = t.schema.as_ref().map_or(String::new(), |schema| format!("{schema}."));
    format!("{schema}{}{}{}", t.name, if t.modified { "()" } else { "" }, if t.array { "[]" } else { "" })
}

fn symbol(o: &Operator) -> String {
    o.schema.as_ref().map_or(String::new(), |schema| format!("{schema}.")) + &o.symbol
}

fn target(t: &Target) -> String {
    let indexes = if t.subscripts.is_empty() { String::new() } else { format!("[{}]", exprs(&t.subscripts)) };
    format!("{}{}{indexes}", t.column, if t.part { "~" } else { "" })
}

fn assignments(set: &[Assignment]) -> String {
    join(set, |a| format!("{}={}", join(&a.targets, target, ","), expr(&a.value)), ", ")
}

fn returning(items: &[SelectItem]) -> String {
    if items.is_empty() { String::new() } else { format!(" returning {}", join(items, item, ", ")) }
}

fn alias(a: Option<&Alias>) -> String {
    a.map_or(String::new(), |a| format!(" {}{}", a.name, columns(&a.columns)))
}

fn only(only: bool) -> &'static str {
    if only { "!" } else { "" }
}

fn object(name: &ObjectName) -> String {
    let parts = [name.database.as_ref(), name.schema.as_ref(), Some(&name.name)];
    join(&parts.into_iter().flatten().collect::<Vec<_>>(), ToString::to_string, ".")
}

fn columns(names: &[crate::catalog::Name]) -> String {
    if names.is_empty() { String::new() } else { format!("({})", join(names, ToString::to_string, ",")) }
}

fn exprs(list: &[Expr]) -> String {
    join(list, expr, ", ")
}

fn clause(out: &mut String, name: &str, list: &[Expr]) {
    if !list.is_empty() {
        *out += &format!(" {name} {}", exprs(list));
    }
}

fn join<T>(list: &[T], shown: impl Fn(&T) -> String, between: &str) -> String {
    list.iter().map(shown).collect::<Vec<_>>().join(between)
}
