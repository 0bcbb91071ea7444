//! Which database users a certificate's name may come as, in the form of `pg_ident.conf`
//! (PostgreSQL manual, section 21.2 "User Name Maps").

use super::RuleError;
use super::token::{Line, Token, lines};

/// Lines of map name, name in the certificate, database user. The first two and the last stand for themselves; the
/// database user `all` stands for every one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameMap {
    lines: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    map: String,
    certificate: String,
    user: Option<String>,
}

impl NameMap {
    /// Read the file's text.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let entries = lines(text)?.iter().map(Entry::parse).collect::<Result<_, _>>()?;
        Ok(Self { lines: entries })
    }

    /// Whether there are lines of this map at all.
    pub(super) fn has(&self, map: &str) -> bool {
        self.lines.iter().any(|entry| entry.map == map)
    }

    /// Whether who shows a certificate of this name may come as this user.
    pub fn allows(&self, map: &str, certificate: &str, user: &str) -> bool {
        self.lines.iter().any(|entry| {
            entry.map == map
                && entry.certificate == certificate
                && entry.user.as_deref().is_none_or(|allowed| allowed == user)
        })
    }
}

impl Entry {
    fn parse(line: &Line) -> Result<Self, RuleError> {
        let [map, certificate, user] = line.fields.as_slice() else {
            return Err(line.error("expected three fields: name of the map, name in the certificate, database user"));
        };
        let user = only(user)?;
        if !user.quoted && user.text.starts_with('+') {
            return Err(user.error("groups can not be named here: name the database user, or all"));
        }
        Ok(Self {
            map: only(map)?.text.clone(),
            certificate: only(certificate)?.text.clone(),
            user: (!user.is("all")).then(|| user.text.clone()),
        })
    }
}

fn only(field: &[Token]) -> Result<&Token, RuleError> {
    match field {
        [token] if !token.quoted && token.text.starts_with('/') => {
            Err(token.error("regular expressions are not supported: write a line for each name"))
        }
        [token] => Ok(token),
        [] => Err(RuleError { line: 1, column: 1, message: "an empty field".to_owned() }),
        [_, second, ..] => Err(second.error("only one name can stand here: write a line for each")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_as_the_users_that_its_lines_allow() {
        let map = NameMap::parse("staff bob.smith bob\nstaff bob.smith \"Robert\"\nadmin root all\n").unwrap();
        for (name, certificate, user, expected) in [
            ("staff", "bob.smith", "bob", true),
            ("staff", "bob.smith", "Robert", true),
            ("staff", "bob.smith", "robert", false),
            ("staff", "bob", "bob", false),
            ("admin", "root", "anybody", true),
            ("admin", "bob.smith", "bob", false),
            ("other", "bob.smith", "bob", false),
        ] {
            assert_eq!(map.allows(name, certificate, user), expected, "{name} {certificate} {user}");
        }
        assert!(map.has("staff") && !map.has("other"));
    }

    #[test]
    fn what_would_be_read_otherwise_than_postgresql_reads_it_is_refused() {
        for (text, expected) in [
            ("staff bob", "1:7: expected three fields: name of the map, name in the certificate, database user"),
            ("staff /^(.*)$ \\1", "1:7: regular expressions are not supported: write a line for each name"),
            ("staff bob +admins", "1:11: groups can not be named here: name the database user, or all"),
            ("staff a,b c", "1:9: only one name can stand here: write a line for each"),
        ] {
            assert_eq!(NameMap::parse(text).unwrap_err().to_string(), expected);
        }
    }
}
