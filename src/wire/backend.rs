//! The server's messages that pgveil has to understand.

use bytes::Bytes;

use super::startup::CancelKey;
use super::{Format, Malformed, Reader, frontend};
use crate::catalog::Oid;

/// RowDescription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowDescription {
    /// The columns in order.
    pub fields: Vec<Field>,
}

/// One column of a RowDescription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, in the client's encoding.
    pub name: Bytes,
    /// The relation that it is a column of, or 0.
    pub table: Oid,
    /// The column's `attnum`, or 0; with a table, 0 is its whole row.
    pub attnum: i16,
    /// Its type; for domains the type under them.
    pub type_oid: Oid,
    /// `pg_type.typlen`: the bytes of its type, or -1.
    pub size: i16,
    /// The modifier of its type, or -1: `numeric(10,2)` and `varchar(20)` have one.
    pub modifier: i32,
    /// The format of its cells. (Describe of a statement says text always: the portal's formats are not known.)
    pub format: Format,
}

impl RowDescription {
    /// Decode a body.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, "RowDescription");
        let count = reader.count()?;
        // No allocation by the claimed count alone: a field takes 19 bytes at the least.
        let mut fields = Vec::with_capacity(count.min(body.len() / 19));
        for _ in 0..count {
            let name = Bytes::copy_from_slice(reader.string()?);
            let (table, attnum, type_oid) = (Oid(reader.u32()?), reader.i16()?, Oid(reader.u32()?));
            let (size, modifier) = (reader.i16()?, reader.i32()?);
            let format = frontend::format(reader.i16()?)?;
            fields.push(Field { name, table, attnum, type_oid, size, modifier, format });
        }
        reader.end()?;
        Ok(Self { fields })
    }

    /// The body of the message.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = u16::try_from(self.fields.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
        for field in &self.fields {
            body.extend_from_slice(&field.name);
            body.push(0);
            body.extend_from_slice(&field.table.0.to_be_bytes());
            body.extend_from_slice(&field.attnum.to_be_bytes());
            body.extend_from_slice(&field.type_oid.0.to_be_bytes());
            body.extend_from_slice(&field.size.to_be_bytes());
            body.extend_from_slice(&field.modifier.to_be_bytes());
            body.extend_from_slice(&i16::from(field.format == Format::Binary).to_be_bytes());
        }
        body
    }
}

/// The fields of an ErrorResponse or NoticeResponse (PostgreSQL manual, section 55.8), in order.
#[derive(Clone, PartialEq, Eq)]
pub struct Report<'a> {
    /// Field codes and values.
    pub fields: Vec<(u8, &'a [u8])>,
}

impl<'a> Report<'a> {
    /// Decode a body.
    pub fn decode(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, "ErrorResponse");
        let mut fields = Vec::with_capacity(12);
        loop {
            match reader.u8()? {
                0 => {
                    reader.end()?;
                    return Ok(Self { fields });
                }
                code => fields.push((code, reader.string()?)),
            }
        }
    }

    /// The value of a field.
    pub fn field(&self, code: u8) -> Option<&'a [u8]> {
        self.fields.iter().find(|(known, _)| *known == code).map(|(_, value)| *value)
    }
}

/// The transaction state in a ReadyForQuery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransactionStatus {
    /// `I`: in no transaction block.
    #[default]
    Idle,
    /// `T`: in a transaction block.
    Active,
    /// `E`: in a failed transaction block.
    Failed,
}

/// ReadyForQuery.
pub fn ready_for_query(body: &[u8]) -> Result<TransactionStatus, Malformed> {
    match body {
        b"I" => Ok(TransactionStatus::Idle),
        b"T" => Ok(TransactionStatus::Active),
        b"E" => Ok(TransactionStatus::Failed),
        _ => Err(Malformed("ReadyForQuery")),
    }
}

/// ParameterStatus: name and value.
pub fn parameter_status(body: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let mut reader = Reader::new(body, "ParameterStatus");
    let pair = (reader.string()?, reader.string()?);
    reader.end()?;
    Ok(pair)
}

/// NotificationResponse: the sender's process, the channel, the payload.
pub fn notification(body: &[u8]) -> Result<(i32, &[u8], &[u8]), Malformed> {
    let mut reader = Reader::new(body, "NotificationResponse");
    let found = (reader.i32()?, reader.string()?, reader.string()?);
    reader.end()?;
    Ok(found)
}

/// BackendKeyData.
pub fn backend_key_data(body: &[u8]) -> Result<CancelKey, Malformed> {
    let mut reader = Reader::new(body, "BackendKeyData");
    let pid = reader.i32()?;
    let secret = reader.rest();
    if !(4..=256).contains(&secret.len()) {
        return Err(Malformed("BackendKeyData"));
    }
    Ok(CancelKey { pid, secret: Bytes::copy_from_slice(secret) })
}

/// NegotiateProtocolVersion: the version (major in the upper 16 bits) that is spoken, at most, and the options that the
/// server does not know.
pub fn negotiate_protocol_version(body: &[u8]) -> Result<(u32, Vec<&[u8]>), Malformed> {
    let mut reader = Reader::new(body, "NegotiateProtocolVersion");
    let version = reader.u32()?;
    let count = reader.u32()?;
    let mut options = Vec::new();
    for _ in 0..count {
        options.push(reader.string()?);
    }
    reader.end()?;
    Ok((version, options))
}

/// An authentication request, as far as pgveil has to tell them apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// The login is done.
    Ok,
    /// The client is asked for something.
    Request,
    /// The client is offered SASL mechanisms.
    Sasl(Vec<&'a [u8]>),
    /// A challenge of SASL.
    SaslContinue(&'a [u8]),
    /// The last word of SASL: nothing is asked of the client.
    SaslFinal(&'a [u8]),
}

impl<'a> Authentication<'a> {
    /// Decode a body.
    pub fn decode(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, "Authentication");
        match reader.i32()? {
            0 => {
                reader.end()?;
                Ok(Self::Ok)
            }
            10 => {
                let mut mechanisms = Vec::new();
                loop {
                    let name = reader.string()?;
                    if name.is_empty() {
                        reader.end()?;
                        return Ok(Self::Sasl(mechanisms));
                    }
                    mechanisms.push(name);
                }
            }
            11 => Ok(Self::SaslContinue(reader.rest())),
            12 => Ok(Self::SaslFinal(reader.rest())),
            _ => Ok(Self::Request),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_description_is_read_whole_or_not_at_all() {
        let mut body = vec![0, 1];
        body.extend(b"email\0");
        body.extend(16_389_u32.to_be_bytes());
        body.extend(3_i16.to_be_bytes());
        body.extend(25_u32.to_be_bytes());
        body.extend((-1_i16).to_be_bytes());
        body.extend((-1_i32).to_be_bytes());
        body.extend(1_i16.to_be_bytes());
        let description = RowDescription::decode(&body).unwrap();
        assert_eq!(description.fields.len(), 1);
        assert_eq!((description.fields[0].table, description.fields[0].attnum), (Oid(16_389), 3));
        assert_eq!(description.fields[0].format, Format::Binary);
        for end in 0..body.len() {
            assert!(RowDescription::decode(&body[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn an_error_without_its_end_is_malformed() {
        assert!(Report::decode(b"SERROR\0C42501\0\0").is_ok());
        assert!(Report::decode(b"SERROR\0C42501\0").is_err());
        assert!(Report::decode(b"SERROR\0C42501\0\0x").is_err());
    }
}
