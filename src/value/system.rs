//! `pg_lsn`, `pg_snapshot` and `txid_snapshot` (PostgreSQL manual, sections 8.20 and 9.27.10; `pg_lsn.c`, `xid8funcs.c`).

use bytes::{BufMut, BytesMut};

use super::binary::{self, Reader};
use super::character::is_space;
use super::{Scalar, ValueError};

/// Two numbers of up to eight hexadecimal digits: eight bytes.
pub(super) fn read_lsn(text: &str) -> Result<Vec<u8>, ValueError> {
    let number = |digits: &str| {
        let hexadecimal = (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if hexadecimal { u32::from_str_radix(digits, 16).ok() } else { None }
    };
    let (high, low) = text.split_once('/').ok_or_else(|| ValueError::syntax(Scalar::PgLsn))?;
    match (number(high), number(low)) {
        (Some(high), Some(low)) => Ok([high.to_be_bytes(), low.to_be_bytes()].concat()),
        _ => Err(ValueError::syntax(Scalar::PgLsn)),
    }
}

pub(super) fn write_lsn(plaintext: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    let position = u64::from_be_bytes(binary::fixed(plaintext).map_err(|_| ValueError::damaged(Scalar::PgLsn))?);
    out.put_slice(format!("{:X}/{:X}", position >> 32, position & 0xffff_ffff).as_bytes());
    Ok(())
}

/// `xmin:xmax:` and the transactions between them that were not finished, in order: their count (4 bytes), both limits, and
/// they, of 8 bytes each.
pub(super) fn read_snapshot(text: &str) -> Result<Vec<u8>, ValueError> {
    // Both types' functions name this one.
    let invalid = || ValueError::syntax(Scalar::PgSnapshot);
    let number = |digits: &str| {
        // Each may have spaces before it.
        let digits = digits.trim_start_matches(is_space);
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if plain { digits.parse::<u64>().map_err(|_| invalid()) } else { Err(invalid()) }
    };
    let mut parts = text.splitn(3, ':');
    let mut part = || parts.next().ok_or_else(invalid);
    let (first, end, running) = (number(part()?)?, number(part()?)?, part()?);
    if first == 0 || end < first {
        return Err(invalid());
    }
    let mut transactions: Vec<u64> = Vec::new();
    // A comma may end the list.
    for digits in running.strip_suffix(',').unwrap_or(running).split(',').filter(|_| !running.is_empty()) {
        let transaction = number(digits)?;
        let last = transactions.last().copied().unwrap_or(0);
        if transaction < first || transaction >= end || transaction < last {
            return Err(invalid());
        }
        if transaction != last {
            transactions.push(transaction);
        }
    }
    encode(first, end, &transactions)
}

pub(super) fn snapshot_from_binary(bytes: &[u8]) -> Result<Vec<u8>, ValueError> {
    let invalid = || ValueError::new("22P03", "invalid external pg_snapshot data");
    let mut reader = Reader::new(bytes);
    let count = reader.i32()?;
    if count < 0 {
        return Err(invalid());
    }
    let mut number = || reader.array().map(u64::from_be_bytes);
    let (first, end) = (number()?, number()?);
    if first == 0 || end < first {
        return Err(invalid());
    }
    let mut transactions: Vec<u64> = Vec::new();
    for _ in 0..count {
        let transaction = number()?;
        let last = transactions.last().copied().unwrap_or(0);
        if transaction < last || transaction < first || transaction > end {
            return Err(invalid());
        }
        if transaction != last {
            transactions.push(transaction);
        }
    }
    reader.end()?;
    encode(first, end, &transactions)
}

pub(super) fn write_snapshot(scalar: Scalar, plaintext: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    let damaged = |_| ValueError::damaged(scalar);
    let mut reader = Reader::new(plaintext);
    let count = reader.i32().map_err(damaged)?;
    let mut number = || reader.array().map(u64::from_be_bytes).map_err(damaged);
    let (first, end) = (number()?, number()?);
    let transactions = (0..count).map(|_| Ok(number()?.to_string())).collect::<Result<Vec<_>, ValueError>>()?;
    out.put_slice(format!("{first}:{end}:{}", transactions.join(",")).as_bytes());
    Ok(())
}

fn encode(first: u64, end: u64, transactions: &[u64]) -> Result<Vec<u8>, ValueError> {
    let count = i32::try_from(transactions.len()).map_err(|_| ValueError::binary())?;
    let mut out = count.to_be_bytes().to_vec();
    for number in [first, end].iter().chain(transactions) {
        out.extend(number.to_be_bytes());
    }
    Ok(out)
}
