//! From a mask's name and parameters in a policy to a [`Mask`].

use std::sync::Arc;

use super::catalogue::{self, CATALOGUE, MaskInfo, ParamInfo};
use super::decimal::Step;
use super::{DateUnit, Mask};

/// A parameter's value, as a policy file writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamValue {
    /// A whole number.
    Integer(i64),
    /// A number with a decimal point, as written: `0.5`.
    Decimal(String),
    /// A word or a quoted text.
    Text(String),
}

/// Why there is no such mask.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// There is no mask of that name.
    #[error("there is no mask `{name}`{}", .suggestion.map(|known| format!("; did you mean `{known}`?")).unwrap_or_default())]
    UnknownMask {
        /// The name as given.
        name: String,
        /// A known name that is near it.
        suggestion: Option<&'static str>,
    },
    /// The mask has no parameter of that name.
    #[error("mask `{mask}` {}", unknown_parameter(.mask, .name, .suggestion))]
    UnknownParameter {
        /// The mask's name.
        mask: &'static str,
        /// The parameter's name as given; empty: a bare value, which this mask does not take.
        name: String,
        /// A parameter of the mask that is near it.
        suggestion: Option<&'static str>,
    },
    /// A parameter must be given and is not.
    #[error("mask `{mask}` needs the parameter `{parameter}`")]
    MissingParameter {
        /// The mask's name.
        mask: &'static str,
        /// The parameter's name.
        parameter: &'static str,
    },
    /// A parameter has a value that it can not have.
    #[error("parameter `{parameter}` of mask `{mask}` {problem}")]
    BadValue {
        /// The mask's name.
        mask: &'static str,
        /// The parameter's name.
        parameter: &'static str,
        /// What is wrong, as the end of a sentence that the parameter begins.
        problem: String,
    },
}

fn unknown_parameter(mask: &str, name: &str, suggestion: &Option<&'static str>) -> String {
    let known = catalogue::lookup(mask).map(|info| info.parameters).unwrap_or_default();
    let listed: Vec<String> = known.iter().map(|parameter| format!("`{}`", parameter.name)).collect();
    match (suggestion, listed.as_slice()) {
        (_, []) => "takes no parameters".to_owned(),
        (Some(near), _) => format!("has no parameter `{name}`; did you mean `{near}`?"),
        (None, _) if name.is_empty() => format!("takes its parameters by name: {}", listed.join(", ")),
        (None, _) => format!("has no parameter `{name}`; it has {}", listed.join(", ")),
    }
}

/// How many characters may be kept at either end.
const KEPT_MAX: i64 = 64;
/// How many digits of a telephone number may be kept.
const PHONE_KEPT_MAX: i64 = 8;
/// How long the pad of `partial` may be, in characters.
const PAD_CHARACTERS_MAX: usize = 32;
/// How long the text of `replace` may be, in bytes.
const REPLACEMENT_BYTES_MAX: usize = 4096;

impl Mask {
    /// The mask of that name or alias ([`catalogue::lookup`]) with those parameters. A parameter with an empty name is
    /// the bare value of a short form (`show_last: 4`).
    ///
    /// # Errors
    /// An unknown name, an unknown, missing or repeated parameter, or one that is out of its range.
    pub fn build(name: &str, params: &[(String, ParamValue)]) -> Result<Self, MaskError> {
        let Some((info, implied)) = catalogue::find(name) else {
            let known = CATALOGUE
                .iter()
                .flat_map(|info| std::iter::once(info.name).chain(info.aliases.iter().map(|alias| alias.name)));
            let suggestion = nearest(&catalogue::normalized(name), known);
            return Err(MaskError::UnknownMask { name: name.to_owned(), suggestion });
        };
        let given = Given::of(info, implied, params)?;
        Ok(match info.name {
            "full" => Self::Full,
            "partial" => {
                if !given.has("prefix") && !given.has("suffix") {
                    return Err(MaskError::MissingParameter { mask: info.name, parameter: "prefix" });
                }
                Self::Partial {
                    prefix: given.count("prefix", 0, KEPT_MAX)?,
                    suffix: given.count("suffix", 0, KEPT_MAX)?,
                    pad: given.text("pad", PAD_CHARACTERS_MAX)?,
                }
            }
            "show_first" => Self::ShowFirst(given.count("count", 1, KEPT_MAX)?),
            "show_last" => Self::ShowLast(given.count("count", 1, KEPT_MAX)?),
            "email" => Self::Email,
            "phone" => Self::Phone { keep: given.count("keep", 0, PHONE_KEPT_MAX)? },
            "card" => Self::Card,
            "iban" => Self::Iban,
            "hash" => Self::Hash { key: given.key()?, digits: given.count("digits", 8, 64)? },
            "pseudonym" => Self::Pseudonym { key: given.key()? },
            "date_trunc" => Self::DateTrunc(given.unit("unit")?),
            "round" => Self::Round(given.step("step")?),
            "bucket" => Self::Bucket(given.step("width")?),
            "network" => Self::Network { v4: given.count("v4", 0, 31)?, v6: given.count("v6", 0, 127)? },
            "replace" => Self::Replace(given.text("text", REPLACEMENT_BYTES_MAX)?),
            "nullify" => Self::Nullify,
            _ => return Err(MaskError::UnknownMask { name: name.to_owned(), suggestion: None }),
        })
    }
}

/// The parameters of one mask: given, implied by an alias, or by default.
struct Given {
    info: &'static MaskInfo,
    values: Vec<(&'static ParamInfo, ParamValue)>,
}

impl Given {
    fn of(
        info: &'static MaskInfo,
        implied: &'static [(&'static str, &'static str)],
        params: &[(String, ParamValue)],
    ) -> Result<Self, MaskError> {
        let mut given = Self { info, values: Vec::new() };
        for (name, value) in params {
            let wanted = if name.is_empty() { info.main.unwrap_or_default() } else { name.as_str() };
            let Some(parameter) = info
                .parameters
                .iter()
                .find(|parameter| parameter.name == wanted || parameter.aliases.contains(&wanted))
            else {
                let suggestion = nearest(name, info.parameters.iter().map(|parameter| parameter.name));
                return Err(MaskError::UnknownParameter { mask: info.name, name: name.clone(), suggestion });
            };
            if given.has(parameter.name) {
                return Err(given.bad(parameter.name, "is given twice"));
            }
            given.values.push((parameter, value.clone()));
        }
        for parameter in info.parameters {
            let implied = implied.iter().find(|(name, _)| *name == parameter.name).map(|(_, value)| *value);
            if let (false, Some(value)) = (given.has(parameter.name), implied) {
                let value = value.parse().map_or_else(|_| ParamValue::Text(value.to_owned()), ParamValue::Integer);
                given.values.push((parameter, value));
            }
        }
        Ok(given)
    }

    fn has(&self, name: &str) -> bool {
        self.values.iter().any(|(parameter, _)| parameter.name == name)
    }

    /// The value given or implied, else the default.
    fn value(&self, name: &'static str) -> Result<ParamValue, MaskError> {
        if let Some((_, value)) = self.values.iter().find(|(parameter, _)| parameter.name == name) {
            return Ok(value.clone());
        }
        let missing = MaskError::MissingParameter { mask: self.info.name, parameter: name };
        let default = self.info.parameters.iter().find(|parameter| parameter.name == name);
        let default = default.and_then(|parameter| parameter.default).ok_or(missing)?;
        Ok(default.parse().map_or_else(|_| ParamValue::Text(default.to_owned()), ParamValue::Integer))
    }

    fn bad(&self, parameter: &'static str, problem: impl Into<String>) -> MaskError {
        MaskError::BadValue { mask: self.info.name, parameter, problem: problem.into() }
    }

    fn count<N: TryFrom<i64>>(&self, name: &'static str, least: i64, most: i64) -> Result<N, MaskError> {
        let problem = || self.bad(name, format!("must be a whole number from {least} to {most}"));
        match self.value(name)? {
            ParamValue::Integer(count) if (least..=most).contains(&count) => N::try_from(count).map_err(|_| problem()),
            ParamValue::Integer(_) | ParamValue::Decimal(_) | ParamValue::Text(_) => Err(problem()),
        }
    }

    fn text(&self, name: &'static str, most: usize) -> Result<Arc<str>, MaskError> {
        let text = match self.value(name)? {
            ParamValue::Integer(number) => number.to_string(),
            ParamValue::Decimal(text) | ParamValue::Text(text) => text,
        };
        if text.contains('\0') {
            return Err(self.bad(name, "must not hold a zero character"));
        }
        if text.chars().count() > most {
            return Err(self.bad(name, format!("must not be longer than {most} characters")));
        }
        Ok(text.into())
    }

    fn key(&self) -> Result<Arc<str>, MaskError> {
        match self.value("key")? {
            ParamValue::Text(name) if !name.is_empty() => Ok(name.into()),
            ParamValue::Integer(_) | ParamValue::Decimal(_) | ParamValue::Text(_) => {
                Err(self.bad("key", "must be the name of a key"))
            }
        }
    }

    fn unit(&self, name: &'static str) -> Result<DateUnit, MaskError> {
        let given = match self.value(name)? {
            ParamValue::Text(text) => text,
            ParamValue::Integer(_) | ParamValue::Decimal(_) => String::new(),
        };
        // The single letters are SQL Server's, where `M` is the month and `m` the minute.
        match given.as_str() {
            "Y" => return Ok(DateUnit::Year),
            "M" => return Ok(DateUnit::Month),
            "D" => return Ok(DateUnit::Day),
            "h" => return Ok(DateUnit::Hour),
            _ => {}
        }
        match given.to_ascii_lowercase().as_str() {
            "year" => Ok(DateUnit::Year),
            "month" => Ok(DateUnit::Month),
            "day" => Ok(DateUnit::Day),
            "hour" => Ok(DateUnit::Hour),
            _ => Err(self.bad(name, "must be `year`, `month`, `day` or `hour`")),
        }
    }

    fn step(&self, name: &'static str) -> Result<Arc<str>, MaskError> {
        let written = match self.value(name)? {
            ParamValue::Integer(number) => number.to_string(),
            ParamValue::Decimal(text) | ParamValue::Text(text) => text,
        };
        match Step::parse(&written) {
            Some(_) => Ok(written.into()),
            None => Err(self.bad(name, "must be a number above 0 such as `10` or `0.5`, of up to 15 digits")),
        }
    }
}

/// The name that is near enough to be what was meant.
fn nearest(given: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let most = match given.chars().count() {
        0..=3 => 1,
        4..=8 => 2,
        _ => 3,
    };
    known.map(|name| (distance(given, name), name)).filter(|(far, _)| *far <= most).min().map(|(_, name)| name)
}

/// Levenshtein's distance.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (above, one) in left.chars().enumerate() {
        let mut diagonal = above;
        let mut before = above + 1;
        if let Some(first) = row.first_mut() {
            *first = before;
        }
        for (cell, other) in row.iter_mut().skip(1).zip(right.chars()) {
            let best = (diagonal + usize::from(one != other)).min(before + 1).min(*cell + 1);
            diagonal = *cell;
            *cell = best;
            before = best;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(name: &str, params: &[(&str, ParamValue)]) -> Result<Mask, String> {
        let params: Vec<_> = params.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Mask::build(name, &params).map_err(|error| error.to_string())
    }

    fn text(value: &str) -> ParamValue {
        ParamValue::Text(value.to_owned())
    }

    #[test]
    fn masks_are_built_from_names_and_parameters() {
        let default: Arc<str> = "default".into();
        for (name, params, mask) in [
            ("full", vec![], Mask::Full),
            ("ALWAYS_NULL", vec![], Mask::Nullify),
            ("show_last", vec![("", ParamValue::Integer(2))], Mask::ShowLast(2)),
            ("show_last", vec![], Mask::ShowLast(4)),
            ("last4", vec![], Mask::ShowLast(4)),
            ("phone", vec![("keep", ParamValue::Integer(3))], Mask::Phone { keep: 3 }),
            ("hash", vec![], Mask::Hash { key: default.clone(), digits: 16 }),
            ("sha256", vec![("digits", ParamValue::Integer(64))], Mask::Hash { key: default.clone(), digits: 64 }),
            ("tokenize", vec![("", text("crm"))], Mask::Pseudonym { key: "crm".into() }),
            ("DATE_YEAR_MASK", vec![], Mask::DateTrunc(DateUnit::Year)),
            ("datetime", vec![("", text("M"))], Mask::DateTrunc(DateUnit::Month)),
            ("round", vec![("", ParamValue::Decimal("0.5".to_owned()))], Mask::Round("0.5".into())),
            ("bucket", vec![("", ParamValue::Integer(1000))], Mask::Bucket("1000".into())),
            ("network", vec![("v6", ParamValue::Integer(64))], Mask::Network { v4: 24, v6: 64 }),
            ("confidential", vec![], Mask::Replace("CONFIDENTIAL".into())),
            ("replace", vec![("", ParamValue::Integer(0))], Mask::Replace("0".into())),
            (
                "mask_inner",
                vec![("prefix", ParamValue::Integer(1)), ("suffix", ParamValue::Integer(2))],
                Mask::Partial { prefix: 1, suffix: 2, pad: "***".into() },
            ),
        ] {
            assert_eq!(built(name, &params), Ok(mask), "{name}");
        }
    }

    #[test]
    fn every_mask_of_the_catalogue_can_be_built() {
        for info in CATALOGUE {
            let needed: Vec<(&str, ParamValue)> = match info.name {
                "partial" => vec![("suffix", ParamValue::Integer(2))],
                "date_trunc" => vec![("", text("year"))],
                "round" | "bucket" => vec![("", ParamValue::Integer(10))],
                "replace" => vec![("", text("x"))],
                _ => vec![],
            };
            let mask = built(info.name, &needed).unwrap();
            assert_eq!(mask.name(), info.name);
            assert_eq!(mask.info().keeps_length, mask.keeps_length());
            for alias in info.aliases {
                let needed = if alias.implied.is_empty() { needed.clone() } else { vec![] };
                assert_eq!(built(alias.name, &needed).map(|mask| mask.name()), Ok(info.name), "{}", alias.name);
            }
        }
    }

    #[test]
    fn errors_say_what_is_wrong_and_what_was_meant() {
        for (name, params, message) in [
            ("emial", vec![], "there is no mask `emial`; did you mean `email`?"),
            ("noise", vec![], "there is no mask `noise`"),
            ("email", vec![("keep", text("x"))], "mask `email` takes no parameters"),
            ("email", vec![("", text("x"))], "mask `email` takes no parameters"),
            (
                "hash",
                vec![("digit", ParamValue::Integer(9))],
                "mask `hash` has no parameter `digit`; did you mean `digits`?",
            ),
            (
                "partial",
                vec![("", text("x"))],
                "mask `partial` takes its parameters by name: `prefix`, `suffix`, `pad`",
            ),
            ("partial", vec![], "mask `partial` needs the parameter `prefix`"),
            ("round", vec![], "mask `round` needs the parameter `step`"),
            (
                "hash",
                vec![("digits", ParamValue::Integer(65))],
                "parameter `digits` of mask `hash` must be a whole number from 8 to 64",
            ),
            (
                "show_first",
                vec![("", ParamValue::Integer(4)), ("n", ParamValue::Integer(4))],
                "parameter `count` of mask `show_first` is given twice",
            ),
            (
                "bucket",
                vec![("", ParamValue::Integer(0))],
                "parameter `width` of mask `bucket` must be a number above 0 such as `10` or `0.5`, of up to 15 digits",
            ),
            (
                "date_trunc",
                vec![("", text("week"))],
                "parameter `unit` of mask `date_trunc` must be `year`, `month`, `day` or `hour`",
            ),
        ] {
            assert_eq!(built(name, &params), Err(message.to_owned()), "{name}");
        }
    }
}
