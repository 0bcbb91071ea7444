//! Functions and types that a caller makes or changes who does not see everything in clear.
//!
//! Statements of other sessions are on their way to the server, judged by what their names meant; triggers, checks and
//! functions of others call code by its name, and hand it values that this caller is not shown. So no name may come to
//! mean more at the hand of such a caller. (What a session has made itself it knows, see [`crate::plan::Own`].)

use super::Bench;
use crate::catalog::{Conduct, Function, Name, TypeKind};
use crate::plan::Refusal;
use crate::sql::lexer::{Lexer, Mark, TokenKind};
use crate::sql::statement::{Change, Code, Detail, Reading, Statement, StatementKind};

impl Bench<'_> {
    /// Refuse what would give a name another meaning for others. `text`: the statement's own.
    pub(super) fn takes_no_code(&self, statement: &Statement, text: &str) -> Result<(), Refusal> {
        for (place, code) in statement.code.iter().enumerate() {
            match code {
                Code::Routine(name) => {
                    // What is altered does what it did; to what takes no arguments nothing can be handed.
                    let stays =
                        place == 0 && (statement.kind == StatementKind::AlterRoutine || takes_nothing(statement, text));
                    self.takes_no_function(name, stays, statement, text)?;
                }
                Code::Type(name) => self.takes_no_type(name)?,
                Code::Schema => self.moves_no_code(statement)?,
                // Operators are refused anyway; what was prepared was judged then.
                Code::Operator | Code::Anything => {}
            }
        }
        self.takes_no_table(statement)?;
        self.runs_no_maker(statement)
    }

    /// Code of others that stores protected values in a table must not come to store them in one of the caller's.
    fn takes_no_table(&self, statement: &Statement) -> Result<(), Refusal> {
        let names: Vec<&Name> = match &statement.detail {
            Detail::Makes(definition) => definition.name.iter().map(|object| &object.name).collect(),
            Detail::Alters(alteration) => {
                let moved = alteration.relation.as_ref().map(|object| &object.name);
                let named = alteration.changes.iter().filter_map(|change| match change {
                    Change::Rename(name) => Some(name),
                    Change::SetSchema(_) => moved,
                    Change::Plain
                    | Change::Tighten(_)
                    | Change::AddColumn(_)
                    | Change::AddComputed(_)
                    | Change::RenameColumn(..)
                    | Change::Inherit(_)
                    | Change::Attach(_)
                    | Change::Other => None,
                });
                named.collect()
            }
            Detail::None
            | Detail::Cursor(_)
            | Detail::Prepared(_)
            | Detail::Savepoint(_)
            | Detail::Setting(..)
            | Detail::Copy(_)
            | Detail::Explain { .. }
            | Detail::Object(_) => Vec::new(),
        };
        let filled = names.into_iter().find(|name| self.snapshot.inventory.is_filled(name));
        let why = "code of others that handles protected values stores rows in what goes by this name";
        filled.map_or(Ok(()), |name| Err(Refusal::code(name, why)))
    }

    fn takes_no_function(&self, name: &Name, stays: bool, statement: &Statement, text: &str) -> Result<(), Refusal> {
        self.is_free(name)?;
        if self.snapshot.inventory.is_handed(name) && !self.is_same(name, statement, text) {
            return Err(Refusal::code(name, "other code hands protected values to what goes by this name"));
        }
        let computes = matches!(self.own.doubt().routine(None, name), Some(Conduct::Computes | Conduct::Chooses));
        let acts = !(stays || computes);
        if acts && self.snapshot.inventory.computes(name) {
            let why = "it might keep or pass on what statements hand to the function of this name, which only computes";
            return Err(Refusal::code(name, why));
        }
        Ok(())
    }

    fn takes_no_type(&self, name: &Name) -> Result<(), Refusal> {
        self.is_free(name)?;
        if self.snapshot.inventory.is_handed(name) || self.snapshot.inventory.computes(name) {
            return Err(Refusal::code(name, "protected values are handed to what goes by this name"));
        }
        Ok(())
    }

    /// Whether a name is none of PostgreSQL's own, nor of an extension's.
    fn is_free(&self, name: &Name) -> Result<(), Refusal> {
        let catalog = &self.snapshot.catalog;
        let mut functions = catalog.functions_named(None, name);
        let mut types = catalog.types_named(None, name);
        let taken = functions.any(|function| function.schema.as_str() == "pg_catalog" || function.extension.is_some())
            // Nobody but superusers makes base types.
            || types.any(|known| known.schema.as_str() == "pg_catalog" || known.kind == TypeKind::Base);
        if taken {
            return Err(Refusal::code(name, "the name is one of PostgreSQL's own or of an extension's"));
        }
        Ok(())
    }

    /// Whether a statement makes a function again as it is: migrations do, time and again.
    fn is_same(&self, name: &Name, statement: &Statement, text: &str) -> bool {
        if statement.kind != StatementKind::CreateFunction {
            return false;
        }
        let mut bodies = 0_usize;
        let known = |body: &str| {
            let mut functions = self.snapshot.catalog.functions_named(None, name).peekable();
            let same = |function: &Function| function.body.as_deref() == Some(body);
            functions.peek().is_some() && functions.all(same)
        };
        for token in Lexer::new(text) {
            let Ok(token) = token else { return false };
            if token.is_any(&["set", "security", "default"]) {
                return false;
            }
            if let TokenKind::Text(literal) = token.kind {
                bodies = bodies.saturating_add(1);
                if !literal.value().is_ok_and(|body| known(&body)) {
                    return false;
                }
            }
        }
        bodies == 1
    }

    /// A schema under another name takes what is in it along.
    fn moves_no_code(&self, statement: &Statement) -> Result<(), Refusal> {
        let inventory = &self.snapshot.inventory;
        let mut functions = self.snapshot.catalog.functions();
        let handed = functions
            .find(|function| statement.words.contains(&function.schema) && inventory.is_handed(&function.name));
        match handed {
            Some(function) => {
                Err(Refusal::code(&function.name, "other code hands protected values to what goes by this name"))
            }
            None => Ok(()),
        }
    }

    /// What runs makes code: which, nothing here would say.
    fn runs_no_maker(&self, statement: &Statement) -> Result<(), Refusal> {
        let inventory = &self.snapshot.inventory;
        let by_words = || statement.words.iter().find(|word| inventory.makes_code(word));
        let maker = match (statement.kind, &statement.reading) {
            (StatementKind::Call | StatementKind::Do, _) | (_, Reading::NotUnderstood(_)) => by_words(),
            (_, Reading::Understood(lineage)) => {
                let called = lineage.functions.iter().filter_map(|&oid| self.snapshot.catalog.function(oid));
                called.map(|function| &function.name).find(|name| inventory.makes_code(name))
            }
            (_, Reading::NoQuery) => None,
        };
        maker.map_or(Ok(()), |name| Err(Refusal::maker(name)))
    }
}

/// Whether a statement makes a function without arguments.
fn takes_nothing(statement: &Statement, text: &str) -> bool {
    let mut tokens = Lexer::new(text).map_while(Result::ok).skip_while(|token| !token.is_mark(Mark::LeftParen));
    statement.kind == StatementKind::CreateFunction
        && tokens.next().is_some()
        && tokens.next().is_some_and(|token| token.is_mark(Mark::RightParen))
}
