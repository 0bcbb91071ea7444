//! `inet`, `cidr`, `macaddr`, `macaddr8` (PostgreSQL manual, section 8.9; `network.c`, `inet_net_pton.c`, `mac.c`,
//! `mac8.c`).

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::{BufMut, BytesMut};

use super::binary::{self, Reader};
use super::bytea::hex_digit;
use super::character::is_space;
use super::{Scalar, ValueError};

/// Families of addresses in binary form (`PGSQL_AF_INET`, `PGSQL_AF_INET6`).
const FAMILY_4: u8 = 2;
const FAMILY_6: u8 = 3;

/// An address with the length of its network's prefix.
struct Network {
    address: Address,
    prefix: u8,
}

#[derive(Clone, Copy)]
enum Address {
    V4([u8; 4]),
    V6([u8; 16]),
}

impl Address {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::V4(bytes) => bytes,
            Self::V6(bytes) => bytes,
        }
    }

    fn bits(&self) -> u8 {
        match self {
            Self::V4(_) => 32,
            Self::V6(_) => 128,
        }
    }

    /// With zeros behind the prefix.
    fn masked(self, prefix: u8) -> Self {
        let shift = |bits: u32| bits.saturating_sub(prefix.into());
        match self {
            Self::V4(bytes) => {
                let mask = u32::MAX.checked_shl(shift(32)).unwrap_or(0);
                Self::V4((u32::from_be_bytes(bytes) & mask).to_be_bytes())
            }
            Self::V6(bytes) => {
                let mask = u128::MAX.checked_shl(shift(128)).unwrap_or(0);
                Self::V6((u128::from_be_bytes(bytes) & mask).to_be_bytes())
            }
        }
    }
}

/// Family (1 byte), prefix length (1), whether it is a `cidr` (1), bytes of the address (1), the address.
pub(super) fn read_network(scalar: Scalar, text: &str) -> Result<Vec<u8>, ValueError> {
    let network = if text.contains(':') {
        parse_6(text, scalar)?
    } else if scalar == Scalar::Cidr {
        parse_cidr_4(text)?
    } else {
        parse_inet_4(text).ok_or_else(|| ValueError::syntax(scalar))?
    };
    if scalar == Scalar::Cidr && network.address.masked(network.prefix).bytes() != network.address.bytes() {
        return Err(ValueError::new("22P02", "invalid cidr value"));
    }
    Ok(network.encode(scalar))
}

pub(super) fn network_from_binary(scalar: Scalar, bytes: &[u8]) -> Result<Vec<u8>, ValueError> {
    let network = Network::decode(scalar, bytes)?;
    if scalar == Scalar::Cidr && network.address.masked(network.prefix).bytes() != network.address.bytes() {
        return Err(ValueError::new("22P03", "invalid external \"cidr\" value"));
    }
    Ok(network.encode(scalar))
}

/// `always`: with the prefix's length also where it is that of an address, as a cast to text shows it.
pub(super) fn write_network(
    scalar: Scalar,
    plaintext: &[u8],
    always: bool,
    out: &mut BytesMut,
) -> Result<(), ValueError> {
    let network = Network::decode(scalar, plaintext).map_err(|_| ValueError::damaged(scalar))?;
    let text = match network.address {
        Address::V4(bytes) => Ipv4Addr::from(bytes).to_string(),
        Address::V6(bytes) => text_6(Ipv6Addr::from(bytes)),
    };
    out.put_slice(text.as_bytes());
    if always || scalar == Scalar::Cidr || network.prefix != network.address.bits() {
        out.put_slice(format!("/{}", network.prefix).as_bytes());
    }
    Ok(())
}

/// An `inet` as a `cidr`, without what stands behind the prefix, and the reverse.
pub(super) fn other_network(target: Scalar, plaintext: &[u8]) -> Result<Vec<u8>, ValueError> {
    let network = Network::decode(target, plaintext)?;
    let address = match target {
        Scalar::Cidr => network.address.masked(network.prefix),
        _ => network.address,
    };
    Ok(Network { address, ..network }.encode(target))
}

/// Whether nothing stands behind the prefix of an `inet`.
pub(super) fn is_masked(plaintext: &[u8]) -> Result<bool, ValueError> {
    let network = Network::decode(Scalar::Inet, plaintext)?;
    Ok(network.address.masked(network.prefix).bytes() == network.address.bytes())
}

impl Network {
    fn decode(scalar: Scalar, bytes: &[u8]) -> Result<Self, ValueError> {
        let external =
            |what: &str| ValueError::new("22P03", format!("invalid {what} in external \"{}\" value", scalar.title()));
        let mut reader = Reader::new(bytes);
        let (family, prefix, _is_cidr, length) = (reader.u8()?, reader.u8()?, reader.u8()?, reader.u8()?);
        let (bits, size) = match family {
            FAMILY_4 => (32, 4),
            FAMILY_6 => (128, 16),
            _ => return Err(external("address family")),
        };
        if prefix > bits {
            return Err(external("bits"));
        }
        if length != size {
            return Err(external("length"));
        }
        let address = if family == FAMILY_4 { Address::V4(reader.array()?) } else { Address::V6(reader.array()?) };
        reader.end()?;
        Ok(Self { address, prefix })
    }

    fn encode(&self, scalar: Scalar) -> Vec<u8> {
        let family = if matches!(self.address, Address::V4(_)) { FAMILY_4 } else { FAMILY_6 };
        let mut out = vec![family, self.prefix, u8::from(scalar == Scalar::Cidr), self.address.bits() / 8];
        out.extend_from_slice(self.address.bytes());
        out
    }
}

/// Decimal digits from the front of a text, at most `max`; what follows them.
fn number(text: &str, max: u32) -> Option<(u8, &str)> {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at_checked(end)?;
    let value = digits.parse::<u32>().ok().filter(|value| *value <= max)?;
    Some((u8::try_from(value).ok()?, rest))
}

/// Bytes between points, and what follows them.
fn octets(mut rest: &str) -> Option<(Vec<u8>, &str)> {
    let mut octets = Vec::new();
    while rest.starts_with(|next: char| next.is_ascii_digit()) {
        let (octet, after) = number(rest, 255)?;
        octets.push(octet);
        if octets.len() > 4 {
            return None;
        }
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None => return Some((octets, after)),
        }
    }
    Some((octets, rest))
}

fn padded(octets: &[u8]) -> [u8; 4] {
    let mut address = [0; 4];
    for (to, from) in address.iter_mut().zip(octets) {
        *to = *from;
    }
    address
}

/// `inet_net_pton_ipv4`: all four bytes, or a prefix that is no longer than what is there.
fn parse_inet_4(text: &str) -> Option<Network> {
    let (octets, rest) = octets(text)?;
    let prefix = match rest.strip_prefix('/') {
        Some(prefix) => match number(prefix, 32)? {
            (prefix, "") => prefix,
            _ => return None,
        },
        None if rest.is_empty() && octets.len() == 4 => 32,
        None => return None,
    };
    if octets.is_empty() || usize::from(prefix / 8) > octets.len() {
        return None;
    }
    Some(Network { address: Address::V4(padded(&octets)), prefix })
}

/// `inet_cidr_pton_ipv4`: without a prefix the network's old class counts.
fn parse_cidr_4(text: &str) -> Result<Network, ValueError> {
    let invalid = || ValueError::syntax(Scalar::Cidr);
    if text.starts_with("0x") || text.starts_with("0X") {
        return Err(ValueError::new("0A000", "pgveil does not read hexadecimal network addresses"));
    }
    let (octets, rest) = octets(text).ok_or_else(invalid)?;
    let first = *octets.first().ok_or_else(invalid)?;
    // Unlike in an address, no point may be the last.
    if text.strip_suffix(rest).is_some_and(|address| address.ends_with('.')) {
        return Err(invalid());
    }
    let said = u8::try_from(octets.len() * 8).map_err(|_| invalid())?;
    let prefix = match rest.strip_prefix('/') {
        Some(prefix) => match number(prefix, 32).ok_or_else(invalid)? {
            (prefix, "") => prefix,
            _ => return Err(invalid()),
        },
        None if rest.is_empty() => {
            let class = match first {
                240.. => 32,
                224.. => 8,
                192.. => 24,
                128.. => 16,
                _ => 8,
            };
            let widened = said.max(class);
            if widened == 8 && first == 224 { 4 } else { widened }
        }
        None => return Err(invalid()),
    };
    Ok(Network { address: Address::V4(padded(&octets)), prefix })
}

fn parse_6(text: &str, scalar: Scalar) -> Result<Network, ValueError> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let prefix = match prefix {
        None => Some(128),
        // No zeros at the front.
        Some(digits) if digits.len() > 1 && digits.starts_with('0') => None,
        Some(digits) => number(digits, 128).filter(|(_, rest)| rest.is_empty()).map(|(prefix, _)| prefix),
    };
    match (address.parse::<Ipv6Addr>(), prefix) {
        (Ok(address), Some(prefix)) => Ok(Network { address: Address::V6(address.octets()), prefix }),
        // The server takes fewer than four bytes behind the last colon, too.
        _ if address.contains('.') => Err(ValueError::new("0A000", "pgveil does not read this form of IPv6 addresses")),
        _ => Err(ValueError::syntax(scalar)),
    }
}

/// `inet_net_ntop_ipv6`: the first longest run of zeros is left out, IPv4 addresses show as such.
fn text_6(address: Ipv6Addr) -> String {
    let words = address.segments();
    let mut best = (0, 0);
    let mut start = 0;
    for (position, word) in words.iter().enumerate() {
        if *word != 0 {
            start = position + 1;
        } else if position + 1 - start > best.1 {
            best = (start, position + 1 - start);
        }
    }
    let (base, length) = if best.1 < 2 { (usize::MAX, 0) } else { best };
    let [.., fifth_last, _, last] = words;
    let is_4 = base == 0 && (length == 6 || (length == 7 && last != 1) || (length == 5 && fifth_last == 0xffff));
    let mut out = String::new();
    for (position, word) in words.iter().enumerate() {
        if position >= base && position - base < length {
            if position == base {
                out.push(':');
            }
            continue;
        }
        if position != 0 {
            out.push(':');
        }
        if position == 6 && is_4 {
            let [.., a, b, c, d] = address.octets();
            out.push_str(&Ipv4Addr::new(a, b, c, d).to_string());
            return out;
        }
        out.push_str(&format!("{word:x}"));
    }
    if length > 0 && base + length == words.len() {
        out.push(':');
    }
    out
}

/// Six bytes in any of the seven forms that PostgreSQL reads.
pub(super) fn read_mac(text: &str) -> Result<Vec<u8>, ValueError> {
    // Between the bytes; numbers of any length where all are apart, else of two digits.
    const FORMS: [[&str; 5]; 7] = [
        [":", ":", ":", ":", ":"],
        ["-", "-", "-", "-", "-"],
        ["", "", ":", "", ""],
        ["", "", "-", "", ""],
        ["", ".", "", ".", ""],
        ["", "-", "", "-", ""],
        ["", "", "", "", ""],
    ];
    let Some(numbers) = FORMS.iter().find_map(|form| scan_mac(text.trim_matches(is_space), form)) else {
        // `sscanf` takes spaces, signs and `0x` before each number.
        let inner = text.trim_matches(is_space);
        let rare = inner.starts_with('-')
            || ["--", ":-", ".-"].iter().any(|signed| inner.contains(signed))
            || inner.contains(|next: char| is_space(next) || "xX+".contains(next));
        return Err(if rare {
            ValueError::new("0A000", "pgveil does not read this form of MAC addresses")
        } else {
            ValueError::syntax(Scalar::MacAddr)
        });
    };
    let octets = numbers.into_iter().map(u8::try_from).collect::<Result<_, _>>();
    octets.map_err(|_| ValueError::new("22003", "invalid octet value in \"macaddr\" value"))
}

fn scan_mac(text: &str, separators: &[&str; 5]) -> Option<Vec<u32>> {
    let digits_max = if separators.iter().all(|separator| !separator.is_empty()) { 8 } else { 2 };
    let mut rest = text;
    let mut numbers = Vec::new();
    for separator in separators.iter().map(Some).chain([None]) {
        let digits = rest.bytes().take(digits_max).take_while(u8::is_ascii_hexdigit).count();
        let (number, after) = rest.split_at_checked(digits)?;
        numbers.push(u32::from_str_radix(number, 16).ok()?);
        rest = match separator {
            Some(separator) => after.strip_prefix(separator)?,
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(numbers)
}

/// Eight bytes, or six with `ff:fe` put into their middle; one separator between any of them.
pub(super) fn read_mac8(text: &str) -> Result<Vec<u8>, ValueError> {
    let invalid = || ValueError::syntax(Scalar::MacAddr8);
    let mut rest = text.trim_start_matches(is_space).as_bytes();
    let mut octets = Vec::new();
    let mut separator = None;
    while let [high, low, after @ ..] = rest {
        if octets.len() == 8 {
            return Err(invalid());
        }
        let (high, low) = (hex_digit(*high).ok_or_else(invalid)?, hex_digit(*low).ok_or_else(invalid)?);
        octets.push(high << 4 | low);
        rest = match after {
            [next @ (b':' | b'-' | b'.'), after @ ..] => {
                if *separator.get_or_insert(*next) != *next {
                    return Err(invalid());
                }
                after
            }
            after => after,
        };
        if matches!(octets.len(), 6 | 8) && rest.first().is_some_and(|next| is_space(char::from(*next))) {
            if rest.iter().any(|next| !is_space(char::from(*next))) {
                return Err(invalid());
            }
            rest = &[];
        }
    }
    // A single byte that is left is not looked at by the server.
    match octets.as_slice() {
        [a, b, c, d, e, f] => Ok(vec![*a, *b, *c, 0xff, 0xfe, *d, *e, *f]),
        octets if octets.len() == 8 => Ok(octets.to_vec()),
        _ => Err(invalid()),
    }
}

pub(super) fn mac8_from_binary(bytes: &[u8]) -> Result<Vec<u8>, ValueError> {
    match bytes {
        [a, b, c, d, e, f] => Ok(vec![*a, *b, *c, 0xff, 0xfe, *d, *e, *f]),
        other => binary::sized::<8>(other),
    }
}

/// A `macaddr` as a `macaddr8`, and the reverse.
pub(super) fn other_mac(plaintext: &[u8]) -> Result<Vec<u8>, ValueError> {
    match plaintext {
        [a, b, c, d, e, f] => Ok(vec![*a, *b, *c, 0xff, 0xfe, *d, *e, *f]),
        [a, b, c, 0xff, 0xfe, d, e, f] => Ok(vec![*a, *b, *c, *d, *e, *f]),
        _ => Err(ValueError::new("22003", "macaddr8 data out of range to convert to macaddr")),
    }
}

pub(super) fn write_mac(plaintext: &[u8], out: &mut BytesMut) {
    for (position, octet) in plaintext.iter().enumerate() {
        if position > 0 {
            out.put_u8(b':');
        }
        super::bytea::put_hex(*octet, out);
    }
}
