//! Who wraps and unwraps data keys.

use zeroize::Zeroizing;

#[cfg(feature = "aws-kms")]
use super::aws_kms::AwsKms;
use super::kek::{Keks, NotKeks};
use super::keyring::Wrapped;
#[cfg(feature = "pkcs11")]
use super::pkcs11::Token;
#[cfg(feature = "vault")]
use super::vault::Vault;
use crate::config::{FileError, ProviderConfig, read_private};
use crate::crypto::KeyId;

/// A data key in clear. Wiped when it is dropped.
pub(super) type Secret = Zeroizing<[u8; 32]>;

/// Who wraps and unwraps data keys, ready for it. Its methods may wait for others, and so do not belong on a thread that
/// serves sessions.
pub(super) enum Provider {
    Keks(Keks),
    #[cfg(feature = "pkcs11")]
    Token(Token),
    #[cfg(feature = "aws-kms")]
    AwsKms(AwsKms),
    #[cfg(feature = "vault")]
    Vault(Vault),
}

/// Why a key can not be wrapped or unwrapped.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// A file with a secret.
    #[error(transparent)]
    File(#[from] FileError),
    /// The key-encryption key of a setting.
    #[error("keys.kek: {0}")]
    Kek(#[from] NotKeks),
    /// The file with key-encryption keys.
    #[error("{path}: {source}", path = path.display())]
    KekFile {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        source: NotKeks,
    },
    /// No randomness.
    #[error("the operating system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// A key-encryption key that is not here.
    #[error("it was wrapped with {0}, which is not here")]
    OtherKey(String),
    /// What was wrapped is not what it was.
    #[error("the wrapped key is damaged, or was wrapped for another name or id")]
    Damaged,
    /// It can not be reached, or lets nobody in.
    #[error("{0}")]
    Unreachable(String),
    /// It says no.
    #[error("{0}")]
    Refused(String),
    /// A provider that this program does not have.
    #[error("this pgveil was built without provider {0}: build it with --features {0}")]
    NotBuiltIn(&'static str),
}

impl Provider {
    /// Make ready what the settings name.
    pub(super) fn open(config: &ProviderConfig) -> Result<Self, ProviderError> {
        match config {
            ProviderConfig::File { kek_file } => match Keks::parse(&read_private(kek_file)?) {
                Ok(keks) => Ok(Self::Keks(keks)),
                Err(source) => Err(ProviderError::KekFile { path: kek_file.clone(), source }),
            },
            ProviderConfig::Env { kek } => Ok(Self::Keks(Keks::parse(kek.expose())?)),
            #[cfg(feature = "pkcs11")]
            ProviderConfig::Pkcs11(config) => Token::open(config).map(Self::Token),
            #[cfg(not(feature = "pkcs11"))]
            ProviderConfig::Pkcs11(_) => Err(ProviderError::NotBuiltIn("pkcs11")),
            #[cfg(feature = "aws-kms")]
            ProviderConfig::AwsKms(config) => AwsKms::open(config).map(Self::AwsKms),
            #[cfg(not(feature = "aws-kms"))]
            ProviderConfig::AwsKms(_) => Err(ProviderError::NotBuiltIn("aws-kms")),
            #[cfg(feature = "vault")]
            ProviderConfig::Vault(config) => Vault::open(config).map(Self::Vault),
            #[cfg(not(feature = "vault"))]
            ProviderConfig::Vault(_) => Err(ProviderError::NotBuiltIn("vault")),
        }
    }

    /// Make the key that wraps, where that is for pgveil to do and there is none.
    pub(super) fn prepare(&self) -> Result<(), ProviderError> {
        match self {
            Self::Keks(_) => Ok(()),
            #[cfg(feature = "pkcs11")]
            Self::Token(token) => token.prepare(),
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(_) => Ok(()),
            #[cfg(feature = "vault")]
            Self::Vault(_) => Ok(()),
        }
    }

    /// Wrap a data key, bound to its name and id.
    pub(super) fn wrap(&self, name: &str, id: KeyId, secret: &Secret) -> Result<Wrapped, ProviderError> {
        match self {
            Self::Keks(keks) => keks.wrap(name, id, secret),
            #[cfg(feature = "pkcs11")]
            Self::Token(token) => token.wrap(name, id, secret),
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(kms) => kms.wrap(name, id, secret),
            #[cfg(feature = "vault")]
            Self::Vault(vault) => vault.wrap(name, id, secret),
        }
    }

    /// The data key that was wrapped for that name and id.
    pub(super) fn unwrap(&self, name: &str, id: KeyId, wrapped: &Wrapped) -> Result<Secret, ProviderError> {
        match self {
            Self::Keks(keks) => keks.unwrap(name, id, wrapped),
            #[cfg(feature = "pkcs11")]
            Self::Token(token) => token.unwrap(name, id, wrapped),
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(kms) => kms.unwrap(name, id, wrapped),
            #[cfg(feature = "vault")]
            Self::Vault(vault) => vault.unwrap(name, id, wrapped),
        }
    }
}

/// What a wrapped key is bound to, where its provider can bind it: `pgveil wrapped key v1`, the name with its length before
/// it as 8 bytes, the id.
pub(super) fn associated_data(name: &str, id: KeyId) -> Vec<u8> {
    [b"pgveil wrapped key v1", &(name.len() as u64).to_be_bytes()[..], name.as_bytes(), &id.0].concat()
}
