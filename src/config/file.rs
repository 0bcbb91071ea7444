//! Reading files that settings are in or that settings name.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::settings::Settings;
use super::value::Secret;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can not be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// It does not hold what it should.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong, with the offending line where that holds no secret.
        message: String,
    },
    /// Others can read it.
    #[error("{}: a file with secrets must be readable by its owner only (mode {mode:04o}): chmod 600 it", path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is somebody else's.
    #[error("{}: belongs to user {owner}, pgveil runs as user {own_user}: run it as the file's owner, or chown the file", path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is, as a number.
        owner: u32,
        /// Who this process runs as.
        own_user: u32,
    },
}

/// Read a settings file. Relative paths in it are taken from its directory.
///
/// # Errors
/// It can not be read, is not TOML, has an unknown key or a value that is not allowed.
pub fn read_settings(path: &Path) -> Result<Settings, FileError> {
    let text = read(path)?;
    let mut settings = parse(path, &text)?;
    settings.relative_to(path.parent().unwrap_or_else(|| Path::new("")));
    Ok(settings)
}

fn parse(path: &Path, text: &str) -> Result<Settings, FileError> {
    toml::from_str(text).map_err(|error| {
        let (line, column) = place(text, error.span().map_or(0, |span| span.start));
        let shown = line_at(text, line).trim_start();
        let bare = shown.trim_start_matches("keys.").trim_start_matches("alerts.").trim_start_matches("state.");
        let secret = ["password", "kek", "secret", "dsn"].iter().any(|name| bare.starts_with(name))
            // also within an inline table, as of a sink of the access log
            || ["password =", "password=", "token =", "token=", "secret"].iter().any(|name| shown.contains(name));
        let mut message = error.message().trim_end().to_owned();
        if !secret {
            push_line(&mut message, line_at(text, line), line, column);
        }
        FileError::Wrong { path: path.to_owned(), line, column, message }
    })
}

/// Show a line with a caret under the column.
fn push_line(message: &mut String, text: &str, line: usize, column: usize) {
    let margin = " ".repeat(line.to_string().len());
    let before: String =
        text.chars().take(column.saturating_sub(1)).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    message.push_str(&format!("\n{margin} |\n{line} | {text}\n{margin} | {before}^"));
}

fn line_at(text: &str, line: usize) -> &str {
    text.lines().nth(line.saturating_sub(1)).unwrap_or_default()
}

/// Line and column, both from 1, of a byte.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// The keys of keyed masks by their names. Its memory is overwritten when it is dropped.
#[derive(Default)]
pub struct MaskKeyFile(pub BTreeMap<String, Zeroizing<[u8; 32]>>);

impl fmt::Debug for MaskKeyFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} mask keys", self.0.len())
    }
}

/// Read the keys of keyed masks: TOML, `name = "64 hexadecimal digits"`.
///
/// # Errors
/// It can not be read, others than its owner can read it, or a key is not 32 bytes. No message holds a part of a key.
pub fn read_mask_keys(path: &Path) -> Result<MaskKeyFile, FileError> {
    only_owner_reads(path)?;
    let text = Zeroizing::new(read(path)?);
    let wrong = |at: usize, message: String| {
        let (line, column) = place(&text, at);
        FileError::Wrong { path: path.to_owned(), line, column, message }
    };
    let read: BTreeMap<String, toml::Spanned<String>> = toml::from_str(&text).map_err(|error| {
        // The parser's own message can quote the file.
        wrong(
            error.span().map_or(0, |span| span.start),
            "expected lines of name = \"64 hexadecimal digits\"".to_owned(),
        )
    })?;
    let mut keys = BTreeMap::new();
    for (name, digits) in read {
        let at = digits.span().start;
        let digits = Zeroizing::new(digits.into_inner());
        let key = key_bytes(&digits)
            .ok_or_else(|| wrong(at, format!("key {name:?} must be 64 hexadecimal digits (32 bytes)")))?;
        keys.insert(name, key);
    }
    Ok(MaskKeyFile(keys))
}

fn key_bytes(digits: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    if digits.len() != 2 * key.len() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(key)
}

/// A key that tokens are checked with.
pub struct ActorKeyEntry {
    /// Its name in the policy.
    pub name: String,
    /// `HS256`, `RS256`, `ES256`, `EdDSA`.
    pub algorithm: String,
    /// The secret, or the public key in PEM.
    pub key: Zeroizing<Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActorKeyForm {
    algorithm: String,
    secret: Option<String>,
    public_key: Option<String>,
}

/// Read the keys that tokens of asserted end users are checked with: TOML, for each a table `[name]` with `algorithm`, and
/// `secret` (base64, for HS256) or `public_key` (PEM).
///
/// # Errors
/// It can not be read, others than its owner can read it, or it is not of that form. No message holds a part of a key.
pub fn read_actor_keys(path: &Path) -> Result<Vec<ActorKeyEntry>, FileError> {
    only_owner_reads(path)?;
    let text = Zeroizing::new(read(path)?);
    let wrong = |at: usize, message: String| {
        let (line, column) = place(&text, at);
        FileError::Wrong { path: path.to_owned(), line, column, message }
    };
    let form = "expected tables of a name with algorithm and secret or public_key";
    let read: BTreeMap<String, toml::Spanned<ActorKeyForm>> =
        toml::from_str(&text).map_err(|error| wrong(error.span().map_or(0, |span| span.start), form.to_owned()))?;
    let mut keys = Vec::new();
    for (name, entry) in read {
        let at = entry.span().start;
        let ActorKeyForm { algorithm, secret, public_key } = entry.into_inner();
        let key = match (secret.map(Zeroizing::new), public_key) {
            (Some(secret), None) => base64::engine::general_purpose::STANDARD.decode(secret.as_bytes()).ok(),
            (None, Some(pem)) => Some(pem.into_bytes()),
            _ => None,
        };
        let key =
            key.ok_or_else(|| wrong(at, format!("key {name:?} needs a secret in base64, or a public_key in PEM")))?;
        keys.push(ActorKeyEntry { name, algorithm, key: Zeroizing::new(key) });
    }
    Ok(keys)
}

/// Read the secrets of one-time codes: TOML, `name = "base32"`.
///
/// # Errors
/// It can not be read, others than its owner can read it, or it is not of that form. No message holds a part of a secret.
pub fn read_totp_secrets(path: &Path) -> Result<BTreeMap<String, Zeroizing<String>>, FileError> {
    only_owner_reads(path)?;
    let text = Zeroizing::new(read(path)?);
    let read: BTreeMap<String, String> = toml::from_str(&text).map_err(|error| {
        let (line, column) = place(&text, error.span().map_or(0, |span| span.start));
        let message = "expected lines of \"name\" = \"base32\"".to_owned();
        FileError::Wrong { path: path.to_owned(), line, column, message }
    })?;
    Ok(read.into_iter().map(|(name, secret)| (name, Zeroizing::new(secret))).collect())
}

/// Read a file that holds one secret; a line end after it is not part of it.
pub(super) fn read_secret(path: &Path) -> Result<Secret, FileError> {
    only_owner_reads(path)?;
    let text = Zeroizing::new(read(path)?);
    Ok(Secret::from(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Read a file that holds secrets, which has to be this user's or root's, and unreadable to others.
///
/// # Errors
/// It can not be read, others than its owner can read it, or somebody else owns it.
pub fn read_private(path: &Path) -> Result<Zeroizing<String>, FileError> {
    only_owner_reads(path)?;
    let unreadable = |source| FileError::Unreadable { path: path.to_owned(), source };
    let (owner, own_user) = (std::fs::metadata(path).map_err(unreadable)?.uid(), own_user().map_err(unreadable)?);
    if owner != 0 && owner != own_user {
        return Err(FileError::Owner { path: path.to_owned(), owner, own_user });
    }
    Ok(Zeroizing::new(read(path)?))
}

/// The user that this process runs as.
fn own_user() -> io::Result<u32> {
    Ok(std::fs::metadata("/proc/self")?.uid())
}

/// As PostgreSQL with its own keys: readable by its owner only; or, where root owns it and pgveil is not root, also by
/// a group, which is how orchestrators mount secrets.
fn only_owner_reads(path: &Path) -> Result<(), FileError> {
    let unreadable = |source| FileError::Unreadable { path: path.to_owned(), source };
    let found = std::fs::metadata(path).map_err(unreadable)?;
    let own_user = own_user().map_err(unreadable)?;
    if is_private(found.mode(), found.uid(), own_user) {
        Ok(())
    } else {
        Err(FileError::Permissions { path: path.to_owned(), mode: found.mode() & 0o777 })
    }
}

fn is_private(mode: u32, owner: u32, own_user: u32) -> bool {
    let forbidden = if owner == 0 && own_user != 0 { 0o037 } else { 0o077 };
    mode & forbidden == 0
}

fn read(path: &Path) -> Result<String, FileError> {
    std::fs::read_to_string(path).map_err(|source| FileError::Unreadable { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn error(text: &str) -> String {
        parse(Path::new("pgveil.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn errors_name_the_place_and_what_is_allowed() {
        for (text, expected) in [
            (
                "listen = \"127.0.0.1:1\"\nlisten_adress = 5\n",
                "pgveil.toml:2:1: unknown field `listen_adress`, expected one of `listen`, `admin_listen`, `policies`, \
                 `mask_keys_file`, `actor_keys_file`, `totp_file`, `reveal_state_file`, `workers`, `max_connections`, \
                 `startup_timeout_ms`, `drain_timeout_ms`, `reuse_port`, \
                 `tcp`, `upstream`, `catalog`, `login`, `tls`, `keys`, `state`, `alerts`, `access_log`, `log`\n  |\n2 | listen_adress = 5\n  | ^",
            ),
            (
                "[upstream]\nsslmode = \"verify\"\n",
                "pgveil.toml:2:11: unknown variant `verify`, expected one of `disable`, `prefer`, `require`, \
                 `verify-ca`, `verify-full`\n  |\n2 | sslmode = \"verify\"\n  |           ^",
            ),
            (
                "listen = \"6432\"",
                "pgveil.toml:1:10: expected an IP address and a port, such as 127.0.0.1:6432 or [::1]:6432\n  |\n1 | \
                 listen = \"6432\"\n  |          ^",
            ),
            (
                "[upstream]\nport = 70000",
                "pgveil.toml:2:8: invalid value: integer `70000`, expected u16\n  |\n2 | port = 70000\n  |        ^",
            ),
        ] {
            assert_eq!(error(text), expected);
        }
    }

    #[test]
    fn a_line_with_a_password_is_not_shown() {
        let shown = error("[catalog]\npassword = [\"hunter2\"]\n");
        assert!(shown.starts_with("pgveil.toml:2:12: ") && !shown.contains("hunter2"), "{shown}");
        let shown = error("[[access_log.ship]]\nname = \"a\"\nnats = { token = \"hunter2\" }\n");
        assert!(shown.starts_with("pgveil.toml:3:") && !shown.contains("hunter2"), "{shown}");
    }

    /// A directory of its own, removed at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("pgveil-config-{}", uuid::Uuid::now_v7()));
            std::fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _left = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn paths_in_a_file_are_taken_from_its_directory() {
        let scratch = Scratch::new();
        let text = "policies = [\"policies\", \"/abs.yaml\"]\n[tls]\nkey = \"key.pem\"\n[upstream]\nsslrootcert = \"system\"\n";
        let settings = read_settings(&scratch.file("pgveil.toml", text, 0o644)).unwrap();
        assert_eq!(settings.policies.unwrap(), [scratch.0.join("policies"), "/abs.yaml".into()]);
        assert_eq!(settings.tls.key.unwrap(), scratch.0.join("key.pem"));
        assert_eq!(settings.upstream.sslrootcert, Some(crate::config::RootCertificates::System));
    }

    #[test]
    fn mask_keys_are_32_bytes_that_only_their_owner_reads() {
        let scratch = Scratch::new();
        let key = "0f".repeat(32);
        let good = format!("first = \"{key}\"\n");
        assert_eq!(*read_mask_keys(&scratch.file("good", &good, 0o600)).unwrap().0["first"], [15; 32]);
        for (name, text, mode, expected) in [
            ("open", good.as_str(), 0o640, "(mode 0640): chmod 600 it"),
            (
                "short",
                "\n  first = \"0f0f\"\n",
                0o600,
                "short:2:11: key \"first\" must be 64 hexadecimal digits (32 bytes)",
            ),
            ("number", "first = 15151515\n", 0o600, "number:1:9: expected lines of name = \"64 hexadecimal digits\""),
        ] {
            let shown = read_mask_keys(&scratch.file(name, text, mode)).unwrap_err().to_string();
            assert!(shown.ends_with(expected), "{shown}");
            assert!(!shown.contains("0f0f") && !shown.contains("1515"), "{shown}");
        }
    }

    #[test]
    fn a_group_may_read_what_root_mounts_for_another_user() {
        for (mode, owner, own_user, expected) in [
            (0o600, 1000, 1000, true),
            (0o640, 1000, 1000, false),
            (0o604, 1000, 1000, false),
            (0o640, 0, 1000, true),
            (0o660, 0, 1000, false),
            (0o644, 0, 1000, false),
            (0o640, 0, 0, false),
        ] {
            assert_eq!(is_private(mode, owner, own_user), expected, "{mode:o} of {owner} for {own_user}");
        }
    }

    #[test]
    fn a_secret_s_file_ends_before_its_last_line_end() {
        let scratch = Scratch::new();
        assert_eq!(read_secret(&scratch.file("password", "s3cret \n", 0o400)).unwrap().expose(), "s3cret ");
    }

    #[test]
    fn the_sample_file_is_valid_and_shows_the_defaults() {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/pgveil.toml"));
        let shown = crate::config::Config::complete(read_settings(path).unwrap()).unwrap();
        let least = "policies = [\"policies\"]\ncatalog.database = \"shop\"\n";
        let mut defaults = parse(path, least).unwrap();
        defaults.relative_to(path.parent().unwrap());
        assert_eq!(shown.to_toml(), crate::config::Config::complete(defaults).unwrap().to_toml());
    }
}
