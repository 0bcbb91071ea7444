//! Masks as a policy writes them: `email`, `{ show_last: 4 }`, `{ partial: { prefix: 1, suffix: 2 } }`.

use std::sync::Arc;

use super::diagnostic::{Diagnostic, Place};
use super::document::MaskEntry;
use super::form::{Reader, listed};
use super::node::{Node, Value, Word};
use super::suggest::closest;
use crate::mask::{self, CATALOGUE, Mask, MaskError, ParamValue};

impl Reader<'_> {
    /// A mask: its name alone, or a mapping of its name to its parameters.
    pub(super) fn mask(&mut self, node: &Node, owner: &Place) -> Option<MaskEntry> {
        let (name, params) = match &node.value {
            // `null` without quotes is another product's name for `nullify`; a value that was left out is none.
            Value::Null if node.place.text() == "null" => {
                (Word { text: "null".to_owned(), place: node.place.clone() }, Vec::new())
            }
            Value::Map(entries) => match entries.as_slice() {
                [(name, params)] => (name.clone(), self.parameters(name, params)?),
                [] | [..] => {
                    let several = Diagnostic::error(owner, "a mask is one name with its parameters");
                    self.report(several.with_help("for example `mask: { partial: { prefix: 1, suffix: 2 } }`"));
                    return None;
                }
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
                (self.word(node, owner, "a mask", "its name, or `{ name: parameters }`")?, Vec::new())
            }
        };
        let given: Vec<(String, ParamValue)> =
            params.iter().map(|parameter| (parameter.name.clone(), parameter.value.clone())).collect();
        match Mask::build(&name.text, &given) {
            Ok(mask) => Some(MaskEntry { mask: Arc::new(mask), place: name.place }),
            Err(error) => {
                self.report(explained(&error, &name, &params));
                None
            }
        }
    }

    fn parameters(&mut self, name: &Word, node: &Node) -> Option<Vec<Parameter>> {
        let what = format!("mask `{}`", name.text);
        if let Value::Null = node.value {
            return Some(Vec::new());
        }
        let Value::Map(_) = node.value else {
            let value = self.parameter_value(node, &name.place, &what)?;
            let place = node.place.clone();
            return Some(vec![Parameter { name: String::new(), key_place: place.clone(), place, value }]);
        };
        let entries = self.entries(node, &name.place, &what)?;
        let mut params = Vec::with_capacity(entries.len());
        for (key, node) in entries {
            let value = self.parameter_value(&node, &key.place, &format!("`{}` of {what}", key.text))?;
            params.push(Parameter { name: key.text, key_place: key.place, place: node.place, value });
        }
        Some(params)
    }

    fn parameter_value(&mut self, node: &Node, owner: &Place, what: &str) -> Option<ParamValue> {
        match &node.value {
            Value::Number(text) => Some(match text.parse() {
                Ok(number) => ParamValue::Integer(number),
                Err(_) => ParamValue::Decimal(text.clone()),
            }),
            Value::Text(text) => Some(ParamValue::Text(text.clone())),
            // `replace: true` for a boolean column.
            Value::Bool(value) => Some(ParamValue::Text(value.to_string())),
            Value::Null | Value::List(_) | Value::Map(_) => {
                let wrong = self.wrong_form(node, owner, what, "a number or a word");
                self.report(wrong);
                None
            }
        }
    }
}

/// A parameter of a mask. The empty name: the bare value of `show_last: 4`.
struct Parameter {
    name: String,
    /// Its name's place.
    key_place: Place,
    /// Its value's place.
    place: Place,
    value: ParamValue,
}

fn explained(error: &MaskError, name: &Word, params: &[Parameter]) -> Diagnostic {
    match error {
        MaskError::UnknownMask { name: given, suggestion } => {
            let names = CATALOGUE
                .iter()
                .flat_map(|mask| std::iter::once(mask.name).chain(mask.aliases.iter().map(|alias| alias.name)));
            let canonical: Vec<&str> = CATALOGUE.iter().map(|mask| mask.name).collect();
            let nearest = closest(given, canonical.iter().copied()).or(*suggestion).or_else(|| closest(given, names));
            Diagnostic::error(&name.place, format!("there is no mask `{given}`"))
                .suggesting(nearest, || Some(format!("the masks are {}", listed(&canonical))))
        }
        MaskError::UnknownParameter { mask, name: given, suggestion } => {
            let known: Vec<&str> = mask::lookup(mask)
                .map(|info| info.parameters.iter().map(|parameter| parameter.name).collect())
                .unwrap_or_default();
            let place = params.iter().find(|parameter| parameter.name == *given).map(|parameter| &parameter.key_place);
            let place = place.unwrap_or(&name.place);
            let message = match (known.as_slice(), given.as_str()) {
                ([], _) => format!("mask `{mask}` takes no parameters"),
                (_, "") => format!("mask `{mask}` takes its parameters by name"),
                (_, given) => format!("mask `{mask}` has no parameter `{given}`"),
            };
            Diagnostic::error(place, message).suggesting(*suggestion, || match known.as_slice() {
                [] => Some(format!("write `{mask}` alone")),
                known => Some(format!("its parameters are {}", listed(known))),
            })
        }
        MaskError::MissingParameter { mask, parameter } => {
            let help = format!("for example `{mask}: {{ {parameter}: ... }}`");
            Diagnostic::error(&name.place, error.to_string()).with_help(help)
        }
        MaskError::BadValue { parameter, .. } => {
            // An alias of the parameter's name, or the bare value, is the only one there if it is not found by name.
            let named = params.iter().find(|given| given.name == *parameter).or_else(|| params.first());
            Diagnostic::error(named.map_or(&name.place, |given| &given.place), error.to_string())
        }
    }
}
