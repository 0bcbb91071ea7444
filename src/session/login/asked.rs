//! What a startup message asks for.

use crate::catalog::Name;
use crate::sql::PREFIX;
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

/// pgveil's own settings in a startup, in lower case and without their prefix, with their values; and the startup without
/// them, if there are any: the server is told no token.
pub(super) fn own_settings(startup: &Startup) -> (Vec<(String, String)>, Option<Startup>) {
    let (mut own, mut parameters) = (Vec::new(), Vec::new());
    let named = |name: &str| name.to_ascii_lowercase().strip_prefix(PREFIX).map(str::to_owned);
    for (name, value) in &startup.parameters {
        if let Some(setting) = named(&String::from_utf8_lossy(name)) {
            own.push((setting, String::from_utf8_lossy(value).into_owned()));
            continue;
        }
        if name.eq_ignore_ascii_case(b"options") && value.to_ascii_lowercase().windows(7).any(|part| part == b"pgveil.")
        {
            let (found, rest) = options(&String::from_utf8_lossy(value), &named);
            own.extend(found);
            parameters.push((name.clone(), rest.into()));
            continue;
        }
        parameters.push((name.clone(), value.clone()));
    }
    let without = (!own.is_empty()).then(|| Startup { minor: startup.minor, parameters });
    (own, without)
}

/// Options as the server splits them (`pg_split_opts`): blanks separate, a backslash takes the meaning of what is behind it.
/// Those of settings that are meant, and the rest.
fn options(text: &str, named: &dyn Fn(&str) -> Option<String>) -> (Vec<(String, String)>, String) {
    let (mut words, mut word, mut signs) = (Vec::new(), None::<String>, text.chars());
    while let Some(sign) = signs.next() {
        match sign {
            '\\' => word.get_or_insert_default().extend(signs.next()),
            blank if blank.is_ascii_whitespace() => words.extend(word.take()),
            sign => word.get_or_insert_default().push(sign),
        }
    }
    words.extend(word);
    let (mut found, mut rest) = (Vec::new(), Vec::new());
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        let (setting, behind) = match word.as_str() {
            "-c" => (words.peek().cloned(), true),
            other => (other.strip_prefix("--").or_else(|| other.strip_prefix("-c")).map(str::to_owned), false),
        };
        let meant = setting.as_ref().and_then(|setting| {
            let (name, value) = setting.split_once('=')?;
            Some((named(&name.replace('-', "_"))?, value.to_owned()))
        });
        match meant {
            Some(meant) => {
                found.push(meant);
                if behind {
                    words.next();
                }
            }
            None => rest.push(word),
        }
    }
    let escaped = rest.into_iter().map(|word| {
        let escape =
            |sign: char| if sign == '\\' || sign.is_ascii_whitespace() { vec!['\\', sign] } else { vec![sign] };
        word.chars().flat_map(escape).collect::<String>()
    });
    (found, escaped.collect::<Vec<_>>().join(" "))
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
    fn own_settings_are_taken_out_of_a_startup() {
        let startup = |options: &str| Startup {
            minor: 0,
            parameters: vec![("user".into(), "ann".into()), ("options".into(), options.to_owned().into())],
        };
        for (options, expected, rest) in [
            ("-c work_mem=1MB", vec![], "-c work_mem=1MB"),
            ("-c pgveil.actor=jane", vec![("actor", "jane")], ""),
            ("-c a=b -cPGVEIL.Actor=jane -c c=d", vec![("actor", "jane")], "-c a=b -c c=d"),
            ("--pgveil.actor=jane\\ doe --x=y\\ z", vec![("actor", "jane doe")], "--x=y\\ z"),
            ("-c pgveil.reveal=x -c pgveil.actor=j\\=x", vec![("reveal", "x"), ("actor", "j=x")], ""),
        ] {
            let (own, without) = own_settings(&startup(options));
            let own: Vec<_> = own.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(own, expected, "{options}");
            let left = without.unwrap_or_else(|| startup(options));
            assert_eq!(left.parameter("options").map(|it| it.as_ref()), Some(rest.as_bytes()), "{options}");
        }
        let direct = Startup { minor: 0, parameters: vec![("PgVeil.Actor".into(), "jane".into())] };
        assert_eq!(own_settings(&direct).0, [("actor".to_owned(), "jane".to_owned())]);
    }

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
