//! Functions of users that store into encrypted columns: what becomes of what they are given.

use std::collections::BTreeMap;

use super::Holds;
use super::target::Target;
use super::targets;
use super::uses::{self, Values, copied};
use crate::catalog::Oid;
use crate::plan::storing::{Body, StoringFunction};
use crate::plan::{Refusal, Snapshot};
use crate::policy::TaggedColumnId;
use crate::sql::lineage::{Flow, Lineage};
use crate::sql::statement::{Reading, Statement};

const HINT_CALL: &str = "pgveil encrypts arguments that a function in SQL stores or compares as they are. Let the function take them as `text`, store \
                         nothing else in encrypted columns, and give it all of them; or send its statements yourself.";
const HINT_TRIGGER: &str = "What the database computes can not be encrypted. Leave the encrypted columns to the application, and drop the trigger or \
                            change its function.";

/// A value that is given to a function.
pub(super) struct Argument<'l> {
    /// The parameters that are in it.
    pub parameters: &'l BTreeMap<u32, Flow>,
    /// What it is encrypted for; `None`: it is not.
    pub target: Option<Target>,
}

/// Whether the functions that a statement calls can store what they do, and what becomes of their arguments.
///
/// # Errors
/// They would store or compare what is not encrypted.
pub(super) fn arguments<'l>(lineage: &'l Lineage, snapshot: &Snapshot) -> Result<Vec<Argument<'l>>, Refusal> {
    let mut found = Vec::new();
    for call in &lineage.calls {
        let function = snapshot.inventory.uses_encrypted(call.function);
        let ends = function.and_then(|function| function.body.as_ref()).and_then(|body| body.ends(snapshot));
        let handed = call.arguments.as_deref();
        let (function, ends) = match (function, ends) {
            (Some(function), Some(ends)) => (function, ends),
            (Some(function), None) if function.stores => return Err(refused(function, snapshot)),
            // What it returns may be computed with encrypted values; what it is given is its own.
            (Some(_) | None, _) => {
                let given = handed.into_iter().flatten().flatten();
                found.extend(given.map(|argument| Argument { parameters: &argument.taint.parameters, target: None }));
                continue;
            }
        };
        let refused = || refused(function, snapshot);
        let arguments = handed.ok_or_else(refused)?;
        for (argument, target) in arguments.iter().zip(ends) {
            match (argument, target) {
                (None, None) => {}
                // Its default is not encrypted.
                (None, Some(_)) => return Err(refused()),
                (Some(argument), target) => {
                    if let Some(target) = &target {
                        if !argument.as_given {
                            return Err(refused());
                        }
                        copied(&argument.taint, &target.encryption, &target.column, snapshot)?;
                    }
                    found.push(Argument { parameters: &argument.taint.parameters, target });
                }
            }
        }
    }
    Ok(found)
}

/// Whether a statement calls functions that store into encrypted columns or look for values in them: one of these.
///
/// # Errors
/// It is not known what they store.
pub(super) fn called(lineage: &Lineage, snapshot: &Snapshot) -> Result<Option<TaggedColumnId>, Refusal> {
    let mut found = None;
    for call in &lineage.calls {
        let Some(function) = snapshot.inventory.uses_encrypted(call.function) else { continue };
        let followed = function.body.as_ref().is_some_and(|body| body.ends(snapshot).is_some());
        match (followed, &call.arguments) {
            (true, Some(_)) => found = Some(function.column),
            (false, _) if !function.stores => {}
            (true, None) | (false, _) => return Err(refused(function, snapshot)),
        }
    }
    Ok(found)
}

/// Whether rows of a relation can be written, whatever its triggers, rules, defaults and constraints do.
///
/// # Errors
/// They may store into encrypted columns.
pub(super) fn triggered(relation: Oid, snapshot: &Snapshot) -> Result<(), Refusal> {
    let Some(function) = snapshot.inventory.trigger_stores(relation) else { return Ok(()) };
    let what = format!("writing to a table by which {} may store what is not encrypted is", function.name);
    Err(Refusal::encrypted(&snapshot.column_name(function.column), &what, HINT_TRIGGER))
}

fn refused(function: &StoringFunction, snapshot: &Snapshot) -> Refusal {
    let what = format!("calling function {}, which may store what is not encrypted, is", function.name);
    Refusal::encrypted(&snapshot.column_name(function.column), &what, HINT_CALL)
}

/// Whether what a function returns has nothing to do with encrypted values, and it finds what it looks for.
pub(super) fn returns_plain(function: Oid, snapshot: &Snapshot) -> bool {
    let body = snapshot.inventory.uses_encrypted(function).and_then(|function| function.body.as_ref());
    let plain = |statement: &Statement| match &statement.reading {
        Reading::Understood(lineage) => lineage.outputs.iter().all(|output| {
            let taint = output.origin.taint();
            let mut sources = taint.sources.iter().filter(|(_, flow)| **flow != Flow::Counted);
            taint.unknown.is_none() && sources.all(|(&source, _)| matches!(snapshot.holds(source), Holds::Plain))
        }),
        Reading::NoQuery | Reading::NotUnderstood(_) => false,
    };
    body.is_some_and(|body| body.ends(snapshot).is_some() && body.statements.last().is_none_or(plain))
}

impl Body {
    /// What each argument is encrypted for. `None`: what is stored or compared is not only arguments as they are.
    fn ends(&self, snapshot: &Snapshot) -> Option<Vec<Option<Target>>> {
        let mut ends: Vec<Vec<Option<Target>>> = vec![Vec::new(); self.inputs.len()];
        for statement in &self.statements {
            let Reading::Understood(lineage) = &statement.reading else { return None };
            if lineage.functions.iter().any(|&called| snapshot.inventory.uses_encrypted(called).is_some()) {
                return None;
            }
            let uses = uses::check(statement, lineage, snapshot, false, Values::Numbered).ok()?;
            uses.are_exact(lineage, snapshot).ok()?;
            let targets = targets(lineage, self.places.len(), snapshot).ok()?;
            for (place, target) in self.places.iter().zip(targets) {
                match place.argument {
                    Some(argument) if statement.span.contains(&place.at) => ends.get_mut(argument)?.push(target),
                    // The server would store or look for it as it is.
                    None if target.is_some() => return None,
                    Some(_) | None => {}
                }
            }
        }
        let ends = ends.into_iter().zip(&self.inputs).map(|(places, input)| one_target(places, *input));
        ends.collect()
    }
}

/// What an argument is encrypted for that stands in these places; `None`: that is not one thing, or it is of another type.
fn one_target(places: Vec<Option<Target>>, input: Oid) -> Option<Option<Target>> {
    const TEXT: Oid = Oid(25);
    const VARCHAR: Oid = Oid(1043);
    const BYTEA: Oid = Oid(17);
    let mut places = places.into_iter();
    let Some(Some(mut target)) = places.next() else { return places.all(|target| target.is_none()).then_some(None) };
    for other in places {
        let other = other?;
        let same = (&target.encryption, target.bytes) == (&other.encryption, other.bytes);
        if !same || target.is_indexed() != other.is_indexed() {
            return None;
        }
        // There is one argument for all of it.
        target.one_form |= other.one_form || !(target.stores && other.stores);
        target.stores |= other.stores;
    }
    target.one_form |= !target.stores;
    let fits = if target.bytes { input == BYTEA } else { input == TEXT || input == VARCHAR };
    // Whose a value is would have to be known in the function.
    let plain = !target.elements && !target.shows && !target.is_indexed() && target.tenant.is_none();
    (fits && plain).then_some(Some(target))
}
