//! One value: from plaintext to envelope, from an older key to the newest, and back.

use bytes::BytesMut;
use zeroize::Zeroizing;

use super::stored::StoredType;
use super::table::quoted;
use crate::catalog::Oid;
use crate::crypto::{
    BlindIndex, Bound, DataKey, Envelope, KeyError, KeyId, KeyRing, Mode, Nonce, OpenError, is_envelope, text_form,
};
use crate::policy::{Encryption, Tenant};
use crate::value::{Scalar, TextForms, read, write};
use crate::wire::Format;

/// `pg_type.oid` of `bytea`.
const BYTEA: Oid = Oid(17);

/// What is to become of the values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// Everything becomes an envelope under the key in force.
    Encrypt,
    /// Envelopes become envelopes under the key in force; plaintext is left alone.
    Reseal,
    /// Envelopes become plaintext.
    Decrypt,
}

/// Why a value stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub(super) enum Trouble {
    #[error("it is plaintext")]
    Plaintext,
    #[error("it is no value of the type that the policy declares")]
    NotOfType,
    #[error("it is damaged, cut off, or moved here from a column of another domain or another tenant")]
    Damaged,
    #[error("it is sealed with a key that is not this column's")]
    Foreign,
    #[error("it is sealed with a version of the key that is not available")]
    Unavailable,
    #[error("it is sealed with a version of the key that was destroyed")]
    Destroyed,
    #[error("it opens, but is not of the mode and version of the key that equal values are found under")]
    NotComparable,
    #[error("it opens, but its blind index is not that of the value")]
    WrongIndex,
    #[error("the column of its blind index does not have its index")]
    IndexElsewhere,
    #[error("a row with an equal value is there already, and the column is unique")]
    Duplicate,
    #[error("it is too long")]
    TooLong,
    #[error("the column that says whose it is is NULL")]
    NoTenant,
    #[error(
        "it is bound to a setting of the session that writes it: name the column that has what is set (--setting-column)"
    )]
    OfSetting,
}

impl From<OpenError> for Trouble {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::NotAnEnvelope => Self::Plaintext,
            OpenError::Damaged => Self::Damaged,
            OpenError::Foreign(_) => Self::Foreign,
            OpenError::Unavailable(_) => Self::Unavailable,
            OpenError::Destroyed(_) => Self::Destroyed,
        }
    }
}

/// Converts the values of one column.
pub(super) struct Converter<'a> {
    ring: &'a KeyRing,
    key: &'a DataKey,
    encryption: &'a Encryption,
    stored: StoredType,
    direction: Direction,
}

impl<'a> Converter<'a> {
    /// For a column that is stored so.
    ///
    /// # Errors
    /// The key is not there to write with.
    pub(super) fn new(
        ring: &'a KeyRing,
        encryption: &'a Encryption,
        stored: StoredType,
        direction: Direction,
    ) -> Result<Self, KeyError> {
        let key = ring.writing(&encryption.key, encryption.mode)?;
        Ok(Self { ring, key, encryption, stored, direction })
    }

    /// The key in force.
    pub(super) fn key(&self) -> KeyId {
        self.key.id()
    }

    /// The SQL condition that a value of that column is left to be converted.
    pub(super) fn is_left(&self, column: &str) -> String {
        let of_key = self.stored.is_of_key(column, self.key(), self.encryption.mode);
        let is_envelope = self.stored.is_envelope(column);
        match self.direction {
            Direction::Encrypt => format!("NOT ({of_key})"),
            Direction::Reseal => format!("NOT ({of_key}) AND {is_envelope}"),
            Direction::Decrypt => is_envelope,
        }
    }

    /// What a stored value becomes, as it is to be stored. Holds plaintext where the direction is so. `tenant`: what the row
    /// has in [`Self::tenant_text`].
    pub(super) fn convert(&self, stored: &[u8], tenant: Option<&str>) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        let bound = self.bound(tenant)?;
        match self.direction {
            Direction::Encrypt if !is_envelope(stored) => self.sealed(&self.read(stored)?, &bound),
            Direction::Encrypt | Direction::Reseal => self.sealed(&self.opened(stored, &bound)?, &bound),
            Direction::Decrypt => self.written(&self.opened(stored, &bound)?),
        }
    }

    /// The SQL expression for whose the values of a row of that name are, which is what they are bound to; `None`: to nobody, or to a setting.
    pub(super) fn tenant_text(&self) -> Option<String> {
        // Of the types that a tenant may have, the text is what pgveil binds values to.
        self.encryption.tenant_column().map(|column| format!("{}::text", quoted(column.as_str())))
    }

    /// Whether values can be opened here at all: those that are bound to a setting can not.
    pub(super) fn opens(&self) -> bool {
        self.encryption.tenant_setting().is_none()
    }

    /// The key that sealed a stored value, if the value opens and is what the column's values should be. One that is bound to
    /// a setting is not opened: it is an envelope of a key of the column's, and that is all that is known.
    pub(super) fn verified(&self, stored: &[u8], tenant: Option<&str>) -> Result<KeyId, Trouble> {
        let parsed = || Envelope::parse(stored).map_err(|_| Trouble::Damaged);
        if !self.opens() {
            if !is_envelope(stored) {
                return Err(Trouble::Plaintext);
            }
            let id = parsed()?.key();
            let versions = self.ring.versions(&self.encryption.key);
            return if versions.iter().any(|version| version.id == id) { Ok(id) } else { Err(Trouble::Foreign) };
        }
        let bound = self.bound(tenant)?;
        let plaintext = self.opened(stored, &bound)?;
        self.written(&plaintext)?;
        let envelope = parsed()?;
        let name = &self.encryption.key;
        let leaving = self.ring.equality(name).and_then(|equality| equality.leaving);
        let is_comparable = || {
            envelope.mode() == self.encryption.mode && (envelope.key() == self.key() || leaving == Some(envelope.key()))
        };
        match self.encryption.mode {
            Mode::Deterministic | Mode::Indexed if !is_comparable() => Err(Trouble::NotComparable),
            Mode::Indexed if envelope.blind_index() != self.index_of(&plaintext, &bound, envelope.key()) => {
                Err(Trouble::WrongIndex)
            }
            Mode::Deterministic | Mode::Indexed | Mode::Randomized => Ok(envelope.key()),
        }
    }

    /// The blind index of a plaintext under a version of the key.
    fn index_of(&self, plaintext: &[u8], bound: &Bound<'_>, id: KeyId) -> Option<BlindIndex> {
        let mut versions = self.ring.versions(&self.encryption.key).iter();
        let key = versions.find(|version| version.id == id)?.key.as_ref()?;
        Some(key.blind_index(bound, plaintext))
    }

    /// Whether the column of the blind index has what a stored value says.
    pub(super) fn is_index_of(&self, index: Option<&str>, stored: &[u8]) -> bool {
        let own = Envelope::parse(stored).ok().and_then(|envelope| envelope.blind_index());
        own.map(|own| own.text()).as_deref() == index
    }

    /// The plaintext of an envelope, in the form that is encrypted.
    fn opened(&self, stored: &[u8], bound: &Bound<'_>) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        let mut plaintext = Zeroizing::new(Vec::with_capacity(stored.len()));
        self.ring.open(&self.encryption.key, stored, bound, &mut plaintext)?;
        Ok(plaintext)
    }

    fn read(&self, stored: &[u8]) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        let (given, format) = if self.stored.is_bytes() { (BYTEA, Format::Binary) } else { (Oid(0), Format::Text) };
        let plaintext = read(&self.encryption.plain, given, format, stored, &TextForms::default());
        let plaintext = Zeroizing::new(plaintext.map_err(|_| Trouble::NotOfType)?.to_vec());
        // Nothing may be lost or guessed: blanks that a length cuts off, months and days that are told by a setting.
        let has_to_be_same = matches!(
            self.encryption.plain.scalar,
            Scalar::Text | Scalar::Varchar | Scalar::Date | Scalar::Timestamp | Scalar::TimestampTz
        );
        match has_to_be_same && *self.written(&plaintext)? != *stored {
            true => Err(Trouble::NotOfType),
            false => Ok(plaintext),
        }
    }

    /// A plaintext as a column of plaintext holds it.
    fn written(&self, plaintext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        let format = if self.stored.is_bytes() { Format::Binary } else { Format::Text };
        let mut out = BytesMut::with_capacity(plaintext.len());
        let written = write(&self.encryption.plain, plaintext, format, &TextForms::default(), &mut out);
        written.map(|()| Zeroizing::new(Vec::from(out))).map_err(|_| Trouble::NotOfType)
    }

    fn sealed(&self, plaintext: &[u8], bound: &Bound<'_>) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        let random = || {
            let mut random = [0; 12];
            // The system always has random bytes; without them nothing may be sealed.
            getrandom::fill(&mut random).map_err(|_| Trouble::Unavailable)?;
            Ok::<_, Trouble>(random)
        };
        let nonce = match self.encryption.mode {
            Mode::Deterministic => Nonce::Derived,
            Mode::Randomized => Nonce::Random(random()?),
            Mode::Indexed => Nonce::Indexed(random()?),
        };
        let mut envelope = Vec::new();
        self.key.seal(nonce, bound, plaintext, &mut envelope).map_err(|_| Trouble::TooLong)?;
        let stored = if self.stored.is_bytes() { envelope } else { text_form(&envelope).into_bytes() };
        Ok(Zeroizing::new(stored))
    }

    fn bound<'v>(&'v self, tenant: Option<&'v str>) -> Result<Bound<'v>, Trouble> {
        let tenant = match &self.encryption.tenant {
            None => None,
            Some(Tenant::Column(_)) => Some(tenant.ok_or(Trouble::NoTenant)?.as_bytes()),
            Some(Tenant::Setting(_)) => return Err(Trouble::OfSetting),
        };
        Ok(Bound { domain: &self.encryption.domain, tenant })
    }
}
