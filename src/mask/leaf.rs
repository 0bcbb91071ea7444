//! A mask made ready for one scalar type.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use super::characters::Characters;
use super::date::{self, DateType};
use super::decimal::{Direction, Step};
use super::keys::MaskKey;
use super::network::{self, Holder, Kept};
use super::number::{self, NumberType};
use super::{DateUnit, Format, Mask, MaskKeys, TextEncoding, pseudonym, replace, shapes, text};
use crate::catalog::ValueType;

/// What is done with a value that is not NULL.
#[derive(Debug)]
pub(super) enum Leaf {
    /// It is not looked at; the constant stands in its place.
    Constant(Vec<u8>),
    Text(TextLeaf),
    HashBytea(MaskKey, usize),
    Pseudonym(MaskKey, PseudonymType),
    Date(DateUnit, DateType),
    Number {
        number_type: NumberType,
        step: Step,
        direction: Direction,
        /// Places after the point that a `numeric` has at the least.
        places: usize,
    },
    Network(Holder, Kept),
}

/// The masks of text.
#[derive(Debug)]
pub(super) enum TextLeaf {
    Full,
    Partial { prefix: usize, suffix: usize, pad: Arc<str> },
    ShowFirst(usize),
    ShowLast(usize),
    Email,
    Phone(usize),
    Card,
    Iban,
    Hash(MaskKey, usize),
    Pseudonym(MaskKey),
    Network(Kept),
}

/// The types other than text that pseudonyms are made of.
#[derive(Clone, Copy, Debug)]
pub(super) enum PseudonymType {
    Integer(NumberType),
    Uuid,
    Date,
}

impl Leaf {
    /// The mask for that type. `None`: it does not fit, its key is missing, or it is no mask of single values; the
    /// type's redacted value is then what is left.
    pub(super) fn new(
        mask: &Mask,
        value_type: &ValueType,
        format: Format,
        encoding: TextEncoding,
        keys: &MaskKeys,
    ) -> Option<Self> {
        if !mask.fits(value_type) {
            return None;
        }
        if matches!(value_type, ValueType::Text) {
            return Self::of_text(mask, encoding, keys);
        }
        match mask {
            Mask::Hash { key, digits } => Some(Self::HashBytea(keys.named(key)?, *digits)),
            Mask::Pseudonym { key } => {
                let sort = match number_type(value_type) {
                    Some(integer) => PseudonymType::Integer(integer),
                    None if matches!(value_type, ValueType::Uuid) => PseudonymType::Uuid,
                    None => PseudonymType::Date,
                };
                Some(Self::Pseudonym(keys.named(key)?, sort))
            }
            Mask::DateTrunc(unit) => Some(Self::Date(*unit, date_type(value_type)?)),
            Mask::Round(step) => Self::number(value_type, step, Direction::Nearest),
            Mask::Bucket(step) => Self::number(value_type, step, Direction::Down),
            Mask::Network { v4, v6 } => {
                let holder = if matches!(value_type, ValueType::Cidr) { Holder::Cidr } else { Holder::Inet };
                Some(Self::Network(holder, Kept { v4: *v4, v6: *v6 }))
            }
            Mask::Replace(text) => Some(Self::Constant(replace::constant(text, value_type, format)?))
                .filter(|_| encoding.writes(text.as_bytes())),
            Mask::Full
            | Mask::Partial { .. }
            | Mask::ShowFirst(_)
            | Mask::ShowLast(_)
            | Mask::Email
            | Mask::Phone { .. }
            | Mask::Card
            | Mask::Iban
            | Mask::Nullify => None,
        }
    }

    fn number(value_type: &ValueType, step: &str, direction: Direction) -> Option<Self> {
        Some(Self::Number { number_type: number_type(value_type)?, step: Step::parse(step)?, direction, places: 0 })
    }

    fn of_text(mask: &Mask, encoding: TextEncoding, keys: &MaskKeys) -> Option<Self> {
        let leaf = match mask {
            Mask::Full => TextLeaf::Full,
            Mask::Partial { prefix, suffix, pad } => {
                if !encoding.writes(pad.as_bytes()) {
                    return None;
                }
                TextLeaf::Partial { prefix: *prefix, suffix: *suffix, pad: Arc::clone(pad) }
            }
            Mask::ShowFirst(kept) => TextLeaf::ShowFirst(*kept),
            Mask::ShowLast(kept) => TextLeaf::ShowLast(*kept),
            Mask::Email => TextLeaf::Email,
            Mask::Phone { keep } => TextLeaf::Phone(*keep),
            Mask::Card => TextLeaf::Card,
            Mask::Iban => TextLeaf::Iban,
            Mask::Hash { key, digits } => TextLeaf::Hash(keys.named(key)?, *digits),
            Mask::Pseudonym { key } => TextLeaf::Pseudonym(keys.named(key)?),
            Mask::Network { v4, v6 } => TextLeaf::Network(Kept { v4: *v4, v6: *v6 }),
            Mask::Replace(text) => {
                return encoding.writes(text.as_bytes()).then(|| Self::Constant(text.as_bytes().to_vec()));
            }
            Mask::DateTrunc(_) | Mask::Round(_) | Mask::Bucket(_) | Mask::Nullify => return None,
        };
        Some(Self::Text(leaf))
    }

    /// What is shown of the value. `None`: it has not the form that the mask expects. What was written to `out` is then
    /// to be taken off.
    pub(super) fn write(&self, value: &[u8], format: Format, encoding: TextEncoding, out: &mut BytesMut) -> Option<()> {
        match self {
            Self::Constant(shown) => out.put_slice(shown),
            Self::Text(leaf) => leaf.write(Characters::of(value, encoding)?, out),
            Self::HashBytea(key, digits) => pseudonym::hash_bytea(value, key, *digits, format, out)?,
            Self::Pseudonym(key, sort) => match sort {
                PseudonymType::Integer(integer) => pseudonym::integer(value, *integer, key, format, out)?,
                PseudonymType::Uuid => pseudonym::uuid(value, key, format, out)?,
                PseudonymType::Date => pseudonym::date(value, key, format, out)?,
            },
            Self::Date(unit, date_type) => date::truncate(value, *unit, *date_type, format, out)?,
            Self::Number { number_type, step, direction, places } => {
                number::write(value, *number_type, *step, *direction, *places, format, out)?;
            }
            Self::Network(holder, kept) => network::write(value, *holder, *kept, format, out)?,
        }
        Some(())
    }
}

impl TextLeaf {
    fn write(&self, value: Characters<'_>, out: &mut BytesMut) {
        match self {
            Self::Full => text::full(value, out),
            Self::Partial { prefix, suffix, pad } => text::partial(value, *prefix, *suffix, pad.as_bytes(), out),
            Self::ShowFirst(kept) => text::show_first(value, *kept, out),
            Self::ShowLast(kept) => text::show_last(value, *kept, out),
            Self::Email => shapes::email(value, out),
            Self::Phone(kept) => shapes::phone(value, *kept, out),
            Self::Card => shapes::card(value, out),
            Self::Iban => shapes::iban(value, out),
            Self::Hash(key, digits) => pseudonym::hash_text(value, key, *digits, out),
            Self::Pseudonym(key) => pseudonym::text(value, key, out),
            Self::Network(kept) => {
                if network::write(value.bytes(), Holder::Inet, *kept, Format::Text, out).is_none() {
                    text::full(value, out);
                }
            }
        }
    }
}

pub(super) fn number_type(value_type: &ValueType) -> Option<NumberType> {
    if matches!(value_type, ValueType::Int2) {
        Some(NumberType::Int2)
    } else if matches!(value_type, ValueType::Int4) {
        Some(NumberType::Int4)
    } else if matches!(value_type, ValueType::Int8) {
        Some(NumberType::Int8)
    } else if matches!(value_type, ValueType::Float4) {
        Some(NumberType::Float4)
    } else if matches!(value_type, ValueType::Float8) {
        Some(NumberType::Float8)
    } else if matches!(value_type, ValueType::Numeric) {
        Some(NumberType::Numeric)
    } else {
        None
    }
}

fn date_type(value_type: &ValueType) -> Option<DateType> {
    if matches!(value_type, ValueType::Date) {
        Some(DateType::Date)
    } else if matches!(value_type, ValueType::Timestamp) {
        Some(DateType::Timestamp)
    } else if matches!(value_type, ValueType::TimestampTz) {
        Some(DateType::TimestampTz)
    } else {
        None
    }
}
