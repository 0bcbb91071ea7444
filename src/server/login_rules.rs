//! Reads the files that say who may log in, and how.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::login::{NameMap, RuleError, Rules};

/// Why the rules of logins can not be used.
#[derive(Debug, thiserror::Error)]
pub enum LoginRulesError {
    /// A file can not be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A line is wrong.
    #[error("{}:{fault}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        fault: RuleError,
    },
    /// Client certificates are wanted that nobody asks for.
    #[error("{}: rules with cert or clientcert need an authority to verify certificates with: set tls.client_ca", path.display())]
    NoAuthority {
        /// The file.
        path: PathBuf,
    },
}

/// Read the files that `login.hba_file` and `login.ident_file` name. Without the former every login is relayed.
///
/// # Errors
/// A file can not be read or is wrong, or the rules need what the other settings do not give.
pub fn read_login_rules(config: &Config) -> Result<Rules, LoginRulesError> {
    let Some(path) = &config.login.hba_file else { return Ok(Rules::default()) };
    let map = match &config.login.ident_file {
        Some(path) => NameMap::parse(&read(path)?).map_err(wrong(path))?,
        None => NameMap::default(),
    };
    let rules = Rules::parse(&read(path)?, map).map_err(wrong(path))?;
    let asked_for = config.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    if rules.want_certificates() && !asked_for {
        return Err(LoginRulesError::NoAuthority { path: path.clone() });
    }
    Ok(rules)
}

fn read(path: &Path) -> Result<String, LoginRulesError> {
    std::fs::read_to_string(path).map_err(|source| LoginRulesError::Unreadable { path: path.to_owned(), source })
}

fn wrong(path: &Path) -> impl Fn(RuleError) -> LoginRulesError {
    move |fault| LoginRulesError::Wrong { path: path.to_owned(), fault }
}
