//! What a startup message asks for.

use crate::catalog::Name;
use crate::wire::startup::Startup;

/// The names of the settings that a startup asks for, and its options: `-` and `_` are the same in these, as on a command line.
pub(super) fn settings(startup: &Startup) -> String {
    let mut settings = String::new();
    for (name, value) in &startup.parameters {
        settings.push_str(&String::from_utf8_lossy(name));
        settings.push(' ');
        if name.eq_ignore_ascii_case(b"options") {
            settings.push_str(&String::from_utf8_lossy(value).replace(['\\', ' '], "").replace('-', "_"));
        }
    }
    settings
}

/// The database that a startup names; by default it is the user's.
pub(super) fn database(startup: &Startup) -> Name {
    let given = startup.parameter("database").filter(|name| !name.is_empty()).or_else(|| startup.parameter("user"));
    Name::exact(&given.map(|name| String::from_utf8_lossy(name).into_owned()).unwrap_or_default())
}

/// How PostgreSQL reads a boolean (`parse_bool`), as far as it is certain.
pub(super) fn is_true(value: &[u8]) -> bool {
    matches!(value.to_ascii_lowercase().as_slice(), b"on" | b"true" | b"yes" | b"1" | b"t" | b"y")
}

pub(super) fn is_false(value: &[u8]) -> bool {
    matches!(value.to_ascii_lowercase().as_slice(), b"off" | b"false" | b"no" | b"0" | b"f" | b"n")
}

/// Whether startup options may turn `standard_conforming_strings` off: any mention but `=on` counts. `-` and `_` are the
/// same in option names, and backslashes may stand before any character.
pub(super) fn turns_off_strings(options: &[u8]) -> bool {
    let plain: Vec<u8> = options
        .iter()
        .filter(|byte| **byte != b'\\')
        .map(|byte| if *byte == b'-' { b'_' } else { byte.to_ascii_lowercase() })
        .collect();
    let name = b"standard_conforming_strings";
    plain.windows(name.len()).enumerate().any(|(at, window)| {
        let after = plain.get(at.saturating_add(name.len())..).unwrap_or_default();
        window == name && !(after.starts_with(b"=on") && after.get(3).is_none_or(u8::is_ascii_whitespace))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_weaken_strings_are_seen_through() {
        for (options, expected) in [
            ("-c search_path=s3,public", false),
            ("-c standard_conforming_strings=on", false),
            ("-c standard_conforming_strings=on -c x=y", false),
            ("-c standard_conforming_strings=off", true),
            ("--standard-conforming-strings=off", true),
            ("-c STANDARD_conforming_strings=0", true),
            ("-c standard_\\conforming_strings=off", true),
            ("-c standard_conforming_strings=only", true),
        ] {
            assert_eq!(turns_off_strings(options.as_bytes()), expected, "{options}");
        }
    }
}
