//! Parameters of statements that give values to encrypted columns, and the values of Bind.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::Means;
use super::edits::Casts;
use super::given::{Given, Place};
use super::target::{Copy, Target, Value};
use crate::catalog::Oid;
use crate::plan::Refusal;
use crate::value::Scalar;
use crate::wire::Format;

/// `text` and `bytea`, and arrays of them: what the server is told of parameters that hold envelopes.
const TEXT: Oid = Oid(25);
const BYTEA: Oid = Oid(17);
const TEXT_ARRAY: Oid = Oid(1009);
const BYTEA_ARRAY: Oid = Oid(1001);

/// The parameters of the statement that the server runs, by those of the client's.
#[derive(Debug, PartialEq, Eq)]
pub struct Slots {
    /// How many parameters the client's statement has.
    given: u32,
    /// Those of the server's, from `$1` on.
    slots: Vec<Slot>,
}

/// A parameter of the server's statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// The client's of that number, as it is.
    Given(u32),
    /// The client's of that number, encrypted.
    Sealed { of: u32, target: Target, casts: Casts, copy: Copy },
    /// A literal of the client's, encrypted.
    Constant { literal: Literal, target: Target, casts: Casts, copy: Copy },
}

/// The value of a literal, which is not shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Literal(Zeroizing<Vec<u8>>);

impl fmt::Debug for Literal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a literal")
    }
}

/// A value of Bind.
pub struct BoundValue<'a> {
    /// The cell; `None` is NULL.
    pub cell: Option<&'a [u8]>,
    /// Its text in UTF-8, where the client has another encoding.
    pub text: Option<&'a [u8]>,
    /// Its format.
    pub format: Format,
    /// The type that the client has declared for it; 0: none.
    pub declared: Oid,
}

/// The slots of a statement while they are given out.
pub(super) struct Layout {
    given: u32,
    slots: BTreeMap<u32, Slot>,
    next: u32,
    /// Numbers that stand for values as they are somewhere in the statement.
    plain: BTreeSet<u32>,
}

impl Layout {
    pub fn of(given: &[Given], targets: &[Option<Target>]) -> Self {
        let numbers = given.iter().zip(targets).filter_map(|(given, target)| match given.place {
            Place::Parameter(number) => Some((number, target.is_none())),
            Place::Literal(_) => None,
        });
        let (mut highest, mut plain) = (0, BTreeSet::new());
        for (number, as_it_is) in numbers {
            highest = highest.max(number);
            if as_it_is {
                plain.insert(number);
            }
        }
        Self { given: highest, slots: BTreeMap::new(), next: highest, plain }
    }

    /// The number that a parameter has in the server's statement where it stands for this.
    pub fn place(&mut self, of: u32, target: &Target, casts: &Casts, copy: Copy) -> u32 {
        let slot = Slot::Sealed { of, target: target.clone(), casts: casts.clone(), copy };
        if let Some((number, _)) = self.slots.iter().find(|(_, known)| **known == slot) {
            return *number;
        }
        let number = if self.plain.contains(&of) || self.slots.contains_key(&of) {
            self.next = self.next.saturating_add(1);
            self.next
        } else {
            of
        };
        self.slots.insert(number, slot);
        number
    }

    /// The number of a parameter that a literal is given by in the server's statement.
    pub fn constant(&mut self, literal: &[u8], target: &Target, casts: &Casts, copy: Copy) -> u32 {
        self.next = self.next.saturating_add(1);
        let (literal, casts) = (Literal(Zeroizing::new(literal.to_vec())), casts.clone());
        self.slots.insert(self.next, Slot::Constant { literal, target: target.clone(), casts, copy });
        self.next
    }

    /// The slots; `None`: no parameter is encrypted.
    pub fn finish(mut self) -> Option<Arc<Slots>> {
        if self.slots.is_empty() {
            return None;
        }
        let slots = (1..=self.next).map(|number| self.slots.remove(&number).unwrap_or(Slot::Given(number))).collect();
        Some(Arc::new(Slots { given: self.given, slots }))
    }
}

impl Slots {
    pub(super) fn each(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }

    /// The types of parameters for the server's Parse: their number as i16 and OIDs as u32. `declared`: what the client's
    /// says; 0 or missing: the server is to say.
    pub fn declared(&self, declared: &[Oid]) -> Vec<u8> {
        let types = self.slots.iter().map(|slot| match slot {
            Slot::Given(number) => at(declared, *number),
            Slot::Sealed { target, copy, .. } | Slot::Constant { target, copy, .. } => target.stored_type(*copy),
        });
        listed(&types.collect::<Vec<_>>())
    }

    /// The body of the client's ParameterDescription, out of the server's types and what the client has declared.
    pub fn described(&self, server: &[Oid], declared: &[Oid]) -> Vec<u8> {
        let types = (1..=self.given).map(|number| {
            let own = at(declared, number);
            if own != Oid(0) {
                return own;
            }
            let place = |wanted: &dyn Fn(&Slot) -> bool| self.slots.iter().position(wanted);
            if let Some(as_it_is) = place(&|slot| *slot == Slot::Given(number)) {
                return server.get(as_it_is).copied().unwrap_or(Oid(0));
            }
            let sealed = self.slots.iter().find_map(|slot| match slot {
                Slot::Sealed { of, target, casts, .. } if *of == number => Some((target, casts)),
                Slot::Sealed { .. } | Slot::Given(_) | Slot::Constant { .. } => None,
            });
            sealed.map_or(Oid(0), |(target, casts)| {
                let plain = &target.encryption.plain;
                let scalar = match casts.types.first() {
                    Some(own) if casts.own => own.scalar,
                    // What is around it casts whatever it is.
                    Some(_) => Scalar::Text,
                    // There is no operator `varchar = varchar`: both sides are text.
                    None if !target.stores && !target.shows && plain.scalar == Scalar::Varchar => Scalar::Text,
                    None => plain.scalar,
                };
                if target.elements { scalar.array_oid() } else { scalar.oid() }
            })
        });
        listed(&types.collect::<Vec<_>>())
    }

    /// The formats and values of the server's Bind, as the message has them: the number of format codes, the codes, the
    /// number of values, the values with their lengths. `count`: how many values the client gives, and how many types it has
    /// declared, which are parameters, too; `value`: they, by number. `None`: they are not as many as the statement has
    /// parameters; the message as it is makes the server say so.
    ///
    /// # Errors
    /// A value is none of the column's type, or there is no key.
    pub fn bound<'v>(
        &self,
        (count, declared): (usize, usize),
        value: impl Fn(u32) -> Option<BoundValue<'v>>,
        means: &mut Means<'_>,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        if count != usize::try_from(self.given).unwrap_or(usize::MAX).max(declared) {
            // As many as the server's statement has by chance would be taken for those: none are sent then.
            return Ok((count == self.slots.len()).then(|| vec![0; 4]));
        }
        let slots = u16::try_from(self.slots.len()).unwrap_or(u16::MAX).to_be_bytes();
        let (mut formats, mut values) = (slots.to_vec(), slots.to_vec());
        for slot in &self.slots {
            let given = match slot {
                // As many as the client has given: the server says what it lacks.
                Slot::Given(number) | Slot::Sealed { of: number, .. } => match value(*number) {
                    Some(given) => given,
                    None => return Ok(None),
                },
                Slot::Constant { literal, .. } => {
                    let cell = Some(literal.0.as_slice());
                    BoundValue { cell, text: None, format: Format::Text, declared: Oid(0) }
                }
            };
            let format = match slot {
                Slot::Given(_) => given.format,
                Slot::Sealed { .. } | Slot::Constant { .. } => Format::Text,
            };
            formats.extend_from_slice(&u16::from(format == Format::Binary).to_be_bytes());
            let sealed;
            let cell = match (slot, given.cell) {
                (_, None) => None,
                (Slot::Given(_), Some(cell)) => Some(cell),
                (
                    Slot::Sealed { target, casts, copy, .. } | Slot::Constant { target, casts, copy, .. },
                    Some(bytes),
                ) => {
                    let tenant = target.tenant_of(&|number| value(number).map(|given| given.parameter()), means)?;
                    // A parameter that has no type is one of the column's.
                    let own = given.declared == Oid(0) && casts.types.is_empty() && !target.elements;
                    let of = if own { target.encryption.plain.oid() } else { given.declared };
                    let value = Value { given: of, format: given.format, bytes: given.text.unwrap_or(bytes) };
                    sealed = target.stored(&value, &casts.types, (*copy, tenant.as_deref()), means)?;
                    Some(&sealed[..])
                }
            };
            match cell {
                None => values.extend_from_slice(&(-1_i32).to_be_bytes()),
                Some(cell) => {
                    values.extend_from_slice(&u32::try_from(cell.len()).unwrap_or_default().to_be_bytes());
                    values.extend_from_slice(cell);
                }
            }
        }
        Ok(Some([formats, values].concat()))
    }
}

impl<'a> BoundValue<'a> {
    /// Its declared type, its format and its bytes.
    pub fn parameter(&self) -> (Oid, Format, Option<&'a [u8]>) {
        (self.declared, self.format, self.text.filter(|_| self.cell.is_some()).or(self.cell))
    }
}

impl Target {
    fn is_bytes(&self, copy: Copy) -> bool {
        match copy {
            Copy::Sealed(_) | Copy::Plain => self.bytes,
            Copy::Index(_) => false,
        }
    }

    pub(super) fn stored_type_name(&self, copy: Copy) -> &'static str {
        match (self.is_bytes(copy), self.elements) {
            (false, false) => "pg_catalog.text",
            (true, false) => "pg_catalog.bytea",
            (false, true) => "pg_catalog.text[]",
            (true, true) => "pg_catalog.bytea[]",
        }
    }

    fn stored_type(&self, copy: Copy) -> Oid {
        match (self.is_bytes(copy), self.elements) {
            (false, false) => TEXT,
            (true, false) => BYTEA,
            (false, true) => TEXT_ARRAY,
            (true, true) => BYTEA_ARRAY,
        }
    }
}

fn at(types: &[Oid], number: u32) -> Oid {
    let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
    place.and_then(|place| types.get(place)).copied().unwrap_or(Oid(0))
}

fn listed(types: &[Oid]) -> Vec<u8> {
    let mut body = u16::try_from(types.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
    body.extend(types.iter().flat_map(|of| of.0.to_be_bytes()));
    body
}
