//! Whether a value that a client writes is what a mask shows: masks come back in edit forms that are saved unchanged,
//! and must not be stored over what they stand for.

use bytes::BytesMut;

use super::array::ArrayMask;
use super::characters::Characters;
use super::date::{self, DateType, IsoText};
use super::decimal::{Decimal, Direction, Step};
use super::number::{self, NumberType};
use super::text::is_white_space;
use super::{CellMask, CellRule, DateUnit, Format, HiddenForm, Mask, MaskKeys, TextEncoding};
use super::{hidden, pseudonym, record, replace};
use crate::catalog::ValueType;

/// How much a value looks like something that a rule has shown in the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resemblance {
    /// The rule shows no such value (or shows it in its own place only).
    No,
    /// The rule may have shown it, and it may as well be somebody's real value: a rounded salary.
    Perhaps,
    /// There is a mask in it beside something else: it is neither what was shown nor anybody's value.
    Partly,
    /// The rule shows such values, and nobody means them: `####`.
    Surely,
}

impl Resemblance {
    /// Of a value by its parts: what holds a mask beside something else is neither the one nor the other.
    pub fn of_parts(parts: impl IntoIterator<Item = Self>) -> Self {
        let (mut most, mut least) = (Self::No, Self::Surely);
        for part in parts {
            most = most.max(part);
            least = least.min(part);
        }
        match (most, least) {
            (Self::Surely, Self::Surely) => Self::Surely,
            (Self::Surely | Self::Partly, _) => Self::Partly,
            (Self::Perhaps, _) => Self::Perhaps,
            (Self::No, _) => Self::No,
        }
    }
}

impl CellRule {
    /// Whether a value of that type (a cell in text or binary form; `None` is NULL) is what this rule shows. The text may
    /// be in any form that the server takes for the type.
    pub fn resemblance(
        &self,
        cell: Option<&[u8]>,
        value_type: &ValueType,
        format: Format,
        encoding: TextEncoding,
    ) -> Resemblance {
        let Some(value) = cell else {
            // A NULL stays NULL under all rules but those that show nothing else, or have nothing else to show.
            let no_value = || {
                [Format::Text, Format::Binary].iter().any(|form| hidden::empty(value_type, *form, encoding).is_none())
            };
            let shows_null = match self {
                Self::Hide(HiddenForm::Null) => true,
                Self::Hide(HiddenForm::Empty) | Self::Redact => no_value(),
                Self::Mask(mask) => matches!(**mask, Mask::Nullify) || no_value(),
                Self::Keep | Self::Row(_) => false,
            };
            return if shows_null { Resemblance::Surely } else { Resemblance::No };
        };
        if matches!(self, Self::Keep) {
            return Resemblance::No;
        }
        match value_type {
            ValueType::Array(..) if matches!(self, Self::Mask(_) | Self::Row(_)) => {
                self.of_array(value, value_type, format, encoding)
            }
            ValueType::Composite(fields) => self.of_row(value, fields, format, encoding),
            _ => self.of_scalar(value, value_type, format, encoding),
        }
    }

    fn of_array(&self, value: &[u8], value_type: &ValueType, format: Format, encoding: TextEncoding) -> Resemblance {
        let ValueType::Array(element_type, element) = value_type else { return Resemblance::No };
        let delimiter = if matches!(**element, ValueType::Box) { b';' } else { b',' };
        let mut parts = Vec::new();
        let walked = ArrayMask::walk(*element_type, delimiter, value, format, &mut BytesMut::new(), |cell, _| {
            // A NULL among others says nothing.
            if cell.is_some() {
                parts.push(self.resemblance(cell, element, format, encoding));
            }
            false
        });
        match walked {
            Some(()) => Resemblance::of_parts(parts),
            // A form of array that the server may take nevertheless.
            None => Resemblance::Perhaps,
        }
    }

    fn of_row(
        &self,
        value: &[u8],
        fields: &[(crate::catalog::Oid, ValueType)],
        format: Format,
        encoding: TextEncoding,
    ) -> Resemblance {
        let Some(cells) = record::cells(value, format).filter(|cells| cells.len() == fields.len()) else {
            return Resemblance::Perhaps;
        };
        let rule = |place: usize| match self {
            Self::Row(rules) => rules.get(place).unwrap_or(&Self::Redact),
            Self::Keep | Self::Mask(_) | Self::Hide(_) | Self::Redact => self,
        };
        let cells = cells.iter().zip(fields).enumerate();
        Resemblance::of_parts(
            cells
                .filter(|(_, (cell, _))| cell.is_some())
                .map(|(place, (cell, (_, field)))| rule(place).resemblance(cell.as_deref(), field, format, encoding)),
        )
    }

    fn of_scalar(&self, value: &[u8], value_type: &ValueType, format: Format, encoding: TextEncoding) -> Resemblance {
        let constant = match self {
            Self::Mask(mask) if mask.fits(value_type) => match &**mask {
                Mask::Full | Mask::Replace(_) if matches!(value_type, ValueType::Text) => {
                    return of_text(mask, value, encoding);
                }
                Mask::Full => hidden::redacted(value_type, format, encoding),
                Mask::Replace(text) => replace::constant(text, value_type, format),
                Mask::Nullify => return Resemblance::No,
                Mask::Partial { .. }
                | Mask::ShowFirst(_)
                | Mask::ShowLast(_)
                | Mask::Email
                | Mask::Phone { .. }
                | Mask::Card
                | Mask::Iban
                | Mask::Hash { .. }
                | Mask::Pseudonym { .. }
                | Mask::DateTrunc(_)
                | Mask::Round(_)
                | Mask::Bucket(_)
                | Mask::Network { .. } => {
                    return match value_type {
                        ValueType::Text => of_text(mask, value, encoding),
                        // What has not the form that the mask expects is redacted.
                        _ if hidden::redacted(value_type, format, encoding).as_deref() == Some(value) => {
                            Resemblance::Perhaps
                        }
                        _ => of_value(mask, value, value_type, format),
                    };
                }
            },
            Self::Mask(_) | Self::Redact | Self::Row(_) => hidden::redacted(value_type, format, encoding),
            Self::Hide(HiddenForm::Empty) => hidden::empty(value_type, format, encoding),
            Self::Hide(HiddenForm::Null) | Self::Keep => return Resemblance::No,
        };
        match constant {
            Some(constant) => of_constant(value, &constant, value_type, format),
            None => Resemblance::No,
        }
    }
}

/// Whether a value is that constant, in whatever form it is written.
fn of_constant(value: &[u8], constant: &[u8], value_type: &ValueType, format: Format) -> Resemblance {
    let same = |same: bool| if same { Resemblance::Surely } else { Resemblance::No };
    if value == constant {
        return Resemblance::Surely;
    }
    match (format, value_type) {
        (_, ValueType::Text) => same(value.trim_ascii_end() == constant.trim_ascii_end()),
        (Format::Binary, ValueType::Numeric) => same(
            plain_number(value, NumberType::Numeric, format) == plain_number(constant, NumberType::Numeric, format),
        ),
        (Format::Binary, _) => Resemblance::No,
        (Format::Text, _) => match std::str::from_utf8(value).ok().map(str::trim) {
            // Where the type has one form only, or pgveil knows all of them, there is no doubt.
            Some(text) => match replace::constant(text, value_type, Format::Text) {
                Some(written) => match number_type(value_type) {
                    Some(of) => same(plain_number(&written, of, format) == plain_number(constant, of, format)),
                    None => same(written == constant),
                },
                None if matches!(value_type, ValueType::Enum(_) | ValueType::Char) => Resemblance::No,
                None => Resemblance::Perhaps,
            },
            None => Resemblance::No,
        },
    }
}

/// Masks of texts.
fn of_text(mask: &Mask, value: &[u8], encoding: TextEncoding) -> Resemblance {
    // Of texts that can not be taken apart only the redacted value is shown, and that can be.
    let Some(characters) = Characters::of(value, encoding) else { return Resemblance::No };
    let (core, _) = characters.without_padding();
    let bytes = core.bytes();
    let surely = |is: bool| is.then_some(Resemblance::Surely);
    let perhaps = |is: bool| is.then_some(Resemblance::Perhaps);
    let all_hashes = |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(|byte| *byte == b'#');
    let split = |count: usize| {
        let (head, tail) = core.split(count);
        (head.bytes(), tail.bytes())
    };
    let found = match mask {
        Mask::Full => None,
        Mask::ShowFirst(kept) => surely(all_hashes(split(*kept).1)),
        Mask::ShowLast(kept) => {
            surely(core.count().checked_sub(*kept).is_some_and(|hidden| all_hashes(split(hidden).0)))
        }
        Mask::Email => surely(is_masked_email(core)),
        Mask::Phone { keep } => surely(ends_in_digits(bytes, *keep, b" -()./+")),
        Mask::Card => surely(ends_in_digits(bytes, 4, b" -")),
        Mask::Iban => surely(is_masked_iban(bytes)),
        Mask::Partial { prefix, suffix, pad } => of_partial(core, *prefix, *suffix, pad),
        Mask::Hash { digits, .. } => {
            let hexadecimal = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            perhaps(bytes.len() == *digits && bytes.iter().all(hexadecimal))
        }
        Mask::Pseudonym { .. } => {
            let digits = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
            let words = bytes.strip_suffix(b"@example.invalid").unwrap_or(bytes);
            surely(pseudonym::is_words(words)).or(perhaps(digits))
        }
        Mask::Network { .. } => {
            perhaps(!bytes.trim_ascii().is_empty() && stays(mask, bytes, &ValueType::Text, Format::Text))
        }
        Mask::Replace(text) => surely(bytes == text.as_bytes().trim_ascii_end()),
        Mask::DateTrunc(_) | Mask::Round(_) | Mask::Bucket(_) | Mask::Nullify => None,
    };
    // What has not the shape that a mask expects is masked in full, and what is computed from it is redacted.
    let hidden = bytes.iter().all(|byte| *byte == b'#' || is_white_space(*byte) || !byte.is_ascii());
    let hidden = hidden && bytes.contains(&b'#') && core.is_hashes_and_white_space();
    let edited = mask.writes_hashes() && bytes.windows(3).any(|run| run == b"###");
    surely(hidden).or(found).or(edited.then_some(Resemblance::Partly)).unwrap_or(Resemblance::No)
}

fn is_masked_email(core: Characters<'_>) -> bool {
    let Some((local, domain)) = super::shapes::email_parts(core) else { return false };
    let (first, rest) = local.split(1);
    let rest = if rest.bytes().is_empty() { first } else { rest };
    rest.bytes().iter().all(|byte| *byte == b'#') && domain.bytes().iter().all(|byte| matches!(byte, b'#' | b'.'))
}

/// `#` for all digits but that many at the end, with separators anywhere.
fn ends_in_digits(bytes: &[u8], kept: usize, separators: &[u8]) -> bool {
    let Some(last) = bytes.iter().rposition(|byte| *byte == b'#') else { return false };
    let (hidden, shown) = bytes.split_at_checked(last).unwrap_or_default();
    let digits = shown.iter().filter(|byte| byte.is_ascii_digit()).count();
    digits == kept
        && hidden.iter().all(|byte| *byte == b'#' || separators.contains(byte))
        && shown.iter().all(|byte| *byte == b'#' || byte.is_ascii_digit() || separators.contains(byte))
}

fn is_masked_iban(bytes: &[u8]) -> bool {
    let dense: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != b' ').collect();
    let Some((country, rest)) = dense.split_at_checked(2) else { return false };
    let Some((hidden, shown)) = rest.len().checked_sub(4).and_then(|at| rest.split_at_checked(at)) else {
        return false;
    };
    (15..=34).contains(&dense.len())
        && country.iter().all(u8::is_ascii_alphabetic)
        && hidden.iter().all(|byte| *byte == b'#')
        && shown.iter().all(u8::is_ascii_alphanumeric)
}

/// The ends of a text with what is put between them. What is put there may be nothing or a letter, and the text real.
fn of_partial(core: Characters<'_>, prefix: usize, suffix: usize, pad: &str) -> Option<Resemblance> {
    let pad = pad.as_bytes();
    let (head, rest) = core.split(prefix);
    let middle = rest.count().checked_sub(suffix).map(|count| rest.split(count).0.bytes());
    let ends = head.count() == prefix && middle == Some(pad);
    // Padding at its end is taken off a text, whether it was of the mask or not.
    let alone = core.bytes() == pad.trim_ascii_end();
    let told = pad.iter().filter(|byte| !byte.is_ascii_alphanumeric() && !is_white_space(**byte)).count();
    let certain = if told >= 2 { Resemblance::Surely } else { Resemblance::Perhaps };
    (ends || alone).then_some(certain)
}

/// Masks of other types that show values of the type.
fn of_value(mask: &Mask, value: &[u8], value_type: &ValueType, format: Format) -> Resemblance {
    let perhaps = |is: bool| if is { Resemblance::Perhaps } else { Resemblance::No };
    // What can not be read may be one in another form.
    let read = |is: Option<bool>| perhaps(is.unwrap_or(true));
    match mask {
        Mask::Round(step) => read(is_multiple(value, value_type, step, Direction::Nearest, format)),
        Mask::Bucket(step) => read(is_multiple(value, value_type, step, Direction::Down, format)),
        Mask::DateTrunc(unit) => read(is_cut_down(value, value_type, *unit, format)),
        Mask::Network { .. } => match format {
            Format::Binary => perhaps(stays(mask, value, value_type, format)),
            Format::Text => {
                let text = value.trim_ascii();
                let host = text.strip_suffix(b"/32").or(text.strip_suffix(b"/128")).unwrap_or(text);
                let known = std::str::from_utf8(host).is_ok_and(|host| host.parse::<std::net::IpAddr>().is_ok());
                perhaps(!known || stays(mask, host, value_type, format) || stays(mask, text, value_type, format))
            }
        },
        Mask::Hash { digits, .. } => match format {
            Format::Binary => perhaps(value.len() == digits.div_ceil(2)),
            Format::Text => read(value.strip_prefix(b"\\x").map(|hex| hex.len() == digits.div_ceil(2) * 2)),
        },
        Mask::Pseudonym { .. } => match number_type(value_type) {
            Some(of) => read(number::read_integer(value.trim_ascii(), of, format).map(|number| number > 0)),
            // Dates of birth of adults, and UUIDs of the version that is free for everyone's use.
            None => match (value_type, format) {
                (ValueType::Uuid, Format::Binary) => {
                    read(uuid::Uuid::from_slice(value).ok().map(|uuid| uuid.get_version_num() == 8))
                }
                (ValueType::Uuid, Format::Text) => {
                    read(uuid::Uuid::try_parse_ascii(value).ok().map(|uuid| uuid.get_version_num() == 8))
                }
                (_, Format::Binary) => {
                    read(value.try_into().ok().map(|days| pseudonym::is_stand_in(i32::from_be_bytes(days).into())))
                }
                (_, Format::Text) => {
                    let date = std::str::from_utf8(value).ok().and_then(|text| IsoText::parse(text, DateType::Date));
                    read(date.map(|date| pseudonym::is_stand_in(date.days)))
                }
            },
        },
        Mask::Full
        | Mask::Partial { .. }
        | Mask::ShowFirst(_)
        | Mask::ShowLast(_)
        | Mask::Email
        | Mask::Phone { .. }
        | Mask::Card
        | Mask::Iban
        | Mask::Replace(_)
        | Mask::Nullify => Resemblance::No,
    }
}

/// Whether a mask without a key leaves a value as it is: it shows nothing else of its own results.
fn stays(mask: &Mask, value: &[u8], value_type: &ValueType, format: Format) -> bool {
    let rule = CellRule::Mask(std::sync::Arc::new(mask.clone()));
    let mask = CellMask::new(&rule, value_type, format, &MaskKeys::default());
    let mut shown = BytesMut::new();
    mask.show(Some(value), &mut shown) && shown == value
}

/// Whether a number is a multiple of the step. `None`: it can not be read.
fn is_multiple(value: &[u8], value_type: &ValueType, step: &str, direction: Direction, format: Format) -> Option<bool> {
    let number = decimal(value, number_type(value_type)?, format)?;
    let multiple = number.to_multiple(Step::parse(step)?, direction);
    // What a float makes of a decimal may be a little beside it.
    let float = matches!(value_type, ValueType::Float4 | ValueType::Float8);
    Some(float || plain(&multiple) == plain(&number))
}

fn decimal(value: &[u8], of: NumberType, format: Format) -> Option<Decimal> {
    let text = match (format, of) {
        (Format::Binary, NumberType::Numeric) => return Decimal::from_binary(value),
        (Format::Binary, NumberType::Float4) => f32::from_be_bytes(value.try_into().ok()?).to_string(),
        (Format::Binary, NumberType::Float8) => f64::from_be_bytes(value.try_into().ok()?).to_string(),
        (Format::Binary, NumberType::Int2 | NumberType::Int4 | NumberType::Int8) => {
            number::read_integer(value, of, format)?.to_string()
        }
        (Format::Text, _) => std::str::from_utf8(value).ok()?.trim().trim_start_matches('+').to_owned(),
    };
    Decimal::parse(&text)
}

/// A number's text without zeros at its end.
fn plain(number: &Decimal) -> String {
    let text = number.to_text();
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn plain_number(value: &[u8], of: NumberType, format: Format) -> Option<String> {
    decimal(value, of, format).map(|number| plain(&number))
}

/// Whether a date or time is the first moment of its year, month, day or hour, in the zone that it was shown in, which is
/// another one in the binary form. `None`: it can not be read.
fn is_cut_down(value: &[u8], value_type: &ValueType, unit: DateUnit, format: Format) -> Option<bool> {
    let date_type = match value_type {
        ValueType::Date => DateType::Date,
        ValueType::Timestamp => DateType::Timestamp,
        _ => DateType::TimestampTz,
    };
    let text = || std::str::from_utf8(value).ok().and_then(|text| IsoText::parse(text, date_type));
    if format == Format::Text && !may_be_date(value) {
        return Some(false);
    }
    if date_type == DateType::Date {
        let days = match format {
            Format::Text => text()?.days,
            Format::Binary => i64::from(i32::from_be_bytes(value.try_into().ok()?)),
        };
        return Some(date::truncate_days(days, unit) == Some(days));
    }
    let microseconds = match format {
        Format::Text => text()?.microseconds()?,
        Format::Binary => i64::from_be_bytes(value.try_into().ok()?),
    };
    // Zones are whole quarters of an hour away from each other (those of former centuries are not).
    const QUARTER: i64 = 900_000_000;
    Some(microseconds.rem_euclid(QUARTER) == 0)
}

/// Whether a text has enough digits for a date: `1 day` has not.
fn may_be_date(text: &[u8]) -> bool {
    let groups = text.split(|byte| !byte.is_ascii_digit()).filter(|group| !group.is_empty());
    let (count, longest) = groups.fold((0_usize, 0), |(count, longest), group| (count + 1, longest.max(group.len())));
    count >= 3 || longest >= 4 || text.trim_ascii().eq_ignore_ascii_case(b"epoch")
}

fn number_type(value_type: &ValueType) -> Option<NumberType> {
    super::leaf::number_type(value_type)
}
