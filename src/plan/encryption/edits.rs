//! How a statement is changed on its way to the server: envelopes in the place of literals, and places of their own for
//! parameters.

use std::ops::Range;
use std::sync::Arc;

use super::given::{Given, Place, Position};
use super::indexed::Indexed;
use super::slots;
use super::target::{Copy, Target, Value};
use super::{Means, Sealing};
use crate::catalog::Oid;
use crate::plan::Refusal;
use crate::plan::write_back::edited;
use crate::policy::Stored;
use crate::value::{PlainType, Scalar};
use crate::wire::Format;

/// The statement with envelopes in the place of literals, and with places of their own for parameters.
pub(super) fn sealed(
    own: &str,
    (given, targets): (&[Given], &[Option<Target>]),
    indexed: &[Indexed],
    (means, prepares): (&mut Means<'_>, bool),
) -> Result<Option<Sealing>, Refusal> {
    let mut edits = Edits::default();
    let mut slots = slots::Layout::of(given, targets);
    for (given, target) in given.iter().zip(targets) {
        let Some(target) = target.as_ref().filter(|target| !target.is_indexed()) else { continue };
        let copies = target.copies(means.ring)?;
        edits.value((given, target), &copies, &mut slots, (means, prepares))?;
    }
    for one in indexed {
        edits.comparison((own, one), (given, targets), &mut slots, (means, prepares))?;
    }
    if edits.texts.is_empty() {
        return Ok(None);
    }
    let (text, shape) = (edited(own, edits.texts), edited(own, edits.shapes));
    Ok(Some(Sealing { text, shape, slots: slots.finish(), prepares }))
}

/// What becomes of a text: where, and what is there then, with and without what literals are.
#[derive(Default)]
struct Edits {
    texts: Vec<(Range<usize>, String)>,
    shapes: Vec<(Range<usize>, String)>,
}

impl Edits {
    fn both(&mut self, span: Range<usize>, text: String) {
        self.shapes.push((span.clone(), text.clone()));
        self.texts.push((span, text));
    }

    /// A value in the forms that the server gets it in.
    fn value(
        &mut self,
        (given, target): (&Given, &Target),
        copies: &[Copy],
        slots: &mut slots::Layout,
        (means, prepares): (&mut Means<'_>, bool),
    ) -> Result<(), Refusal> {
        let of_text = given.untyped_element && target.encryption.plain.scalar == Scalar::Bpchar;
        let mut casts = given.casts(&target.column)?;
        if casts.types.is_empty() && of_text && !(target.stores || target.shows) {
            // `char = ANY (text[])` compares texts, with the blanks at their ends.
            casts.types.push(PlainType { scalar: Scalar::Text, modifier: -1 });
        }
        let as_bytes = target.bytes && !copies.iter().any(|copy| matches!(copy, Copy::Index(_)));
        for outer in &given.outer_casts {
            // What it casts by then is envelopes, or indexes.
            let stored = match (as_bytes, outer.is_list) {
                (true, true) => "bytea[]",
                (true, false) => "bytea",
                (false, true) => "text[]",
                (false, false) => "text",
            };
            let edit = (outer.span.clone(), stored.to_owned());
            if !self.texts.contains(&edit) {
                self.both(edit.0, edit.1);
            }
        }
        match &given.place {
            Place::Parameter(number) => {
                let numbers = copies.iter().map(|copy| slots.place(*number, target, &casts, *copy));
                let numbers: Vec<String> = numbers.map(|number| format!("${number}")).collect();
                self.both(given.span.clone(), given.alternatives(&numbers, target)?);
            }
            Place::Literal(None) => {}
            Place::Literal(Some(literal)) if !target.is_settled(means.later || prepares) => {
                if prepares || !means.later {
                    let hint = "Give the value as a parameter, or prepare the statement by the protocol.";
                    let what = "a constant for it, in a statement that is prepared before its tenant is known, is";
                    return Err(Refusal::encrypted(&target.column, what, hint));
                }
                // It is sealed when it is known whose it is.
                let numbers = copies.iter().map(|copy| slots.constant(literal, target, &casts, *copy));
                let numbers: Vec<String> = numbers.map(|number| format!("${number}")).collect();
                self.both(given.span.clone(), given.alternatives(&numbers, target)?);
            }
            Place::Literal(Some(value)) => {
                let tenant = target.tenant_of(&|_| None, means)?;
                let value = Value { given: Oid(0), format: Format::Text, bytes: value };
                let mut literals = Vec::with_capacity(copies.len());
                // A literal that is cast has that type where nothing around it says one.
                let typed = match (given.cast.is_some(), target.elements, as_bytes) {
                    (true, true, false) => "::text[]",
                    (true, true, true) => "::bytea[]",
                    (true, false, true) => "::bytea",
                    (true, false, false) | (false, _, _) => "",
                };
                for copy in copies {
                    let stored = target.stored(&value, &casts.types, (*copy, tenant.as_deref()), means)?;
                    literals.push(literal(&stored) + typed);
                }
                let shape = vec![format!("'{}'{typed}", target.encryption.domain); literals.len()];
                self.shapes.push((given.span.clone(), given.alternatives(&shape, target)?));
                self.texts.push((given.span.clone(), given.alternatives(&literals, target)?));
            }
        }
        Ok(())
    }

    /// A comparison that is one of the blind index; of rows that have none, since they are not converted yet, it is one of the
    /// column as before. What is NULL is so in both.
    fn comparison(
        &mut self,
        (own, one): (&str, &Indexed),
        (given, targets): (&[Given], &[Option<Target>]),
        slots: &mut slots::Layout,
        (means, prepares): (&mut Means<'_>, bool),
    ) -> Result<(), Refusal> {
        let (mut of_index, mut of_column) = (Self::default(), Self::default());
        of_index.both(one.column.clone(), one.index.clone());
        let mut is_mixed = false;
        for &number in &one.values {
            let (Some(given), Some(Some(target))) = (given.get(number), targets.get(number)) else { continue };
            of_index.value((given, target), &target.copies(means.ring)?, slots, (means, prepares))?;
            if target.encryption.stored == Stored::Mixed {
                is_mixed = true;
                of_column.value((given, target), &[Copy::Plain], slots, (means, prepares))?;
            }
        }
        let within = |edits: Vec<(Range<usize>, String)>| {
            let moved = edits.into_iter().map(|(span, text)| {
                let at = |place: usize| place.saturating_sub(one.whole.start);
                (at(span.start)..at(span.end), text)
            });
            edited(own.get(one.whole.clone()).unwrap_or_default(), moved.collect())
        };
        let index = &one.index;
        let joined = |of_index: String, of_column: String| match is_mixed {
            true => format!("({index} IS NOT NULL AND {of_index} OR {index} IS NULL AND {of_column})"),
            false => of_index,
        };
        let text = joined(within(of_index.texts), within(of_column.texts));
        self.shapes.push((one.whole.clone(), joined(within(of_index.shapes), within(of_column.shapes))));
        self.texts.push((one.whole.clone(), text));
        Ok(())
    }
}

/// A string constant. What is stored has no backslashes but those of `bytea`, which mean themselves.
pub(super) fn literal(stored: &[u8]) -> String {
    format!("'{}'", String::from_utf8_lossy(stored).replace('\'', "''"))
}

/// What a statement casts a value to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Casts {
    /// The types, one after the other.
    pub(super) types: Vec<PlainType>,
    /// Whether the first is the type of a parameter, which is cast itself.
    pub(super) own: bool,
}

impl Given {
    /// What the statement casts the value to.
    pub(super) fn casts(&self, column: &Arc<str>) -> Result<Casts, Refusal> {
        let mut types: Vec<PlainType> = Vec::new();
        for cast in self.cast.iter().chain(self.outer_casts.iter().map(|outer| &outer.written)) {
            let element = cast.strip_suffix("[]").unwrap_or(cast).trim_end();
            let known = PlainType::parse(element).map_err(|_| {
                Refusal::encrypted(
                    column,
                    "a value that is cast to a type of users is",
                    "Leave the cast out: pgveil knows the column's type.",
                )
            })?;
            if types.last() != Some(&known) {
                types.push(known);
            }
        }
        Ok(Casts { types, own: self.cast.is_some() })
    }

    /// Several forms of one value, in the place of the one that is compared.
    pub(super) fn alternatives(&self, forms: &[String], target: &Target) -> Result<String, Refusal> {
        match (forms, self.position) {
            ([only], _) => Ok(only.clone()),
            // The elements of both arrays.
            (several, _) if target.elements => Ok(format!("({})", several.join(" || "))),
            (several, Position::BehindEqual) => Ok(format!("ANY (ARRAY[{}])", several.join(", "))),
            (several, Position::BehindUnequal) => Ok(format!("ALL (ARRAY[{}])", several.join(", "))),
            (several, Position::Listed) => Ok(several.join(", ")),
            (_, Position::Elsewhere) => Err(Refusal::encrypted(
                &target.column,
                "while it is being converted, a comparison in this form is",
                "Write the column on the left side: `column = value`, `column IN (value, ...)`.",
            )),
        }
    }
}
