//! A token with a PKCS #11 module, such as an HSM: data keys are encrypted with an AES key that never leaves it.
//!
//! A wrapped data key is `nonce(12) ‖ ciphertext(32) ‖ tag(16)`, in base64: CKM_AES_GCM (PKCS #11 3.0, section 2.13) with a
//! random nonce and a tag of 128 bits. Associated data is as for key-encryption keys that pgveil holds itself (`kek`). Which
//! key it was is written beside it, by its label.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use zeroize::{Zeroize as _, Zeroizing};

use super::keyring::Wrapped;
use super::provider::{ProviderError, Secret, associated_data};
use crate::config::{Pkcs11Config, read_private};
use crate::crypto::KeyId;

const NONCE_BYTES: usize = 12;
const TAG_BITS: u64 = 128;
/// What stands before a key's label.
const BY: &str = "PKCS #11 key ";

/// A token that somebody has logged in to.
pub(super) struct Token {
    session: Session,
    /// The label of the key that wraps.
    key: String,
}

impl Token {
    /// Load the module, and log in to the token.
    pub(super) fn open(config: &Pkcs11Config) -> Result<Self, ProviderError> {
        let pin = Zeroizing::new(read_private(&config.pin_file)?.trim_end_matches(['\r', '\n']).to_owned());
        let failed = |error: Error| ProviderError::Unreachable(format!("PKCS #11 token {:?}: {error}", config.token));
        let module = Pkcs11::new(&config.module).map_err(|error| {
            ProviderError::Unreachable(format!(
                "{}: it can not be used as a PKCS #11 module: {error}",
                config.module.display()
            ))
        })?;
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // This process has done so before.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(failed(error)),
        }
        let mut found = None;
        for slot in module.get_slots_with_initialized_token().map_err(failed)? {
            if module.get_token_info(slot).map_err(failed)?.label().trim_end() == config.token {
                found = Some(slot);
            }
        }
        let Some(slot) = found else {
            return Err(ProviderError::Unreachable(format!("no PKCS #11 token has the label {:?}", config.token)));
        };
        // Keys are only made by `prepare`, but some modules do not let sessions of both kinds log in.
        let session = module.open_rw_session(slot).map_err(failed)?;
        match session.login(UserType::User, Some(&AuthPin::from(pin.as_str()))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => return Err(failed(error)),
        }
        Ok(Self { session, key: config.key.clone() })
    }

    /// Make the key that wraps, unless there is one.
    pub(super) fn prepare(&self) -> Result<(), ProviderError> {
        match self.find(&self.key) {
            Err(ProviderError::OtherKey(_)) => {}
            found => return found.map(|_| ()),
        }
        let template = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::ValueLen(32.into()),
            Attribute::Label(self.key.clone().into_bytes()),
        ];
        self.session.generate_key(&Mechanism::AesKeyGen, &template).map(|_| ()).map_err(refused)
    }

    pub(super) fn wrap(&self, name: &str, id: KeyId, secret: &Secret) -> Result<Wrapped, ProviderError> {
        let key = self.find(&self.key)?;
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        let (mut given, associated) = (nonce, associated_data(name, id));
        let parameters = GcmParams::new(&mut given, &associated, TAG_BITS.into()).map_err(refused)?;
        let sealed = self.session.encrypt(&Mechanism::AesGcm(parameters), key, &secret[..]).map_err(refused)?;
        if given != nonce {
            return Err(ProviderError::Refused("the PKCS #11 token takes no nonces for CKM_AES_GCM".to_owned()));
        }
        Ok(Wrapped { by: format!("{BY}{}", self.key), key: STANDARD.encode([&nonce[..], &sealed].concat()) })
    }

    pub(super) fn unwrap(&self, name: &str, id: KeyId, wrapped: &Wrapped) -> Result<Secret, ProviderError> {
        let label = wrapped.by.strip_prefix(BY).ok_or_else(|| ProviderError::OtherKey(wrapped.by.clone()))?;
        let key = self.find(label)?;
        let bytes = STANDARD.decode(&wrapped.key).map_err(|_| ProviderError::Damaged)?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(ProviderError::Damaged)?;
        let (mut nonce, associated) = (*nonce, associated_data(name, id));
        let parameters = GcmParams::new(&mut nonce, &associated, TAG_BITS.into()).map_err(refused)?;
        let mut opened = match self.session.decrypt(&Mechanism::AesGcm(parameters), key, sealed) {
            Ok(opened) => opened,
            // Modules have different words for a tag that does not fit.
            Err(Error::Pkcs11(
                RvError::EncryptedDataInvalid
                | RvError::EncryptedDataLenRange
                | RvError::GeneralError
                | RvError::FunctionFailed,
                _,
            )) => return Err(ProviderError::Damaged),
            Err(error) => return Err(refused(error)),
        };
        let secret = <[u8; 32]>::try_from(&opened[..]).map(Zeroizing::new);
        opened.zeroize();
        secret.map_err(|_| ProviderError::Damaged)
    }

    /// The AES key of that label.
    fn find(&self, label: &str) -> Result<ObjectHandle, ProviderError> {
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Label(label.as_bytes().to_vec()),
        ];
        let found = self.session.find_objects(&template).map_err(refused)?;
        match *found {
            [key] => Ok(key),
            [] => Err(ProviderError::OtherKey(format!("{BY}{label}"))),
            _ => {
                Err(ProviderError::Refused(format!("the PKCS #11 token has several AES keys with the label {label:?}")))
            }
        }
    }
}

fn refused(error: Error) -> ProviderError {
    ProviderError::Refused(format!("the PKCS #11 token refuses: {error}"))
}
