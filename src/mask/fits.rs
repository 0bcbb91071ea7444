//! What a mask says of itself, and which types it fits.

use std::sync::Arc;

use super::catalogue::{CATALOGUE, MaskInfo};
use super::decimal::Step;
use super::{DateUnit, Mask, replace};
use crate::catalog::ValueType;

impl Mask {
    /// Whether it puts a `#` in the place of each character that it hides, so that a text stays as long as it is, and a few
    /// `#` in a row are what is left of a mask.
    pub fn writes_hashes(&self) -> bool {
        match self {
            Self::Full
            | Self::ShowFirst(_)
            | Self::ShowLast(_)
            | Self::Email
            | Self::Phone { .. }
            | Self::Card
            | Self::Iban => true,
            Self::Partial { .. }
            | Self::Hash { .. }
            | Self::Pseudonym { .. }
            | Self::DateTrunc(_)
            | Self::Round(_)
            | Self::Bucket(_)
            | Self::Network { .. }
            | Self::Replace(_)
            | Self::Nullify => false,
        }
    }

    /// Whether two values of that type can look different in a way that says more of them than how they compare. What is
    /// left of a date or number that was cut down or rounded is in the order of the values; a part of a text, or how long it
    /// is, is not.
    pub fn tells_values_apart(&self, value_type: &ValueType) -> bool {
        let text = matches!(
            value_type.element(),
            ValueType::Text | ValueType::Composite(_) | ValueType::Record | ValueType::Unknown
        );
        match self {
            Self::Partial { .. } | Self::Hash { .. } | Self::Pseudonym { .. } | Self::Network { .. } => true,
            // another type is shown as one fixed value
            Self::Full
            | Self::ShowFirst(_)
            | Self::ShowLast(_)
            | Self::Email
            | Self::Phone { .. }
            | Self::Card
            | Self::Iban => text,
            Self::DateTrunc(_) | Self::Round(_) | Self::Bucket(_) | Self::Replace(_) | Self::Nullify => false,
        }
    }

    /// Its name in policies.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial { .. } => "partial",
            Self::ShowFirst(_) => "show_first",
            Self::ShowLast(_) => "show_last",
            Self::Email => "email",
            Self::Phone { .. } => "phone",
            Self::Card => "card",
            Self::Iban => "iban",
            Self::Hash { .. } => "hash",
            Self::Pseudonym { .. } => "pseudonym",
            Self::DateTrunc(_) => "date_trunc",
            Self::Round(_) => "round",
            Self::Bucket(_) => "bucket",
            Self::Network { .. } => "network",
            Self::Replace(_) => "replace",
            Self::Nullify => "nullify",
        }
    }

    /// Its entry in the catalogue.
    pub fn info(&self) -> &'static MaskInfo {
        /// Stands in for an entry that a test proves to be there.
        static UNLISTED: MaskInfo = MaskInfo {
            name: "",
            aliases: &[],
            parameters: &[],
            main: None,
            types: "",
            description: "",
            deterministic: false,
            reversible: false,
            keeps_length: false,
        };
        CATALOGUE.iter().find(|info| info.name == self.name()).unwrap_or(&UNLISTED)
    }

    /// Whether equal values always look equal (keyed masks: under the same key). All of them do: a mask with chance in
    /// it is averaged away by asking again.
    pub fn deterministic(&self) -> bool {
        self.info().deterministic
    }

    /// Whether the value can be had back from what is shown.
    pub fn reversible(&self) -> bool {
        self.info().reversible
    }

    /// Whether a text has as many characters afterwards as before.
    pub fn keeps_length(&self) -> bool {
        self.info().keeps_length
    }

    /// The name of the secret key that it needs.
    pub fn keyed(&self) -> Option<&Arc<str>> {
        match self {
            Self::Hash { key, .. } | Self::Pseudonym { key } => Some(key),
            Self::Full
            | Self::Partial { .. }
            | Self::ShowFirst(_)
            | Self::ShowLast(_)
            | Self::Email
            | Self::Phone { .. }
            | Self::Card
            | Self::Iban
            | Self::DateTrunc(_)
            | Self::Round(_)
            | Self::Bucket(_)
            | Self::Network { .. }
            | Self::Replace(_)
            | Self::Nullify => None,
        }
    }

    /// Whether values of that type can be masked by it; where not, they show as the type's hidden value. Arrays: whether
    /// it fits the elements. Composite values: whether it fits each field. A mask that would leave every value of the
    /// type as it is (a date cut down to its day, an integer rounded to 1) does not fit. Values of unknown types can only
    /// be masked in full, which shows NULL: no other value of such a type is known.
    pub fn fits(&self, value_type: &ValueType) -> bool {
        if let ValueType::Array(_, element) = value_type {
            return self.fits(element);
        }
        if let ValueType::Composite(fields) = value_type {
            return fields.iter().all(|(_, field)| self.fits(field));
        }
        if matches!(value_type, ValueType::Unknown) {
            return matches!(self, Self::Full | Self::Nullify);
        }
        match self {
            Self::Full | Self::Nullify => true,
            Self::Partial { .. }
            | Self::ShowFirst(_)
            | Self::ShowLast(_)
            | Self::Email
            | Self::Phone { .. }
            | Self::Card
            | Self::Iban => matches!(value_type, ValueType::Text),
            Self::Hash { .. } => matches!(value_type, ValueType::Text | ValueType::Bytea),
            Self::Pseudonym { .. } => matches!(
                value_type,
                ValueType::Text
                    | ValueType::Int2
                    | ValueType::Int4
                    | ValueType::Int8
                    | ValueType::Uuid
                    | ValueType::Date
            ),
            Self::DateTrunc(DateUnit::Year | DateUnit::Month) => {
                matches!(value_type, ValueType::Timestamp | ValueType::TimestampTz | ValueType::Date)
            }
            Self::DateTrunc(DateUnit::Day | DateUnit::Hour) => {
                matches!(value_type, ValueType::Timestamp | ValueType::TimestampTz)
            }
            Self::Round(step) | Self::Bucket(step) => {
                let step = Step::parse(step);
                let whole = step.and_then(|step| step.whole()).is_some_and(|whole| whole >= 2);
                let integer = matches!(value_type, ValueType::Int2 | ValueType::Int4 | ValueType::Int8);
                let fraction = matches!(value_type, ValueType::Numeric | ValueType::Float4 | ValueType::Float8);
                (integer && whole) || (fraction && step.is_some())
            }
            Self::Network { .. } => matches!(value_type, ValueType::Inet | ValueType::Cidr | ValueType::Text),
            Self::Replace(text) => replace::is_value(text, value_type),
        }
    }
}
