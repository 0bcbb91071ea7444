//! What a value is encrypted for, and what the server gets in its place.

use std::sync::Arc;

use super::Means;
use super::tenants::{self, TenantSource};
use crate::catalog::Oid;
use crate::crypto::{Bound, DataKey, KeyError, KeyRing, Mode, Nonce, NonceSource, text_form};
use crate::plan::{KeyOfColumn, Refusal};
use crate::policy::{Encryption, Stored};
use crate::value::{
    PlainType, Plaintext, TextForms, ValueError, read, read_array, read_cast, read_operand, write, write_array,
};
use crate::wire::Format;

/// What a value is encrypted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How the column is kept.
    pub encryption: Arc<Encryption>,
    /// `schema.table.column`, for messages.
    pub column: Arc<str>,
    /// Whether the server has the column as `bytea`, not as text.
    pub(super) bytes: bool,
    /// Whether the value is an array of which each element is compared.
    pub(super) elements: bool,
    /// Whether it is stored, not compared.
    pub(super) stores: bool,
    /// Whether it is shown in the place of the column's values, not compared: the server has it as the text of the plaintext.
    pub(super) shows: bool,
    /// Whether it is compared in a place where there is one form of it: in a row that the statement makes up, in a function, or as
    /// it is stored.
    pub(super) one_form: bool,
    /// The relation that the column is one of.
    pub(super) relation: Oid,
    /// Whose it is; `None`: it is bound to nobody.
    pub(super) tenant: Option<TenantSource>,
}

/// In which form a value is given to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copy {
    /// As an envelope under the key of that place among those that equal values may be stored under.
    Sealed(usize),
    /// As its blind index under the key of that place.
    Index(usize),
    /// As plaintext: rows that are not converted yet are compared with it.
    Plain,
}

/// A value that a client gives.
pub(super) struct Value<'a> {
    pub(super) given: Oid,
    pub(super) format: Format,
    pub(super) bytes: &'a [u8],
}

impl Target {
    /// Whether the value is looked for by its blind index.
    pub(super) fn is_indexed(&self) -> bool {
        !(self.stores || self.shows) && self.encryption.mode == Mode::Indexed
    }

    /// The forms that a value has to be given to the server in, so that all rows are found.
    pub(super) fn copies(&self, ring: &KeyRing) -> Result<Vec<Copy>, Refusal> {
        if self.shows {
            return Ok(vec![Copy::Plain]);
        }
        if self.stores && !self.one_form {
            return Ok(vec![Copy::Sealed(0)]);
        }
        let keys = ring.comparing(&self.encryption.key).map_err(|error| self.key_refusal(error))?;
        if self.is_indexed() {
            return Ok((0..keys.len().max(1)).map(Copy::Index).collect());
        }
        let sealed = (0..keys.len().max(1)).map(Copy::Sealed);
        let plain = (self.encryption.stored == Stored::Mixed).then_some(Copy::Plain);
        let forms: Vec<Copy> = sealed.chain(plain).collect();
        if self.one_form && forms.len() > 1 {
            let what = "while it is being converted, or its keys are moved, comparing it with a value in this place is";
            let hint =
                "Compare it with the value itself: `column = value`; or wait until `pgveil encrypt run` is done.";
            return Err(Refusal::encrypted(&self.column, what, hint));
        }
        Ok(forms)
    }

    /// What the server gets for a value, as the text of the stored type.
    pub(super) fn stored(
        &self,
        value: &Value<'_>,
        casts: &[PlainType],
        (copy, tenant): (Copy, Option<&[u8]>),
        means: &mut Means<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        if self.elements {
            // What is stored has to fit the column; what is read of an array is not held against its length. A cast cuts it.
            let of = casts.first().unwrap_or(&self.encryption.plain);
            let unlimited = PlainType { modifier: -1, ..of.clone() };
            let compared = casts.is_empty() && !self.stores;
            let of = if compared { of } else { &unlimited };
            let elements =
                read_array(of, value.format, value.bytes, means.forms).map_err(|error| self.refusal(&error))?;
            let mut sealed = Vec::with_capacity(elements.len());
            for element in &elements {
                sealed.push(match element {
                    None => None,
                    Some(plaintext) if compared => Some(self.form(plaintext, (copy, tenant), means)?),
                    Some(plaintext) => {
                        let converted = self.converted((of, casts), plaintext, means.forms)?;
                        Some(self.form(&converted, (copy, tenant), means)?)
                    }
                });
            }
            let mut array = bytes::BytesMut::new();
            write_array(&sealed, Oid(0), Format::Text, &mut array).map_err(|error| self.refusal(&error))?;
            return Ok(array.to_vec());
        }
        let plaintext = self.plaintext(value, casts, means.forms)?;
        self.form(&plaintext, (copy, tenant), means)
    }

    /// Whether it is known now whose a value is. `later`: it is prepared now, to run later.
    pub(super) fn is_settled(&self, later: bool) -> bool {
        self.tenant.as_ref().is_none_or(|tenant| tenant.is_settled(later))
    }

    /// Whose a value is; `None`: it is bound to nobody. `value`: of parameters, by their numbers.
    pub(super) fn tenant_of<'v>(
        &self,
        value: &impl Fn(u32) -> Option<tenants::ParameterValue<'v>>,
        means: &mut Means<'_>,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        let tenant = self.tenant.as_ref().map(|tenant| tenant.tenant(value, &self.column, means));
        tenant.transpose()
    }

    /// The plaintext of a value, by way of the types that the statement casts it to.
    pub(super) fn plaintext(
        &self,
        value: &Value<'_>,
        casts: &[PlainType],
        forms: &TextForms,
    ) -> Result<Plaintext, Refusal> {
        match casts {
            [] => self.read(value.given, value.format, value.bytes, forms),
            [cast, others @ ..] => {
                let between = read_cast(cast, value.given, value.format, value.bytes, forms);
                let between = between.map_err(|error| self.refusal(&error))?;
                self.converted((cast, others), &between, forms)
            }
        }
    }

    /// The plaintext of a value of another type, by way of casts.
    fn converted(
        &self,
        (from, casts): (&PlainType, &[PlainType]),
        plaintext: &[u8],
        forms: &TextForms,
    ) -> Result<Plaintext, Refusal> {
        let mut binary = bytes::BytesMut::new();
        write(from, plaintext, Format::Binary, forms, &mut binary).map_err(|error| self.refusal(&error))?;
        let value = Value { given: from.oid(), format: Format::Binary, bytes: &binary };
        self.plaintext(&value, casts, forms)
    }

    /// The plaintext of a value: one that is stored has to fit the column.
    fn read(&self, given: Oid, format: Format, bytes: &[u8], forms: &TextForms) -> Result<Plaintext, Refusal> {
        let plain = &self.encryption.plain;
        let found = match self.stores {
            true => read(plain, given, format, bytes, forms),
            false => read_operand(plain, given, format, bytes, forms),
        };
        found.map_err(|error| self.refusal(&error))
    }

    /// A plaintext in one of the forms that the server may have it in, as text.
    pub(super) fn form(
        &self,
        plaintext: &[u8],
        (copy, tenant): (Copy, Option<&[u8]>),
        means: &mut Means<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        let encryption = &self.encryption;
        let ring = means.ring;
        let key = match copy {
            Copy::Plain => {
                let mut text = bytes::BytesMut::new();
                write(&encryption.plain, plaintext, Format::Text, &TextForms::default(), &mut text)
                    .map_err(|error| self.refusal(&error))?;
                return Ok(text.to_vec());
            }
            Copy::Sealed(0) => {
                ring.writing(&encryption.key, encryption.mode).map_err(|error| self.key_refusal(error))?
            }
            Copy::Sealed(at) => self.comparing(ring, at)?,
            Copy::Index(at) => {
                self.note_key(means);
                let bound = Bound { domain: &encryption.domain, tenant };
                return Ok(self.comparing(ring, at)?.blind_index(&bound, plaintext).text().into_bytes());
            }
        };
        self.note_key(means);
        let envelope = self.envelope(key, (plaintext, tenant), means.nonces)?;
        if !self.bytes {
            return Ok(text_form(&envelope).into_bytes());
        }
        let mut text = b"\\x".to_vec();
        let digits = envelope.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        text.extend(digits.map(|digit| if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }));
        Ok(text)
    }

    /// The key of that place among those that equal values may be under.
    fn comparing<'k>(&self, ring: &'k KeyRing, at: usize) -> Result<&'k DataKey, Refusal> {
        let keys = ring.comparing(&self.encryption.key).map_err(|error| self.key_refusal(error))?;
        keys.get(at).copied().ok_or_else(|| self.key_refusal(KeyError::Unavailable))
    }

    /// The envelope of a plaintext.
    fn envelope(
        &self,
        key: &DataKey,
        (plaintext, tenant): (&[u8], Option<&[u8]>),
        nonces: &mut NonceSource,
    ) -> Result<Vec<u8>, Refusal> {
        let encryption = &self.encryption;
        let nonce = match encryption.mode {
            Mode::Randomized => Nonce::Random(nonces.draw()),
            Mode::Deterministic => Nonce::Derived,
            Mode::Indexed => Nonce::Indexed(nonces.draw()),
        };
        let mut envelope = Vec::new();
        let bound = Bound { domain: &encryption.domain, tenant };
        key.seal(nonce, &bound, plaintext, &mut envelope).map_err(|_| Refusal::too_long(&self.column))?;
        Ok(envelope)
    }

    /// The envelope of a plaintext that is stored, as the server has it in binary form.
    pub(super) fn envelope_cell(
        &self,
        plaintext: &[u8],
        tenant: Option<&[u8]>,
        means: &mut Means<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        let encryption = &self.encryption;
        let key = means.ring.writing(&encryption.key, encryption.mode).map_err(|error| self.key_refusal(error))?;
        self.note_key(means);
        let envelope = self.envelope(key, (plaintext, tenant), means.nonces)?;
        Ok(if self.bytes { envelope } else { text_form(&envelope).into_bytes() })
    }

    /// Its key is used.
    fn note_key(&self, means: &mut Means<'_>) {
        let used = |(key, column): &KeyOfColumn| (key, column) == (&self.encryption.key, &self.column);
        if !means.keys.iter().any(used) {
            means.keys.push((Arc::clone(&self.encryption.key), Arc::clone(&self.column)));
        }
    }

    fn refusal(&self, error: &ValueError) -> Refusal {
        Refusal::value(&self.column, error)
    }

    fn key_refusal(&self, error: KeyError) -> Refusal {
        Refusal::key(&self.column, &self.encryption.key, error)
    }
}
