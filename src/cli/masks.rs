//! `pgveil masks`: what masks there are, and what each says of itself.

use std::fmt::Write as _;

use crate::mask::{CATALOGUE, MaskInfo};

/// The catalogue of masks as text for a terminal of 80 columns or more.
pub(super) fn table() -> String {
    let mut text = String::new();
    for info in CATALOGUE {
        // Writing to a String does not fail.
        let _written = describe(&mut text, info);
    }
    text
}

fn describe(out: &mut String, info: &MaskInfo) -> std::fmt::Result {
    let MaskInfo { name, aliases, parameters, main: _, types, description, deterministic, reversible, keeps_length } =
        info;
    let yes = |answer: &bool| if *answer { "yes" } else { "no" };
    writeln!(out, "{name}: {description}")?;
    writeln!(out, "    types          {types}")?;
    writeln!(
        out,
        "    deterministic  {}, reversible {}, keeps length {}",
        yes(deterministic),
        yes(reversible),
        yes(keeps_length)
    )?;
    for parameter in *parameters {
        let default =
            parameter.default.map_or_else(|| "must be given".to_owned(), |value| format!("default {value:?}"));
        writeln!(out, "    {:<14} {} ({default})", parameter.name, parameter.description)?;
    }
    if !aliases.is_empty() {
        let names: Vec<_> = aliases.iter().map(|alias| alias.name).collect();
        writeln!(out, "    also known as  {}", names.join(", "))?;
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mask_is_described() {
        let shown = table();
        for info in CATALOGUE {
            assert!(shown.contains(&format!("{}: {}", info.name, info.description)), "{}", info.name);
        }
    }
}
