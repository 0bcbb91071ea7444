//! FROM lists, joins, aliases.

use sqlparser::ast;

use super::{Reader, Result, construct, require};
use crate::catalog::Name;
use crate::sql::NotUnderstood;
use crate::sql::tree::{Alias, Expr, FromItem, JoinCondition, JoinKind};

impl Reader {
    pub(super) fn relations(&mut self, list: &[ast::TableWithJoins]) -> Result<Vec<FromItem>> {
        list.iter().map(|item| self.joined(item)).collect()
    }

    pub(super) fn joined(&mut self, item: &ast::TableWithJoins) -> Result<FromItem> {
        let mut left = self.factor(&item.relation)?;
        for join in &item.joins {
            require(!join.global)?;
            let (kind, condition) = self.join_operator(&join.join_operator)?;
            let right = Box::new(self.factor(&join.relation)?);
            left = FromItem::Join { kind, left: Box::new(left), right, condition, alias: None };
        }
        Ok(left)
    }

    fn join_operator(&mut self, operator: &ast::JoinOperator) -> Result<(JoinKind, JoinCondition)> {
        let (kind, constraint) = match operator {
            ast::JoinOperator::Join(constraint) | ast::JoinOperator::Inner(constraint) => (JoinKind::Inner, constraint),
            ast::JoinOperator::Left(constraint) | ast::JoinOperator::LeftOuter(constraint) => {
                (JoinKind::Left, constraint)
            }
            ast::JoinOperator::Right(constraint) | ast::JoinOperator::RightOuter(constraint) => {
                (JoinKind::Right, constraint)
            }
            ast::JoinOperator::FullOuter(constraint) => (JoinKind::Full, constraint),
            ast::JoinOperator::CrossJoin(ast::JoinConstraint::None) => {
                return Ok((JoinKind::Cross, JoinCondition::None));
            }
            _ => return construct("a join of another dialect"),
        };
        let condition = match constraint {
            ast::JoinConstraint::On(condition) => JoinCondition::On(self.expr(condition)?),
            ast::JoinConstraint::Using(columns) => JoinCondition::Using(
                columns
                    .iter()
                    .map(|column| match self.object_parts(column)?.as_slice() {
                        [name] => Ok(name.clone()),
                        _ => Err(NotUnderstood::Syntax),
                    })
                    .collect::<Result<_>>()?,
                None,
            ),
            ast::JoinConstraint::Natural => JoinCondition::Natural,
            ast::JoinConstraint::None => return Err(NotUnderstood::Syntax),
        };
        Ok((kind, condition))
    }

    pub(super) fn factor(&mut self, factor: &ast::TableFactor) -> Result<FromItem> {
        match factor {
            ast::TableFactor::Table { .. } => self.table(factor),
            ast::TableFactor::Derived { lateral, subquery, alias, sample } => {
                require(sample.is_none())?;
                Ok(FromItem::Subquery {
                    lateral: *lateral,
                    query: Box::new(self.query(subquery)?),
                    alias: self.alias_of(alias.as_ref())?,
                })
            }
            ast::TableFactor::Function { lateral: _, name, args, with_ordinality, alias } => {
                let call = self.table_function(name, args)?;
                self.function_item(call, *with_ordinality, alias.as_ref())
            }
            ast::TableFactor::NestedJoin { table_with_joins, alias } => {
                let named = self.alias_of(alias.as_ref())?;
                match (self.joined(table_with_joins)?, named) {
                    (item, None) => Ok(item),
                    (FromItem::Join { kind, left, right, condition, alias: None }, named) => {
                        Ok(FromItem::Join { kind, left, right, condition, alias: named })
                    }
                    (_, Some(_)) => Err(NotUnderstood::Syntax),
                }
            }
            ast::TableFactor::XmlTable { .. } => construct("XMLTABLE"),
            ast::TableFactor::JsonTable { .. } => construct("JSON_TABLE"),
            _ => construct("a FROM item of another dialect"),
        }
    }

    fn table(&mut self, factor: &ast::TableFactor) -> Result<FromItem> {
        let ast::TableFactor::Table {
            name,
            alias,
            args,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } = factor
        else {
            return Err(NotUnderstood::Syntax);
        };
        require(
            with_hints.is_empty()
                && version.is_none()
                && partitions.is_empty()
                && json_path.is_none()
                && index_hints.is_empty(),
        )?;
        if let Some(args) = args {
            require(args.settings.is_none() && sample.is_none())?;
            let call = self.table_function(name, &args.args)?;
            return self.function_item(call, *with_ordinality, alias.as_ref());
        }
        require(!with_ordinality)?;
        Ok(FromItem::Relation {
            only: self.is_only(name),
            name: self.object_name(name)?,
            alias: self.alias_of(alias.as_ref())?,
            sample: sample.as_ref().map_or(Ok(Vec::new()), |sample| self.sample(sample))?,
        })
    }

    fn sample(&mut self, sample: &ast::TableSampleKind) -> Result<Vec<Expr>> {
        let (ast::TableSampleKind::BeforeTableAlias(sample) | ast::TableSampleKind::AfterTableAlias(sample)) = sample;
        require(sample.bucket.is_none() && sample.offset.is_none())?;
        let mut exprs = Vec::new();
        if let Some(quantity) = &sample.quantity {
            // the method and its arguments arrive as a call
            match self.expr(&quantity.value)? {
                Expr::Call(call) if sample.name.is_none() => exprs.extend(call.args),
                value => exprs.push(value),
            }
        }
        if let Some(seed) = &sample.seed {
            exprs.push(super::expr::constant(&seed.value.value)?);
        }
        Ok(exprs)
    }

    fn function_item(&mut self, call: Expr, ordinality: bool, alias: Option<&ast::TableAlias>) -> Result<FromItem> {
        // `AS (a int)` and `AS t (a int)` define the columns of a record; `AS t (a)` renames
        let defined = alias.is_some_and(|alias| alias.columns.iter().any(|column| column.data_type.is_some()));
        if !defined {
            let alias = self.alias_of(alias)?;
            return Ok(FromItem::Functions { calls: vec![(call, Vec::new())], ordinality, alias });
        }
        let Some(alias) = alias else { return Err(NotUnderstood::Syntax) };
        let mut columns = Vec::with_capacity(alias.columns.len());
        for column in &alias.columns {
            let Some(data_type) = &column.data_type else { return Err(NotUnderstood::Syntax) };
            self.type_name(data_type)?;
            columns.push(self.column_or_table(&column.name)?);
        }
        let name = self.column_or_table(&alias.name)?;
        let alias = Some(Alias { name, columns: Vec::new() });
        Ok(FromItem::Functions { calls: vec![(call, columns)], ordinality, alias })
    }

    pub(super) fn alias_of(&mut self, alias: Option<&ast::TableAlias>) -> Result<Option<Alias>> {
        alias.map(|alias| self.alias(alias)).transpose()
    }

    pub(super) fn alias(&mut self, alias: &ast::TableAlias) -> Result<Alias> {
        require(alias.at.is_none())?;
        let name = self.column_or_table(&alias.name)?;
        let columns = alias
            .columns
            .iter()
            .map(|column| {
                require(column.data_type.is_none())?;
                self.column_or_table(&column.name)
            })
            .collect::<Result<Vec<Name>>>()?;
        Ok(Alias { name, columns })
    }
}
