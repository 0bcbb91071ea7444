//! Masks: from a value to what is shown in its place, in the value's own type, in text and binary format.
//!
//! A [`Mask`] is what a policy names. [`CellRule`] is what `plan` decides for one result column; [`CellMask`] is that
//! rule made ready for one type and format, and is all that runs for each row. A mask never fails on a value: what does
//! not have the shape that the mask expects is redacted.
//!
//! [`CATALOGUE`] says what masks there are, under which names and with which parameters; [`Mask::build`] makes one of
//! them from what a policy file says, and [`Mask::fits`] tells whether it can mask values of a type.

mod array;
mod build;
mod catalogue;
mod cell;
mod characters;
mod cursor;
mod date;
mod decimal;
mod fits;
mod hidden;
mod keys;
mod leaf;
mod network;
mod number;
mod pseudonym;
mod record;
mod replace;
mod resemblance;
mod shapes;
mod stored;
#[cfg(test)]
mod tests;
mod text;

pub use build::{MaskError, ParamValue};
pub use catalogue::{Alias, CATALOGUE, MaskInfo, ParamInfo, lookup};
pub use cell::CellMask;
pub use characters::TextEncoding;
pub use keys::MaskKeys;
pub use resemblance::Resemblance;

pub use crate::wire::Format;

use std::sync::Arc;

/// A mask of the policy, with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum Mask {
    /// Each character but white space becomes `#`. On other types than text: the type's hidden value.
    Full,
    /// Keep `prefix` first and `suffix` last characters, `pad` for what is between. Too short: `pad` alone.
    Partial {
        /// Characters kept at the start.
        prefix: usize,
        /// Characters kept at the end.
        suffix: usize,
        /// What stands for the rest.
        pad: Arc<str>,
    },
    /// Keep the first characters, `#` for each other. Too short: all `#`.
    ShowFirst(usize),
    /// Keep the last characters, `#` for each other. Too short: all `#`.
    ShowLast(usize),
    /// `j###@#######.##`: the first character of two or more, `@` and the dots of the domain stay. Not an e-mail
    /// address: as `Full`.
    Email,
    /// Keep a leading `+`, the last `keep` digits, and blanks and `-()./` between them. Not a telephone number, or too
    /// short: as `Full`.
    Phone {
        /// Digits kept at the end.
        keep: usize,
    },
    /// Keep the last four of 12 to 19 digits, and blanks and hyphens between them. Not a card number: as `Full`.
    Card,
    /// Keep country code and the last four characters, and blanks. Not an IBAN: as `Full`.
    Iban,
    /// HMAC-SHA-256 under the named key, in hexadecimal digits; of `bytea`, the first bytes of it.
    Hash {
        /// The key's name.
        key: Arc<str>,
        /// Hexadecimal digits kept, 8 to 64.
        digits: usize,
    },
    /// A stand-in of the same sort: the same value gives the same one; an e-mail address stays one, digits stay as many
    /// digits, other text becomes three made-up words; integers stay positive ones, UUIDs and dates stay such.
    Pseudonym {
        /// The key's name.
        key: Arc<str>,
    },
    /// Cut a date or time down: in binary form in UTC, in text (ISO `DateStyle` only) in the zone shown.
    DateTrunc(DateUnit),
    /// Round a number (half away from zero) to a multiple of the step, written as in the policy (`10`, `0.5`).
    Round(Arc<str>),
    /// The lower edge of the bucket of that width that a number is in.
    Bucket(Arc<str>),
    /// Keep the network part of an address; a text stays a text, a host address stays without a netmask.
    Network {
        /// Bits kept of an IPv4 address.
        v4: u8,
        /// Bits kept of an IPv6 address.
        v6: u8,
    },
    /// A fixed value, as the type's text form. Not a value of the type: the type's hidden value.
    Replace(Arc<str>),
    /// NULL.
    Nullify,
}

/// What [`Mask::DateTrunc`] keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateUnit {
    /// The first day of the year.
    Year,
    /// The first day of the month.
    Month,
    /// The day.
    Day,
    /// The hour.
    Hour,
}

/// What `plan` decides for the cells of one result column.
#[derive(Clone, Debug, PartialEq)]
pub enum CellRule {
    /// The bytes as they are.
    Keep,
    /// This mask, for arrays on each element, for composite values on each field. NULL stays NULL.
    Mask(Arc<Mask>),
    /// NULL, or the type's empty value; NULL stays NULL.
    Hide(HiddenForm),
    /// A constant of the type, whatever the value is, NULL included: the only safe answer for a derived value.
    Redact,
    /// The fields of a row value each by their own rule (for arrays: of each element). A value with another number of
    /// fields is redacted.
    Row(Vec<CellRule>),
}

/// How a hidden value looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HiddenForm {
    /// NULL.
    Null,
    /// The type's empty value: `''`, 0, `1970-01-01`, `{}`; NULL where the type has none.
    #[default]
    Empty,
}
