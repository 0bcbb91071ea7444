//! Function calls and windows.

use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, FunctionArgOperator};

use super::expr::special;
use super::query::plain_star;
use super::{Reader, Result, class, construct, require};
use crate::catalog::Name;
use crate::sql::NotUnderstood;
use crate::sql::lexer::KeywordClass;
use crate::sql::tree::{Call, Expr, ObjectName, Window};

/// Constructs that are written like functions and are key words: they can not be shadowed by a user's function.
const CONSTRUCTS: &[&str] = &[
    "coalesce",
    "greatest",
    "grouping",
    "json_array",
    "json_arrayagg",
    "json_object",
    "json_objectagg",
    "json_scalar",
    "json_serialize",
    "least",
    "merge_action",
    "normalize",
    "nullif",
    "xmlconcat",
    "xmlforest",
];

impl Reader {
    pub(super) fn call(&mut self, function: &ast::Function) -> Result<Expr> {
        require(
            !function.uses_odbc_syntax
                && matches!(function.parameters, ast::FunctionArguments::None)
                && function.null_treatment.is_none(),
        )?;
        let (name, built_in) = self.function_name(&function.name)?;
        let list = match &function.args {
            ast::FunctionArguments::None if built_in => return Ok(special(name.name.as_str(), Vec::new())),
            ast::FunctionArguments::None => return Err(NotUnderstood::Syntax),
            ast::FunctionArguments::Subquery(query) if built_in && name.name.as_str() == "array" => {
                return Ok(Expr::ArrayQuery(Box::new(self.query(query)?)));
            }
            ast::FunctionArguments::Subquery(_) => return construct("a query as an argument without parentheses"),
            ast::FunctionArguments::List(list) => list,
        };
        let (mut args, mut named) = (Vec::with_capacity(list.args.len()), Vec::new());
        for argument in &list.args {
            self.argument(argument, built_in, (&mut args, &mut named))?;
        }
        if built_in && name.name.as_str() == "normalize" {
            // the normal form is a key word
            args.truncate(1);
        }
        if built_in && name.name.as_str() == "row" {
            require(list.clauses.is_empty() && list.duplicate_treatment.is_none() && function.over.is_none())?;
            return Ok(Expr::Row(args));
        }
        let mut order_by = Vec::new();
        for clause in &list.clauses {
            let ast::FunctionArgumentClause::OrderBy(keys) = clause else {
                return construct("a clause among the arguments");
            };
            order_by.extend(self.sort_keys(keys)?);
        }
        Ok(Expr::Call(Box::new(Call {
            function: name,
            special: built_in,
            args,
            named,
            distinct: matches!(list.duplicate_treatment, Some(ast::DuplicateTreatment::Distinct)),
            order_by,
            within_group: self.sort_keys(&function.within_group)?,
            filter: function.filter.as_ref().map(|filter| self.expr(filter)).transpose()?.map(Box::new),
            over: function.over.as_ref().map(|over| self.over(over)).transpose()?,
            lenient: false,
        })))
    }

    /// The function's name, and whether it is a construct of the grammar.
    fn function_name(&mut self, name: &ast::ObjectName) -> Result<(ObjectName, bool)> {
        let [ast::ObjectNamePart::Identifier(only)] = name.0.as_slice() else {
            return Ok((self.object_name(name)?, false));
        };
        let built_in = match class(only) {
            None | Some(KeywordClass::Unreserved) => false,
            // left(), right() and the like are ordinary functions
            Some(KeywordClass::TypeFunctionName) => only.value == "current_schema",
            Some(KeywordClass::ColumnName) if CONSTRUCTS.contains(&only.value.as_str()) || only.value == "row" => true,
            Some(KeywordClass::ColumnName) => return construct("a construct of the grammar"),
            Some(KeywordClass::Reserved) => match only.value.as_str() {
                "array" | "current_catalog" | "current_date" | "current_role" | "current_time"
                | "current_timestamp" | "current_user" | "localtime" | "localtimestamp" | "session_user"
                | "system_user" | "user" => true,
                _ => return Err(NotUnderstood::Syntax),
            },
        };
        Ok((ObjectName::bare(self.name(only)?), built_in))
    }

    fn argument(
        &mut self,
        argument: &FunctionArg,
        built_in: bool,
        (args, named): (&mut Vec<Expr>, &mut Vec<(usize, Name)>),
    ) -> Result<()> {
        match argument {
            FunctionArg::Unnamed(value) => args.push(self.argument_value(value, built_in)?),
            FunctionArg::Named { name, arg, operator } => match operator {
                FunctionArgOperator::RightArrow | FunctionArgOperator::Assignment => {
                    named.push((args.len(), self.name(name)?));
                    args.push(self.argument_value(arg, built_in)?);
                }
                _ => return construct("an argument of another dialect"),
            },
            FunctionArg::ExprNamed { name, arg, operator } => match operator {
                FunctionArgOperator::RightArrow | FunctionArgOperator::Assignment => {
                    let ast::Expr::Identifier(name) = name else { return Err(NotUnderstood::Syntax) };
                    named.push((args.len(), self.name(name)?));
                    args.push(self.argument_value(arg, built_in)?);
                }
                // JSON_OBJECT(key: value): both are expressions
                FunctionArgOperator::Colon | FunctionArgOperator::Value if built_in => {
                    args.push(self.expr(name)?);
                    args.push(self.argument_value(arg, built_in)?);
                }
                _ => return construct("an argument of another dialect"),
            },
        }
        Ok(())
    }

    fn argument_value(&mut self, value: &FunctionArgExpr, built_in: bool) -> Result<Expr> {
        match value {
            // XMLFOREST(value AS name)
            FunctionArgExpr::Expr(ast::Expr::Named { expr, name }) if built_in => {
                self.name(name)?;
                self.expr(expr)
            }
            FunctionArgExpr::Expr(expr) => self.expr(expr),
            FunctionArgExpr::QualifiedWildcard(name) => Ok(Expr::Star(self.object_parts(name)?)),
            FunctionArgExpr::Wildcard => Ok(Expr::Star(Vec::new())),
            FunctionArgExpr::WildcardWithOptions(options) => {
                plain_star(options)?;
                Ok(Expr::Star(Vec::new()))
            }
        }
    }

    /// A function in a FROM list.
    pub(super) fn table_function(&mut self, name: &ast::ObjectName, arguments: &[FunctionArg]) -> Result<Expr> {
        let (name, built_in) = self.function_name(name)?;
        if built_in && name.name.as_str() == "row" {
            return Err(NotUnderstood::Syntax);
        }
        let (mut args, mut named) = (Vec::with_capacity(arguments.len()), Vec::new());
        for argument in arguments {
            self.argument(argument, built_in, (&mut args, &mut named))?;
        }
        let Expr::Call(mut call) = Expr::call(name, built_in, args) else { return Err(NotUnderstood::Syntax) };
        call.named = named;
        Ok(Expr::Call(call))
    }

    fn over(&mut self, over: &ast::WindowType) -> Result<Window> {
        match over {
            ast::WindowType::WindowSpec(window) => self.window(window),
            ast::WindowType::NamedWindow(name) => {
                let base: Option<Name> = Some(self.column_or_table(name)?);
                Ok(Window { base, partition_by: Vec::new(), order_by: Vec::new(), frame: Vec::new() })
            }
        }
    }

    pub(super) fn window(&mut self, window: &ast::WindowSpec) -> Result<Window> {
        let base = window.window_name.as_ref().map(|name| self.column_or_table(name)).transpose()?;
        let partition_by = self.exprs(&window.partition_by)?;
        let order_by = self.sort_keys(&window.order_by)?;
        let mut frame = Vec::new();
        if let Some(found) = &window.window_frame {
            for bound in [Some(&found.start_bound), found.end_bound.as_ref()].into_iter().flatten() {
                match bound {
                    ast::WindowFrameBound::Preceding(Some(offset)) | ast::WindowFrameBound::Following(Some(offset)) => {
                        frame.push(self.expr(offset)?);
                    }
                    ast::WindowFrameBound::Preceding(None)
                    | ast::WindowFrameBound::Following(None)
                    | ast::WindowFrameBound::CurrentRow => {}
                }
            }
        }
        Ok(Window { base, partition_by, order_by, frame })
    }
}
