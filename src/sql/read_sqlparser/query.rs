//! Queries, set operations, SELECT levels.

use sqlparser::ast;

use super::{Reader, Result, construct, object_name, require};
use crate::sql::NotUnderstood;
use crate::sql::tree::{Body, Cte, Distinct, Expr, ObjectName, Query, Select, SelectItem, Window};

/// A query that is nothing but its body.
fn bare(body: Body) -> Query {
    Query { recursive: false, with: Vec::new(), body, order_by: Vec::new(), limits: Vec::new() }
}

impl Query {
    fn is_bare(&self) -> bool {
        self.with.is_empty() && self.order_by.is_empty() && self.limits.is_empty()
    }
}

impl Reader {
    pub(super) fn statement(&mut self, statement: &ast::Statement) -> Result<Query> {
        match statement {
            ast::Statement::Query(query) => self.query(query),
            other => Ok(bare(self.changing(other)?)),
        }
    }

    pub(super) fn query(&mut self, query: &ast::Query) -> Result<Query> {
        require(
            query.for_clause.is_none()
                && query.settings.is_none()
                && query.format_clause.is_none()
                && query.pipe_operators.is_empty(),
        )?;
        let mut with = Vec::new();
        let mut recursive = false;
        if let Some(clause) = &query.with {
            recursive = clause.recursive;
            for cte in &clause.cte_tables {
                with.push(self.common_table_expression(cte)?);
            }
        }
        let inner = self.set_expression(&query.body)?;
        let order_by = match &query.order_by {
            None => Vec::new(),
            Some(ast::OrderBy { kind: ast::OrderByKind::Expressions(keys), interpolate: None }) => {
                self.sort_keys(keys)?
            }
            Some(_) => return construct("ORDER BY ALL"),
        };
        let limits = self.limits(query)?;
        for lock in &query.locks {
            if let Some(of) = &lock.of {
                self.object_parts(of)?;
            }
        }
        if with.is_empty() && order_by.is_empty() && limits.is_empty() {
            return Ok(inner);
        }
        let body = if inner.is_bare() { inner.body } else { Body::Nested(Box::new(inner)) };
        Ok(Query { recursive, with, body, order_by, limits })
    }

    fn common_table_expression(&mut self, cte: &ast::Cte) -> Result<Cte> {
        require(cte.from.is_none())?;
        let alias = self.alias(&cte.alias)?;
        Ok(Cte { name: alias.name, columns: alias.columns, query: self.query(&cte.query)? })
    }

    fn limits(&mut self, query: &ast::Query) -> Result<Vec<Expr>> {
        let mut limits = Vec::new();
        match &query.limit_clause {
            None => {}
            Some(ast::LimitClause::LimitOffset { limit, offset, limit_by }) => {
                require(limit_by.is_empty())?;
                for expr in limit.iter().chain(offset.iter().map(|offset| &offset.value)) {
                    limits.push(self.expr(expr)?);
                }
            }
            Some(ast::LimitClause::OffsetCommaLimit { .. }) => return construct("LIMIT with a comma"),
        }
        if let Some(fetch) = &query.fetch {
            require(!fetch.percent)?;
            if let Some(quantity) = &fetch.quantity {
                limits.push(self.expr(quantity)?);
            }
        }
        Ok(limits)
    }

    /// The expressions of ORDER BY; `USING operator`, direction and NULLS do not change what is looked at.
    pub(super) fn sort_keys(&mut self, keys: &[ast::OrderByExpr]) -> Result<Vec<Expr>> {
        keys.iter()
            .map(|key| {
                require(key.with_fill.is_none())?;
                if let Some(ast::OrderBySort::Using(operator)) = &key.options.sort {
                    self.passed_over(operator)?;
                }
                self.expr(&key.expr)
            })
            .collect()
    }

    /// A name that is not kept.
    pub(super) fn passed_over(&mut self, name: &ast::ObjectName) -> Result<()> {
        self.object_parts(name).map(drop)
    }

    /// Chains of set operations lean to the left and are walked without recursion.
    fn set_expression(&mut self, expression: &ast::SetExpr) -> Result<Query> {
        let mut arms = Vec::new();
        let mut leftmost = expression;
        while let ast::SetExpr::SetOperation { left, op, set_quantifier, right } = leftmost {
            let all = match set_quantifier {
                ast::SetQuantifier::All => true,
                ast::SetQuantifier::Distinct | ast::SetQuantifier::None => false,
                ast::SetQuantifier::ByName | ast::SetQuantifier::AllByName | ast::SetQuantifier::DistinctByName => {
                    return construct("a set operation BY NAME");
                }
            };
            let unites = match op {
                ast::SetOperator::Union => true,
                ast::SetOperator::Except | ast::SetOperator::Intersect => false,
                ast::SetOperator::Minus => return construct("MINUS"),
            };
            arms.push((all && unites, right));
            leftmost = left;
        }
        let mut query = self.simple_expression(leftmost)?;
        for (all, right) in arms.into_iter().rev() {
            let right = Box::new(self.set_expression(right)?);
            query = bare(Body::SetOperation { all, left: Box::new(query), right });
        }
        Ok(query)
    }

    fn simple_expression(&mut self, expression: &ast::SetExpr) -> Result<Query> {
        Ok(bare(match expression {
            ast::SetExpr::Select(select) => Body::Select(Box::new(self.select(select)?)),
            ast::SetExpr::Query(query) => return self.query(query),
            ast::SetExpr::SetOperation { .. } => return self.set_expression(expression),
            ast::SetExpr::Values(values) => Body::Values(self.rows(values)?),
            ast::SetExpr::Insert(statement)
            | ast::SetExpr::Update(statement)
            | ast::SetExpr::Delete(statement)
            | ast::SetExpr::Merge(statement) => self.changing(statement)?,
            // the feed rewrites TABLE; what is left here has lost its quotes
            ast::SetExpr::Table(_) => return construct("TABLE in this place"),
        }))
    }

    pub(super) fn rows(&mut self, values: &ast::Values) -> Result<Vec<Vec<Expr>>> {
        require(!values.explicit_row && !values.value_keyword)?;
        values.rows.iter().map(|row| row.content.iter().map(|value| self.expr(value)).collect()).collect()
    }

    fn select(&mut self, select: &ast::Select) -> Result<Select> {
        require(
            select.optimizer_hints.is_empty()
                && select.select_modifiers.is_none()
                && select.top.is_none()
                && select.exclude.is_none()
                && select.lateral_views.is_empty()
                && select.prewhere.is_none()
                && select.connect_by.is_empty()
                && select.cluster_by.is_empty()
                && select.distribute_by.is_empty()
                && select.sort_by.is_empty()
                && select.qualify.is_none()
                && select.value_table_mode.is_none()
                && matches!(select.flavor, ast::SelectFlavor::Standard),
        )?;
        let distinct = match &select.distinct {
            None | Some(ast::Distinct::All) => Distinct::No,
            Some(ast::Distinct::Distinct) => Distinct::Rows,
            Some(ast::Distinct::On(keys)) => Distinct::On(self.exprs(keys)?),
        };
        Ok(Select {
            distinct,
            items: self.items(&select.projection)?,
            into: select.into.as_ref().map(|into| self.made_by(into)).transpose()?,
            from: self.relations(&select.from)?,
            filter: select.selection.as_ref().map(|filter| self.expr(filter)).transpose()?,
            group_by: self.group_by(&select.group_by)?,
            having: select.having.as_ref().map(|having| self.expr(having)).transpose()?,
            windows: self.windows(&select.named_window)?,
        })
    }

    fn windows(&mut self, definitions: &[ast::NamedWindowDefinition]) -> Result<Vec<(crate::catalog::Name, Window)>> {
        definitions
            .iter()
            .map(|ast::NamedWindowDefinition(name, definition)| {
                let ast::NamedWindowExpr::WindowSpec(window) = definition else {
                    return construct("a window named by another");
                };
                Ok((self.column_or_table(name)?, self.window(window)?))
            })
            .collect()
    }

    fn made_by(&mut self, into: &ast::SelectInto) -> Result<ObjectName> {
        match into.targets.as_slice() {
            [ast::Expr::Identifier(name)] => object_name(self.parts(std::slice::from_ref(name))?),
            [ast::Expr::CompoundIdentifier(names)] => object_name(self.parts(names)?),
            _ => Err(NotUnderstood::Syntax),
        }
    }

    fn group_by(&mut self, group_by: &ast::GroupByExpr) -> Result<Vec<Expr>> {
        let ast::GroupByExpr::Expressions(keys, modifiers) = group_by else { return construct("GROUP BY ALL") };
        require(modifiers.is_empty())?;
        let mut flat = Vec::new();
        for key in keys {
            match key {
                ast::Expr::GroupingSets(sets) | ast::Expr::Cube(sets) | ast::Expr::Rollup(sets) => {
                    for member in sets.iter().flatten() {
                        // sqlparser takes sets in sets for calls
                        if let ast::Expr::Function(set) = member
                            && ["rollup", "cube"].iter().any(|word| set.name.to_string().eq_ignore_ascii_case(word))
                        {
                            return construct("grouping sets in grouping sets");
                        }
                        flat.push(self.expr(member)?);
                    }
                }
                ast::Expr::Tuple(members) => flat.extend(self.exprs(members)?),
                other => flat.push(self.expr(other)?),
            }
        }
        Ok(flat)
    }

    /// A select list or RETURNING.
    pub(super) fn items(&mut self, items: &[ast::SelectItem]) -> Result<Vec<SelectItem>> {
        items.iter().map(|item| self.item(item)).collect()
    }

    fn item(&mut self, item: &ast::SelectItem) -> Result<SelectItem> {
        match item {
            ast::SelectItem::UnnamedExpr(expr) => self.unnamed_item(expr),
            ast::SelectItem::ExprWithAlias { expr, alias } => {
                let value = self.expr(expr)?;
                if matches!(value, Expr::Star(_)) {
                    return Err(NotUnderstood::Syntax);
                }
                Ok(SelectItem::Expr(value, Some(self.name(alias)?)))
            }
            ast::SelectItem::ExprWithAliases { .. } => construct("an expression with several aliases"),
            ast::SelectItem::QualifiedWildcard(kind, options) => {
                plain_star(options)?;
                match kind {
                    ast::SelectItemQualifiedWildcardKind::ObjectName(name) => {
                        Ok(SelectItem::QualifiedStar(self.object_name(name)?))
                    }
                    ast::SelectItemQualifiedWildcardKind::Expr(expr) => self.field_star(expr),
                }
            }
            ast::SelectItem::Wildcard(options) => {
                plain_star(options)?;
                Ok(SelectItem::Star)
            }
        }
    }

    /// `(t.*)` is `t.*`: PostgreSQL's grammar drops the parentheses, and the star expands.
    fn unnamed_item(&mut self, expr: &ast::Expr) -> Result<SelectItem> {
        let mut inside = expr;
        while let ast::Expr::Nested(nested) = inside {
            inside = nested;
        }
        match inside {
            ast::Expr::QualifiedWildcard(name, _) => Ok(SelectItem::QualifiedStar(self.object_name(name)?)),
            ast::Expr::Wildcard(_) => Err(NotUnderstood::Syntax),
            _ => Ok(SelectItem::Expr(self.expr(expr)?, None)),
        }
    }

    /// `(expr).*`; without parentheses the parts are those of a relation's name.
    fn field_star(&mut self, expr: &ast::Expr) -> Result<SelectItem> {
        match expr {
            ast::Expr::Identifier(name) => {
                Ok(SelectItem::QualifiedStar(object_name(self.parts(std::slice::from_ref(name))?)?))
            }
            ast::Expr::CompoundIdentifier(names) => Ok(SelectItem::QualifiedStar(object_name(self.parts(names)?)?)),
            _ => Ok(SelectItem::FieldStar(self.expr(expr)?)),
        }
    }
}

/// A star without the options of other dialects.
pub(super) fn plain_star(options: &ast::WildcardAdditionalOptions) -> Result<()> {
    require(
        options.opt_ilike.is_none()
            && options.opt_exclude.is_none()
            && options.opt_except.is_none()
            && options.opt_replace.is_none()
            && options.opt_rename.is_none()
            && options.opt_alias.is_none(),
    )
}
