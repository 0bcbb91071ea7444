//! Encrypted columns: values on their way into them, what is compared with them, and what is asked of them that can not be.
//!
//! A statement that gives values to encrypted columns, or compares them with values, goes to the server in another form: each
//! such literal is an envelope there, and each such parameter has a place of its own ([`Sealing`]), which the values of Bind
//! are put into ([`Slots::bound`]). Which literal and which parameter that is, lineage tells: a probe is analysed in which each
//! of them is a parameter of its own. What an encrypted column can not do (sorting, patterns, functions) is refused to
//! everyone: the server would do it with the ciphertext, and nobody would notice.

mod cells;
mod copied;
mod executed;
mod given;
mod indexed;
mod introspection;
mod slots;
mod tenants;
mod uses;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::write_back::{Analyses, alone, edited};
use super::{KeyOfColumn, Own, Refusal, Snapshot};
use crate::catalog::Oid;
use crate::crypto::{Bound, DataKey, KeyError, KeyRing, Mode, Nonce, NonceSource, text_form};
use crate::policy::{Encryption, Stored};
use crate::sql::lineage::{Counterpart, Flow, Lineage, Source};
use crate::sql::statement::{Detail, Reading, Statement, StatementKind};
use crate::value::{
    PlainType, Plaintext, Scalar, TextForms, ValueError, read, read_array, read_cast, read_operand, write, write_array,
};
use crate::wire::Format;
pub use cells::Unopened;
pub(super) use cells::{OpenedColumn, Opening, PlannedCell, SealedCell};
pub(super) use copied::{CopiedSeals, RowOfTenants, fills_encrypted};
use given::{Given, Place, Position};
use indexed::{Indexed, indexed};
pub use introspection::introspection;
pub use slots::{BoundValue, Slots};
pub use tenants::{RowTenants, TenantSettings};
use tenants::{Tenancy, TenantSource};
pub(super) use uses::Holds;
use uses::{Values, check, target_of};

/// What runs in the place of a statement.
#[derive(Debug)]
pub struct Sealing {
    /// Its text, with envelopes in the place of literals.
    pub text: String,
    /// The same without what the envelopes are: it is the same each time.
    pub shape: String,
    /// What becomes of the values of Bind; `None`: they go on as they are.
    pub slots: Option<Arc<Slots>>,
}

/// What becomes of a statement.
#[derive(Debug, Default)]
pub struct Sealed {
    /// What runs in its place; `None`: it runs as it is.
    pub sealing: Option<Sealing>,
    /// Whose the values are that it shows; `None`: they are bound to nobody.
    pub tenants: Option<RowTenants>,
}

/// What a value is encrypted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How the column is kept.
    pub encryption: Arc<Encryption>,
    /// `schema.table.column`, for messages.
    pub column: Arc<str>,
    /// Whether the server has the column as `bytea`, not as text.
    bytes: bool,
    /// Whether the value is an array of which each element is compared.
    elements: bool,
    /// Whether it is stored, not compared.
    stores: bool,
    /// Whether it is shown in the place of the column's values, not compared: the server has it as the text of the plaintext.
    shows: bool,
    /// The relation that the column is one of.
    relation: Oid,
    /// Whose it is; `None`: it is bound to nobody.
    tenant: Option<TenantSource>,
}

/// What values are made with.
pub struct Means<'a> {
    /// The keys.
    pub ring: &'a KeyRing,
    /// Settings that the text of values is read by.
    pub forms: &'a TextForms,
    /// Fresh random numbers.
    pub nonces: &'a mut NonceSource,
    /// The settings that values are bound to.
    pub settings: &'a TenantSettings,
    /// The setting that would have to be known, and is not: what was made is of no use.
    pub missing: Option<Arc<str>>,
    /// Whether a setting counts at all.
    pub used: bool,
    /// The keys that were used, each with the column.
    pub keys: Vec<KeyOfColumn>,
    /// Whether what is sealed is to run later, as often as the client likes.
    pub later: bool,
}

/// What has to run in the place of one statement of a message; `Ok(None)`: an analysis has to be made first. `own`: the
/// statement's own text; `session`: what its session has made.
///
/// # Errors
/// The statement may not run: it would store plaintext, or ask what can not be asked of encrypted values.
pub fn sealing(
    own: &str,
    statement: &Statement,
    (snapshot, session): (&Snapshot, &Own),
    means: &mut Means<'_>,
    analyses: &mut Analyses<'_>,
) -> Result<Option<Sealed>, Refusal> {
    if !snapshot.policy.encrypts() {
        return Ok(Some(Sealed::default()));
    }
    if let Detail::Copy(copy) = &statement.detail
        && copy.inward
    {
        // The rows that a client sends are encrypted as they come.
        let column = uses::named(statement, snapshot).filter(|_| copy.server_side);
        if column.is_none() && !copy.server_side {
            copied::settings(copy, snapshot, means);
        }
        return column.map_or(Ok(Some(Sealed::default())), |column| {
            Err(Refusal::encrypted(&column, "COPY from a file of the server is", HINT_READ))
        });
    }
    let lineage = match &statement.reading {
        Reading::Understood(lineage) => lineage,
        Reading::NotUnderstood(_) => {
            return match uses::named(statement, snapshot) {
                Some(column) => Err(Refusal::encrypted(&column, "a statement that pgveil can not read is", HINT_READ)),
                None => Ok(Some(Sealed::default())),
            };
        }
        Reading::NoQuery => {
            let what = match (statement.kind, &statement.detail) {
                (StatementKind::Do | StatementKind::Call, _) => "code that pgveil does not read is",
                _ => return Ok(Some(Sealed::default())),
            };
            return match uses::named(statement, snapshot) {
                Some(column) => Err(Refusal::encrypted(&column, what, HINT_READ)),
                None => Ok(Some(Sealed::default())),
            };
        }
    };
    uses::made_by_session(lineage, session, snapshot)?;
    let explained = matches!(statement.detail, Detail::Explain { .. });
    let given = given::given(own);
    let values = if given.is_empty() { Values::Numbered } else { Values::Written };
    let uses = check(statement, lineage, snapshot, explained, values)?;
    if matches!(statement.kind, StatementKind::CreateTableAs) {
        uses::made(lineage, snapshot)?;
    }
    if !uses.takes_values {
        uses.are_exact(lineage, snapshot)?;
    } else if matches!(statement.detail, Detail::Copy(_)) && means.later {
        // What it will send is asked when it runs, of a text that is not kept.
        return Err(uses.in_copy());
    }
    let prepares = statement.kind == StatementKind::Prepare;
    let tenancy = Tenancy::of(lineage, &[], snapshot);
    if !uses.takes_values {
        if !tenancy.concerns() {
            return Ok(Some(Sealed::default()));
        }
        ask_for(&tenancy, means);
        if lineage.rows.is_empty() && (explained || tenancy.is_beside()) {
            let tenants = if explained { None } else { tenancy.of_rows(prepares)? };
            return Ok(Some(Sealed { sealing: None, tenants }));
        }
    }
    let probed;
    let probed: &Lineage = if given.is_empty() {
        lineage
    } else {
        let probe = edited(own, numbered(&given));
        let Some(analysis) = analyses(&probe) else { return Ok(None) };
        probed = analysis;
        match alone(&probed).filter(|probed| uses::is_same(lineage, probed)) {
            Some(probed) => probed,
            None => return Err(uses.unfollowed()),
        }
    };
    let tenancy = Tenancy::of(probed, &given, snapshot);
    if !uses.takes_values {
        tenancy.of_values(&mut [])?;
        let tenants = if explained { None } else { tenancy.of_rows(prepares)? };
        return Ok(Some(Sealed { sealing: None, tenants }));
    }
    ask_for(&tenancy, means);
    let uses = check(statement, probed, snapshot, explained, Values::Numbered)?;
    uses.are_exact(probed, snapshot)?;
    let mut targets = targets(probed, given.len(), snapshot)?;
    tenancy.of_values(&mut targets)?;
    let tenants = if explained { None } else { tenancy.of_rows(prepares)? };
    let Some(indexed) = indexed(own, &given, &targets, (probed, snapshot), analyses)? else { return Ok(None) };
    let mut found = sealed(own, (&given, &targets), &indexed, (means, prepares))?;
    if statement.kind == StatementKind::Prepare
        && let Some(Sealing { text, shape, slots: Some(slots) }) = &mut found
    {
        for text in [text, shape] {
            if let Some((span, types)) = executed::types(text, slots) {
                text.replace_range(span, &types);
            }
        }
    }
    Ok(Some(Sealed { sealing: found, tenants }))
}

/// The settings have to be known that values are bound to which a statement shows.
fn ask_for(tenancy: &Tenancy<'_>, means: &mut Means<'_>) {
    let settings = tenancy.settings();
    means.used |= !settings.is_empty();
    if !means.later {
        means.missing = settings.into_iter().find(|setting| means.settings.known(setting).is_none());
    }
}

const HINT_READ: &str = "Write the statement in another way, or leave the encrypted column out.";

/// A parameter of its own in the place of each value, numbered from 1.
fn numbered(given: &[Given]) -> Vec<(Range<usize>, String)> {
    given.iter().zip(1_u32..).map(|(given, number)| (given.span.clone(), format!("${number}"))).collect()
}

/// What each of the given values is encrypted for.
fn targets(probed: &Lineage, count: usize, snapshot: &Snapshot) -> Result<Vec<Option<Target>>, Refusal> {
    // By the number of the value: what it is for, and whether it is for something else as well.
    let mut found: BTreeMap<u32, (Option<Target>, bool)> = BTreeMap::new();
    let mut conflict: Option<Arc<str>> = None;
    let mut note = |number: u32, target: Option<Target>| {
        let entry = found.entry(number).or_default();
        match (target, &mut entry.0) {
            (None, _) => entry.1 = true,
            (Some(target), slot @ None) => *slot = Some(target),
            (Some(target), Some(known)) => {
                // What is looked for by its index is another thing than what is stored.
                let alike = target.encryption.mode != Mode::Indexed
                    || (known.stores, known.shows) == (target.stores, target.shows);
                let same = known.encryption == target.encryption
                    && (known.bytes, known.elements) == (target.bytes, target.elements)
                    && alike;
                if !same {
                    conflict = Some(Arc::clone(&target.column));
                }
                // One that is stored is encrypted for the column that it is stored in, and found there as such.
                known.stores |= target.stores;
            }
        }
    };
    for write in &probed.writes {
        let column = write.relation.zip(write.attnum);
        let target =
            column.and_then(|(relation, attnum)| target_of(relation, attnum, (write.elements, true), snapshot));
        for &number in write.taint.parameters.keys() {
            note(number, target.clone());
        }
    }
    for output in probed.outputs.iter().filter(|output| output.unaltered) {
        let taint = output.origin.taint();
        let Some(target) = uses::beside(&taint, snapshot) else { continue };
        for (&number, _) in taint.parameters.iter().filter(|(_, flow)| **flow == Flow::Direct) {
            note(number, Some(target.clone()));
        }
    }
    for comparison in &probed.comparisons {
        let (number, elements) = match comparison.with {
            Counterpart::Parameter(number) => (number, false),
            Counterpart::Elements(number) => (number, true),
            Counterpart::Column(_) => continue,
        };
        let target = match comparison.source {
            Source::Column { relation, attnum } => target_of(relation, attnum, (elements, false), snapshot),
            Source::Function(_) | Source::Field { .. } => None,
        };
        note(number, target);
    }
    let mixed = found.values().find_map(|(target, plain)| target.as_ref().filter(|_| *plain));
    if let Some(column) = conflict.or_else(|| mixed.map(|target| Arc::clone(&target.column))) {
        return Err(Refusal::encrypted(
            &column,
            "one value for this column and for one that is not encrypted like it is",
            "Give the value twice, once for each column; say the schema of a table whose name there is in several.",
        ));
    }
    let target = |at: usize| {
        found.remove(&u32::try_from(at.saturating_add(1)).unwrap_or(u32::MAX)).and_then(|(target, _)| target)
    };
    let mut target = target;
    Ok((0..count).map(&mut target).collect())
}

/// The statement with envelopes in the place of literals, and with places of their own for parameters.
fn sealed(
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
    Ok(Some(Sealing { text, shape, slots: slots.finish() }))
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
        let cast = match given.cast_type(&target.column)? {
            // `char = ANY (text[])` compares texts, with the blanks at their ends.
            None if of_text && !(target.stores || target.shows) => {
                Some(PlainType { scalar: Scalar::Text, modifier: -1 })
            }
            cast => cast,
        };
        let as_bytes = target.bytes && !copies.iter().any(|copy| matches!(copy, Copy::Index(_)));
        if let Some((list_type, _)) = &given.list_cast {
            // What is in the list by then is envelopes, or indexes.
            let edit = (list_type.clone(), (if as_bytes { "bytea[]" } else { "text[]" }).to_owned());
            if !self.texts.contains(&edit) {
                self.both(edit.0, edit.1);
            }
        }
        match &given.place {
            Place::Parameter(number) => {
                let numbers = copies.iter().map(|copy| slots.place(*number, target, cast.as_ref(), *copy));
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
                let numbers = copies.iter().map(|copy| slots.constant(literal, target, cast.as_ref(), *copy));
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
                    let stored = target.stored(&value, cast.as_ref(), (*copy, tenant.as_deref()), means)?;
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
fn literal(stored: &[u8]) -> String {
    format!("'{}'", String::from_utf8_lossy(stored).replace('\'', "''"))
}

/// In which form a value is given to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copy {
    /// As an envelope under the key of that place among those that equal values may be stored under.
    Sealed(usize),
    /// As its blind index under the key of that place.
    Index(usize),
    /// As plaintext: rows that are not converted yet are compared with it.
    Plain,
}

/// A value that a client gives.
pub(super) struct Value<'a> {
    given: Oid,
    format: Format,
    bytes: &'a [u8],
}

impl Target {
    /// Whether the value is looked for by its blind index.
    fn is_indexed(&self) -> bool {
        !(self.stores || self.shows) && self.encryption.mode == Mode::Indexed
    }

    /// The forms that a value has to be given to the server in, so that all rows are found.
    fn copies(&self, ring: &KeyRing) -> Result<Vec<Copy>, Refusal> {
        if self.stores {
            return Ok(vec![Copy::Sealed(0)]);
        }
        if self.shows {
            return Ok(vec![Copy::Plain]);
        }
        let keys = ring.comparing(&self.encryption.key).map_err(|error| self.key_refusal(error))?;
        if self.is_indexed() {
            return Ok((0..keys.len().max(1)).map(Copy::Index).collect());
        }
        let sealed = (0..keys.len().max(1)).map(Copy::Sealed);
        let plain = (self.encryption.stored == Stored::Mixed).then_some(Copy::Plain);
        Ok(sealed.chain(plain).collect())
    }

    /// What the server gets for a value, as the text of the stored type.
    fn stored(
        &self,
        value: &Value<'_>,
        cast: Option<&PlainType>,
        (copy, tenant): (Copy, Option<&[u8]>),
        means: &mut Means<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        if self.elements {
            // What is stored has to fit the column; what is read of an array is not held against its length.
            let own = PlainType { modifier: -1, ..self.encryption.plain.clone() };
            let cast = cast.or_else(|| self.stores.then_some(&own));
            let of = cast.unwrap_or(&self.encryption.plain);
            let elements =
                read_array(of, value.format, value.bytes, means.forms).map_err(|error| self.refusal(&error))?;
            let mut sealed = Vec::with_capacity(elements.len());
            for element in &elements {
                sealed.push(match element {
                    None => None,
                    Some(plaintext) => {
                        let converted = match cast {
                            Some(cast) => Some(self.converted(cast, plaintext, means.forms)?),
                            None => None,
                        };
                        Some(self.form(converted.as_deref().unwrap_or(plaintext), (copy, tenant), means)?)
                    }
                });
            }
            let mut array = bytes::BytesMut::new();
            write_array(&sealed, Oid(0), Format::Text, &mut array).map_err(|error| self.refusal(&error))?;
            return Ok(array.to_vec());
        }
        let plaintext = self.plaintext(value, cast, means.forms)?;
        self.form(&plaintext, (copy, tenant), means)
    }

    /// Whether it is known now whose a value is. `later`: it is prepared now, to run later.
    fn is_settled(&self, later: bool) -> bool {
        self.tenant.as_ref().is_none_or(|tenant| tenant.is_settled(later))
    }

    /// Whose a value is; `None`: it is bound to nobody. `value`: of parameters, by their numbers.
    fn tenant_of<'v>(
        &self,
        value: &impl Fn(u32) -> Option<tenants::ParameterValue<'v>>,
        means: &mut Means<'_>,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        let tenant = self.tenant.as_ref().map(|tenant| tenant.tenant(value, &self.column, means));
        tenant.transpose()
    }

    /// The plaintext of a value, by way of the type that the statement casts it to.
    fn plaintext(&self, value: &Value<'_>, cast: Option<&PlainType>, forms: &TextForms) -> Result<Plaintext, Refusal> {
        match cast {
            None => self.read(value.given, value.format, value.bytes, forms),
            Some(cast) => {
                let between = read_cast(cast, value.given, value.format, value.bytes, forms);
                let between = between.map_err(|error| self.refusal(&error))?;
                self.converted(cast, &between, forms)
            }
        }
    }

    /// The plaintext of a value of another type.
    fn converted(&self, from: &PlainType, plaintext: &[u8], forms: &TextForms) -> Result<Plaintext, Refusal> {
        let mut binary = bytes::BytesMut::new();
        write(from, plaintext, Format::Binary, forms, &mut binary).map_err(|error| self.refusal(&error))?;
        self.read(from.oid(), Format::Binary, &binary, forms)
    }

    /// The plaintext of a value: one that is stored has to fit the column.
    fn read(&self, given: Oid, format: Format, bytes: &[u8], forms: &TextForms) -> Result<Plaintext, Refusal> {
        let plain = &self.encryption.plain;
        let found = match self.stores {
            true => read(plain, given, format, bytes, forms),
            false => read_operand(plain, given, format, bytes, forms),
        };
        found.map_err(|error| self.refusal(&error))
    }

    /// A plaintext in one of the forms that the server may have it in, as text.
    fn form(
        &self,
        plaintext: &[u8],
        (copy, tenant): (Copy, Option<&[u8]>),
        means: &mut Means<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        let encryption = &self.encryption;
        let ring = means.ring;
        let key = match copy {
            Copy::Plain => {
                let mut text = bytes::BytesMut::new();
                write(&encryption.plain, plaintext, Format::Text, &TextForms::default(), &mut text)
                    .map_err(|error| self.refusal(&error))?;
                return Ok(text.to_vec());
            }
            Copy::Sealed(0) => {
                ring.writing(&encryption.key, encryption.mode).map_err(|error| self.key_refusal(error))?
            }
            Copy::Sealed(at) => self.comparing(ring, at)?,
            Copy::Index(at) => {
                self.note_key(means);
                let bound = Bound { domain: &encryption.domain, tenant };
                return Ok(self.comparing(ring, at)?.blind_index(&bound, plaintext).text().into_bytes());
            }
        };
        self.note_key(means);
        let envelope = self.envelope(key, (plaintext, tenant), means.nonces)?;
        if !self.bytes {
            return Ok(text_form(&envelope).into_bytes());
        }
        let mut text = b"\\x".to_vec();
        let digits = envelope.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        text.extend(digits.map(|digit| if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }));
        Ok(text)
    }

    /// The key of that place among those that equal values may be under.
    fn comparing<'k>(&self, ring: &'k KeyRing, at: usize) -> Result<&'k DataKey, Refusal> {
        let keys = ring.comparing(&self.encryption.key).map_err(|error| self.key_refusal(error))?;
        keys.get(at).copied().ok_or_else(|| self.key_refusal(KeyError::Unavailable))
    }

    /// The envelope of a plaintext.
    fn envelope(
        &self,
        key: &DataKey,
        (plaintext, tenant): (&[u8], Option<&[u8]>),
        nonces: &mut NonceSource,
    ) -> Result<Vec<u8>, Refusal> {
        let encryption = &self.encryption;
        let nonce = match encryption.mode {
            Mode::Randomized => Nonce::Random(nonces.draw()),
            Mode::Deterministic => Nonce::Derived,
            Mode::Indexed => Nonce::Indexed(nonces.draw()),
        };
        let mut envelope = Vec::new();
        let bound = Bound { domain: &encryption.domain, tenant };
        key.seal(nonce, &bound, plaintext, &mut envelope).map_err(|_| Refusal::too_long(&self.column))?;
        Ok(envelope)
    }

    /// The envelope of a plaintext that is stored, as the server has it in binary form.
    fn envelope_cell(
        &self,
        plaintext: &[u8],
        tenant: Option<&[u8]>,
        means: &mut Means<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        let encryption = &self.encryption;
        let key = means.ring.writing(&encryption.key, encryption.mode).map_err(|error| self.key_refusal(error))?;
        self.note_key(means);
        let envelope = self.envelope(key, (plaintext, tenant), means.nonces)?;
        Ok(if self.bytes { envelope } else { text_form(&envelope).into_bytes() })
    }

    /// Its key is used.
    fn note_key(&self, means: &mut Means<'_>) {
        let used = |(key, column): &KeyOfColumn| (key, column) == (&self.encryption.key, &self.column);
        if !means.keys.iter().any(used) {
            means.keys.push((Arc::clone(&self.encryption.key), Arc::clone(&self.column)));
        }
    }

    fn refusal(&self, error: &ValueError) -> Refusal {
        Refusal::value(&self.column, error)
    }

    fn key_refusal(&self, error: KeyError) -> Refusal {
        Refusal::key(&self.column, &self.encryption.key, error)
    }
}

impl Given {
    /// The type that the statement casts the value to.
    fn cast_type(&self, column: &Arc<str>) -> Result<Option<PlainType>, Refusal> {
        let cast = match (&self.cast, &self.list_cast) {
            (None, None) => return Ok(None),
            (Some(cast), None) | (None, Some((_, cast))) => cast,
            (Some(_), Some(_)) => {
                let hint = "Cast the list or its elements, not both.";
                return Err(Refusal::encrypted(column, "a value that is cast twice is", hint));
            }
        };
        let element = cast.strip_suffix("[]").unwrap_or(cast).trim_end();
        let known = PlainType::parse(element).map_err(|_| {
            Refusal::encrypted(
                column,
                "a value that is cast to a type of users is",
                "Leave the cast out: pgveil knows the column's type.",
            )
        })?;
        Ok(Some(known))
    }

    /// Several forms of one value, in the place of the one that is compared.
    fn alternatives(&self, forms: &[String], target: &Target) -> Result<String, Refusal> {
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
