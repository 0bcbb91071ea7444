//! Dates and times.

mod calendar;

use bytes::{BufMut, BytesMut};

use super::{Scalar, TextForms, ValueError, binary};
use calendar::Civil;

/// A session's time zone.
#[derive(Clone, Debug)]
pub(super) struct Zone;

impl Zone {
    pub(super) fn utc() -> Self {
        Self
    }

    pub(super) fn named(_name: &str) -> Self {
        Self
    }
}

pub(super) fn read_date(text: &str) -> Result<Vec<u8>, ValueError> {
    let invalid = || ValueError::datetime(Scalar::Date);
    let mut fields = text.trim().splitn(3, '-');
    let mut field = || -> Result<i64, ValueError> {
        let field = fields.next().ok_or_else(invalid)?;
        let number = !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_digit());
        if number { field.parse().map_err(|_| invalid()) } else { Err(invalid()) }
    };
    let civil = Civil { year: field()?, month: field()?, day: field()? };
    if !(1..=12).contains(&civil.month) || civil.day < 1 || civil.day > civil.days_of_month() || civil.year > 9999 {
        return Err(invalid());
    }
    let days = i32::try_from(civil.days()).map_err(|_| invalid())?;
    Ok(days.to_be_bytes().to_vec())
}

pub(super) fn date_from_binary(bytes: &[u8]) -> Result<Vec<u8>, ValueError> {
    binary::sized::<4>(bytes)
}

pub(super) fn write_date(plaintext: &[u8], _forms: &TextForms, out: &mut BytesMut) -> Result<(), ValueError> {
    let days = i32::from_be_bytes(binary::fixed(plaintext).map_err(|_| ValueError::damaged(Scalar::Date))?);
    let Civil { year, month, day } = Civil::of_days(days.into());
    out.put_slice(format!("{year:04}-{month:02}-{day:02}").as_bytes());
    Ok(())
}
