//! Internet addresses cut down to their network.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::{BufMut, BytesMut};

use super::Format;

/// Bits kept of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) v4: u8,
    pub(super) v6: u8,
}

/// What holds the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// An address, with a netmask if there is one.
    Inet,
    /// A network, always with its netmask.
    Cidr,
}

/// `PGSQL_AF_INET` and `PGSQL_AF_INET6` of the binary form.
const FAMILY_V4: u8 = 2;
const FAMILY_V6: u8 = 3;

/// What is shown of an address: the bits kept, zeros for the rest. A netmask longer than that is cut to it; a host
/// address (no netmask) in an `inet` or a text stays one, so that it reads as the same sort of value. `None`: not an
/// address.
pub(super) fn write(value: &[u8], holder: Holder, kept: Kept, format: Format, out: &mut BytesMut) -> Option<()> {
    match format {
        Format::Text => {
            let (address, bits) = parse(std::str::from_utf8(value).ok()?)?;
            let (network, shown) = cut(address, bits, holder, kept)?;
            let host = bits.is_none() || shown == width(network);
            match holder {
                Holder::Inet if host => write!(out, "{network}").ok(),
                Holder::Inet | Holder::Cidr => write!(out, "{network}/{shown}").ok(),
            }
        }
        Format::Binary => {
            let (head, octets) = value.split_at_checked(4)?;
            let [family, bits, is_cidr, _] = *head else { return None };
            let address = match family {
                FAMILY_V4 => IpAddr::from(<[u8; 4]>::try_from(octets).ok()?),
                FAMILY_V6 => IpAddr::from(<[u8; 16]>::try_from(octets).ok()?),
                _ => return None,
            };
            let bits = Some(bits).filter(|bits| *bits < width(address));
            let (network, shown) = cut(address, bits, holder, kept)?;
            out.put_slice(&[family, shown, is_cidr, u8::try_from(octets.len()).ok()?]);
            match network {
                IpAddr::V4(address) => out.put_slice(&address.octets()),
                IpAddr::V6(address) => out.put_slice(&address.octets()),
            }
            Some(())
        }
    }
}

/// An address in the middle of blanks, with a netmask or not.
fn parse(text: &str) -> Option<(IpAddr, Option<u8>)> {
    let text = text.trim_matches(' ');
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let bits = match bits {
        Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(bits.parse().ok().filter(|bits| *bits <= width(address))?)
        }
        Some(_) => return None,
        None => None,
    };
    Some((address, bits))
}

/// The network, and the netmask to show.
fn cut(address: IpAddr, bits: Option<u8>, holder: Holder, kept: Kept) -> Option<(IpAddr, u8)> {
    let width = width(address);
    let (network, kept) = match address {
        IpAddr::V4(address) => {
            let kept = kept.v4.min(bits.unwrap_or(width));
            let mask = u32::MAX.checked_shl(u32::from(width.checked_sub(kept)?)).unwrap_or(0);
            (IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask)), kept)
        }
        IpAddr::V6(address) => {
            let kept = kept.v6.min(bits.unwrap_or(width));
            let mask = u128::MAX.checked_shl(u32::from(width.checked_sub(kept)?)).unwrap_or(0);
            (IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask)), kept)
        }
    };
    let host = holder == Holder::Inet && bits.is_none();
    Some((network, if host { width } else { kept }))
}

fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: Kept = Kept { v4: 24, v6: 48 };

    fn text(value: &str, holder: Holder) -> Option<String> {
        let mut out = BytesMut::new();
        write(value.as_bytes(), holder, KEPT, Format::Text, &mut out)?;
        Some(String::from_utf8(out.to_vec()).unwrap())
    }

    #[test]
    fn only_the_network_stays() {
        for (value, inet, cidr) in [
            ("192.168.1.77", "192.168.1.0", "192.168.1.0/24"),
            ("192.168.1.77/28", "192.168.1.0/24", "192.168.1.0/24"),
            ("10.1.2.3/8", "10.0.0.0/8", "10.0.0.0/8"),
            ("2001:db8:1:2::3", "2001:db8:1::", "2001:db8:1::/48"),
            ("2001:db8:1:2::3/64", "2001:db8:1::/48", "2001:db8:1::/48"),
        ] {
            assert_eq!(text(value, Holder::Inet).as_deref(), Some(inet));
            assert_eq!(text(value, Holder::Cidr).as_deref(), Some(cidr));
        }
        for value in ["", "x", "1.2.3", "1.2.3.4/33", "1.2.3.4/", "1.2.3.4/+8", "1.2.3.4 5"] {
            assert_eq!(text(value, Holder::Inet), None, "{value}");
        }
    }

    #[test]
    fn binary_addresses_are_cut_alike() {
        for (value, shown) in [
            (&[2, 32, 0, 4, 192, 168, 1, 77][..], &[2, 32, 0, 4, 192, 168, 1, 0][..]),
            (&[2, 28, 0, 4, 192, 168, 1, 77], &[2, 24, 0, 4, 192, 168, 1, 0]),
            (&[2, 8, 0, 4, 10, 1, 2, 3], &[2, 8, 0, 4, 10, 0, 0, 0]),
        ] {
            let mut out = BytesMut::new();
            write(value, Holder::Inet, KEPT, Format::Binary, &mut out).unwrap();
            assert_eq!(out[..], *shown);
        }
        for value in [&[][..], &[2, 32, 0, 4, 1], &[9, 32, 0, 4, 1, 2, 3, 4], &[3, 32, 0, 4, 1, 2, 3, 4]] {
            assert_eq!(write(value, Holder::Inet, KEPT, Format::Binary, &mut BytesMut::new()), None);
        }
    }
}
