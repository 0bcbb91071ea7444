//! `[keys]`: where the keys of encrypted columns are, and who unwraps them.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::ConfigError;
use super::value::Secret;

/// `[keys]`: the keys of encrypted columns.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeysSettings {
    /// File with the wrapped keys of encrypted columns; `pgveil keys init` makes it
    #[arg(id = "keys.keyring", long = "keys-keyring", env = "PGVEIL_KEYS_KEYRING", value_name = "FILE")]
    pub keyring: Option<PathBuf>,
    /// Who wraps and unwraps them [default: file]
    #[arg(id = "keys.provider", long = "keys-provider", env = "PGVEIL_KEYS_PROVIDER", value_name = "PROVIDER")]
    pub provider: Option<KeyProvider>,
    /// Provider file: the file with the key-encryption key; `pgveil keys init` makes it
    #[arg(id = "keys.kek_file", long = "keys-kek-file", env = "PGVEIL_KEYS_KEK_FILE", value_name = "FILE")]
    pub kek_file: Option<PathBuf>,
    /// Provider env: the key-encryption key itself, 64 hexadecimal digits (others can see flags: set the variable)
    #[arg(id = "keys.kek", long = "keys-kek", env = "PGVEIL_KEYS_KEK", hide_env_values = true, value_name = "DIGITS")]
    pub kek: Option<Secret>,
    /// Provider pkcs11: the module of the token's maker, a shared library
    #[arg(
        id = "keys.pkcs11_module",
        long = "keys-pkcs11-module",
        env = "PGVEIL_KEYS_PKCS11_MODULE",
        value_name = "FILE"
    )]
    pub pkcs11_module: Option<PathBuf>,
    /// Provider pkcs11: the token's label
    #[arg(
        id = "keys.pkcs11_token",
        long = "keys-pkcs11-token",
        env = "PGVEIL_KEYS_PKCS11_TOKEN",
        value_name = "LABEL"
    )]
    pub pkcs11_token: Option<String>,
    /// Provider pkcs11: the label of the AES key in it [default: pgveil]
    #[arg(id = "keys.pkcs11_key", long = "keys-pkcs11-key", env = "PGVEIL_KEYS_PKCS11_KEY", value_name = "LABEL")]
    pub pkcs11_key: Option<String>,
    /// Provider pkcs11: file with the user's PIN
    #[arg(
        id = "keys.pkcs11_pin_file",
        long = "keys-pkcs11-pin-file",
        env = "PGVEIL_KEYS_PKCS11_PIN_FILE",
        value_name = "FILE"
    )]
    pub pkcs11_pin_file: Option<PathBuf>,
    /// Provider aws-kms: id, alias or ARN of the key
    #[arg(id = "keys.aws_key", long = "keys-aws-key", env = "PGVEIL_KEYS_AWS_KEY", value_name = "KEY")]
    pub aws_key: Option<String>,
    /// Provider aws-kms: the region
    #[arg(id = "keys.aws_region", long = "keys-aws-region", env = "PGVEIL_KEYS_AWS_REGION", value_name = "REGION")]
    pub aws_region: Option<String>,
    /// Provider aws-kms: another address than the region's
    #[arg(id = "keys.aws_endpoint", long = "keys-aws-endpoint", env = "PGVEIL_KEYS_AWS_ENDPOINT", value_name = "URL")]
    pub aws_endpoint: Option<String>,
    /// Provider vault: the server's address, as https://HOST:PORT
    #[arg(
        id = "keys.vault_address",
        long = "keys-vault-address",
        env = "PGVEIL_KEYS_VAULT_ADDRESS",
        value_name = "URL"
    )]
    pub vault_address: Option<String>,
    /// Provider vault: path of the transit secrets engine [default: transit]
    #[arg(id = "keys.vault_mount", long = "keys-vault-mount", env = "PGVEIL_KEYS_VAULT_MOUNT", value_name = "PATH")]
    pub vault_mount: Option<String>,
    /// Provider vault: name of the key in it [default: pgveil]
    #[arg(id = "keys.vault_key", long = "keys-vault-key", env = "PGVEIL_KEYS_VAULT_KEY", value_name = "NAME")]
    pub vault_key: Option<String>,
    /// Provider vault: file with the token
    #[arg(
        id = "keys.vault_token_file",
        long = "keys-vault-token-file",
        env = "PGVEIL_KEYS_VAULT_TOKEN_FILE",
        value_name = "FILE"
    )]
    pub vault_token_file: Option<PathBuf>,
}

/// Who wraps and unwraps data keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum KeyProvider {
    /// pgveil, with a key-encryption key in a file.
    #[default]
    File,
    /// pgveil, with a key-encryption key in a setting.
    Env,
    /// A token with a PKCS #11 module, such as an HSM.
    #[value(name = "pkcs11")]
    #[serde(rename = "pkcs11")]
    Pkcs11,
    /// AWS Key Management Service.
    AwsKms,
    /// The transit secrets engine of HashiCorp Vault or OpenBao.
    Vault,
}

/// The keys of encrypted columns.
#[derive(Clone, Debug)]
pub struct KeysConfig {
    /// The file with the wrapped keys.
    pub keyring: PathBuf,
    /// Who unwraps them.
    pub provider: ProviderConfig,
}

/// Who wraps and unwraps data keys, and how it is reached.
#[derive(Clone, Debug)]
pub enum ProviderConfig {
    /// pgveil, with the key-encryption keys of a file.
    File {
        /// The file.
        kek_file: PathBuf,
    },
    /// pgveil, with this key-encryption key, or several with spaces or commas between, of which the first one wraps.
    Env {
        /// Each is 64 hexadecimal digits.
        kek: Secret,
    },
    /// A token with a PKCS #11 module.
    Pkcs11(Pkcs11Config),
    /// AWS Key Management Service.
    AwsKms(AwsKmsConfig),
    /// HashiCorp Vault's transit secrets engine.
    Vault(VaultConfig),
}

/// A token with a PKCS #11 module.
#[derive(Clone, Debug)]
pub struct Pkcs11Config {
    /// The shared library.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// The label of the AES key that wraps.
    pub key: String,
    /// File with the user's PIN.
    pub pin_file: PathBuf,
}

/// AWS Key Management Service. Credentials come from the environment, as for Amazon's own tools.
#[derive(Clone, Debug)]
pub struct AwsKmsConfig {
    /// Id, alias or ARN of the key that wraps.
    pub key: String,
    /// The region.
    pub region: String,
    /// Where it is reached, if not where the region's is.
    pub endpoint: Option<String>,
}

/// HashiCorp Vault's transit secrets engine.
#[derive(Clone, Debug)]
pub struct VaultConfig {
    /// `https://HOST:PORT`.
    pub address: String,
    /// Path of the engine.
    pub mount: String,
    /// Name of the key that wraps.
    pub key: String,
    /// File with the token. It is read anew each time: agents renew it.
    pub token_file: PathBuf,
}

impl KeysSettings {
    /// These settings, and where one is missing that of `below`.
    pub(super) fn or(self, below: Self) -> Self {
        Self {
            keyring: self.keyring.or(below.keyring),
            provider: self.provider.or(below.provider),
            kek_file: self.kek_file.or(below.kek_file),
            kek: self.kek.or(below.kek),
            pkcs11_module: self.pkcs11_module.or(below.pkcs11_module),
            pkcs11_token: self.pkcs11_token.or(below.pkcs11_token),
            pkcs11_key: self.pkcs11_key.or(below.pkcs11_key),
            pkcs11_pin_file: self.pkcs11_pin_file.or(below.pkcs11_pin_file),
            aws_key: self.aws_key.or(below.aws_key),
            aws_region: self.aws_region.or(below.aws_region),
            aws_endpoint: self.aws_endpoint.or(below.aws_endpoint),
            vault_address: self.vault_address.or(below.vault_address),
            vault_mount: self.vault_mount.or(below.vault_mount),
            vault_key: self.vault_key.or(below.vault_key),
            vault_token_file: self.vault_token_file.or(below.vault_token_file),
        }
    }

    /// The paths among them, where they are set.
    pub(super) fn paths(&mut self) -> [&mut Option<PathBuf>; 4] {
        // The module is left as it is: without a slash the system's loader looks for it.
        [&mut self.keyring, &mut self.kek_file, &mut self.pkcs11_pin_file, &mut self.vault_token_file]
    }

    /// Fill in the defaults. `None`: no keyring is named, and no column can be encrypted.
    ///
    /// # Errors
    /// What the provider needs is not set.
    pub fn complete(self) -> Result<Option<KeysConfig>, ConfigError> {
        let Some(keyring) = self.keyring else { return Ok(None) };
        let missing = |setting, help| ConfigError::Missing { setting, help };
        let provider = match self.provider.unwrap_or_default() {
            KeyProvider::File => {
                let help = "name the file with the key-encryption key (--keys-kek-file, PGVEIL_KEYS_KEK_FILE), apart from the \
                     keyring; pgveil keys init makes it";
                let kek_file = self.kek_file.ok_or_else(|| missing("keys.kek_file", help))?;
                if kek_file == keyring {
                    return Err(ConfigError::Conflict {
                        settings: "keys.kek_file and keys.keyring",
                        reason: "keep the key-encryption key apart from what it wraps: name two files",
                    });
                }
                ProviderConfig::File { kek_file }
            }
            KeyProvider::Env => ProviderConfig::Env {
                kek: self.kek.ok_or_else(|| missing("keys.kek", "set PGVEIL_KEYS_KEK: openssl rand -hex 32"))?,
            },
            KeyProvider::Pkcs11 => ProviderConfig::Pkcs11(Pkcs11Config {
                module: self
                    .pkcs11_module
                    .ok_or_else(|| missing("keys.pkcs11_module", "name the shared library of the token's maker"))?,
                token: self.pkcs11_token.ok_or_else(|| missing("keys.pkcs11_token", "name the token by its label"))?,
                key: self.pkcs11_key.unwrap_or_else(|| "pgveil".to_owned()),
                pin_file: self
                    .pkcs11_pin_file
                    .ok_or_else(|| missing("keys.pkcs11_pin_file", "name a file with the user's PIN, mode 0600"))?,
            }),
            KeyProvider::AwsKms => ProviderConfig::AwsKms(AwsKmsConfig {
                key: self.aws_key.ok_or_else(|| missing("keys.aws_key", "name the key by id, alias or ARN"))?,
                region: self.aws_region.ok_or_else(|| missing("keys.aws_region", "name the key's region"))?,
                endpoint: self.aws_endpoint,
            }),
            KeyProvider::Vault => ProviderConfig::Vault(VaultConfig {
                address: self
                    .vault_address
                    .ok_or_else(|| missing("keys.vault_address", "name the server as https://HOST:PORT"))?,
                mount: self.vault_mount.unwrap_or_else(|| "transit".to_owned()),
                key: self.vault_key.unwrap_or_else(|| "pgveil".to_owned()),
                token_file: self
                    .vault_token_file
                    .ok_or_else(|| missing("keys.vault_token_file", "name a file with the token, mode 0600"))?,
            }),
        };
        Ok(Some(KeysConfig { keyring, provider }))
    }
}

impl KeysConfig {
    /// As settings: each with its value, but for secrets.
    pub(super) fn lines(&self) -> Vec<(&'static str, Option<String>)> {
        let path = |path: &Path| Some(path.display().to_string());
        let text = |text: &str| Some(text.to_owned());
        let mut lines = vec![("keyring", path(&self.keyring))];
        match &self.provider {
            ProviderConfig::File { kek_file } => {
                lines.extend([("provider", text("file")), ("kek_file", path(kek_file))])
            }
            ProviderConfig::Env { kek: _ } => lines.extend([("provider", text("env")), ("kek", None)]),
            ProviderConfig::Pkcs11(Pkcs11Config { module, token, key, pin_file }) => lines.extend([
                ("provider", text("pkcs11")),
                ("pkcs11_module", path(module)),
                ("pkcs11_token", text(token)),
                ("pkcs11_key", text(key)),
                ("pkcs11_pin_file", path(pin_file)),
            ]),
            ProviderConfig::AwsKms(AwsKmsConfig { key, region, endpoint }) => {
                lines.extend([("provider", text("aws-kms")), ("aws_key", text(key)), ("aws_region", text(region))]);
                lines.extend(endpoint.as_deref().map(|endpoint| ("aws_endpoint", text(endpoint))));
            }
            ProviderConfig::Vault(VaultConfig { address, mount, key, token_file }) => lines.extend([
                ("provider", text("vault")),
                ("vault_address", text(address)),
                ("vault_mount", text(mount)),
                ("vault_key", text(key)),
                ("vault_token_file", path(token_file)),
            ]),
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(text: &str) -> Result<Option<KeysConfig>, String> {
        toml::from_str::<KeysSettings>(text).unwrap().complete().map_err(|error| error.to_string())
    }

    #[test]
    fn each_provider_says_what_it_lacks() {
        for (text, expected) in [
            ("", "keys.kek_file is not set: name the file with the key-encryption key"),
            ("kek_file = 'k'", "keys.kek_file and keys.keyring: keep the key-encryption key apart"),
            ("provider = 'env'", "keys.kek is not set: set PGVEIL_KEYS_KEK"),
            ("provider = 'pkcs11'", "keys.pkcs11_module is not set"),
            ("provider = 'aws-kms'", "keys.aws_key is not set"),
            ("provider = 'vault'", "keys.vault_address is not set"),
        ] {
            let shown = complete(&format!("keyring = 'k'\n{text}")).unwrap_err();
            assert!(shown.starts_with(expected), "{shown}");
        }
        assert!(complete("provider = 'vault'").unwrap().is_none());
    }

    #[test]
    fn the_key_encryption_key_is_never_shown() {
        let config = complete("keyring = 'k'\nprovider = 'env'\nkek = 'abcdef'").unwrap().unwrap();
        assert!(!format!("{config:?}{:?}", config.lines()).contains("abcdef"));
    }
}
