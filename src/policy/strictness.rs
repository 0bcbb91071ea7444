//! Which of several sights shows least.

use super::Sight;
use crate::mask::{DateUnit, Mask};

/// The answer of [`strictest`].
#[derive(Debug, PartialEq)]
pub(super) enum Showing {
    /// What the sight at this index shows.
    Of(usize),
    /// What several masks have in common and none of them is; `None`: nothing.
    Common(Option<Mask>),
}

/// How much a sight shows; later is less.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Everything,
    Something,
    Nothing,
    Refused,
}

fn level(sight: &Sight) -> Level {
    match sight {
        Sight::Clear => Level::Everything,
        Sight::Masked(mask) => match &**mask {
            Mask::Replace(_) | Mask::Nullify => Level::Nothing,
            Mask::Full
            | Mask::Partial { .. }
            | Mask::ShowFirst(_)
            | Mask::ShowLast(_)
            | Mask::Email
            | Mask::Phone { .. }
            | Mask::Card
            | Mask::Iban
            | Mask::Hash { .. }
            | Mask::Pseudonym { .. }
            | Mask::DateTrunc(_)
            | Mask::Round(_)
            | Mask::Bucket(_)
            | Mask::Network { .. } => Level::Something,
        },
        Sight::Hidden(_) => Level::Nothing,
        Sight::Denied => Level::Refused,
    }
}

/// The strictest of these sights, whatever their order. The first of equal ones.
pub(super) fn strictest(sights: &[&Sight]) -> Showing {
    let highest = sights.iter().map(|sight| level(sight)).max().unwrap_or(Level::Refused);
    let of_highest = || sights.iter().enumerate().filter(|(_, sight)| level(sight) == highest);
    let first = Showing::Of(of_highest().next().map_or(0, |(index, _)| index));
    match highest {
        Level::Everything | Level::Refused => first,
        Level::Nothing => {
            // They show the same: nothing. Which one it is must not depend on the order of the roles.
            let least = of_highest().min_by_key(|(_, sight)| match sight {
                Sight::Hidden(form) => (0, format!("{form:?}")),
                Sight::Masked(mask) => match &**mask {
                    Mask::Replace(text) => (2, text.to_string()),
                    other => (1, other.name().to_owned()),
                },
                Sight::Clear | Sight::Denied => (3, String::new()),
            });
            least.map_or(first, |(index, _)| Showing::Of(index))
        }
        Level::Something => {
            let mut masks = of_highest().filter_map(|(_, sight)| match sight {
                Sight::Masked(mask) => Some(&**mask),
                Sight::Clear | Sight::Hidden(_) | Sight::Denied => None,
            });
            let Some(start) = masks.next().cloned() else { return first };
            let Some(common) = masks.try_fold(start, |left, right| common(&left, right)) else {
                return Showing::Common(None);
            };
            let same = |sight: &Sight| matches!(sight, Sight::Masked(mask) if **mask == common);
            match sights.iter().position(|sight| same(sight)) {
                Some(index) => Showing::Of(index),
                None => Showing::Common(Some(common)),
            }
        }
    }
}

/// A mask that shows nothing which not both of them show, if there is one. Two masks that are not known to have one
/// show nothing in common: `show_last` beside `hash` gives away neither. Of masks that keep characters the one that keeps
/// fewer is taken to show less.
fn common(left: &Mask, right: &Mask) -> Option<Mask> {
    if left == right {
        return Some(left.clone());
    }
    match (left, right) {
        (Mask::ShowFirst(a), Mask::ShowFirst(b)) => Some(Mask::ShowFirst(*a.min(b))),
        (Mask::ShowLast(a), Mask::ShowLast(b)) => Some(Mask::ShowLast(*a.min(b))),
        (Mask::Phone { keep: a }, Mask::Phone { keep: b }) => Some(Mask::Phone { keep: *a.min(b) }),
        (Mask::Partial { prefix, suffix, pad }, Mask::Partial { prefix: prefix_b, suffix: suffix_b, pad: pad_b }) => {
            Some(Mask::Partial {
                prefix: *prefix.min(prefix_b),
                suffix: *suffix.min(suffix_b),
                pad: pad.min(pad_b).clone(),
            })
        }
        (Mask::Hash { key, digits }, Mask::Hash { key: key_b, digits: digits_b }) if key == key_b => {
            Some(Mask::Hash { key: key.clone(), digits: *digits.min(digits_b) })
        }
        (Mask::DateTrunc(a), Mask::DateTrunc(b)) => Some(Mask::DateTrunc(coarser(*a, *b))),
        (Mask::Network { v4, v6 }, Mask::Network { v4: v4_b, v6: v6_b }) => {
            Some(Mask::Network { v4: *v4.min(v4_b), v6: *v6.min(v6_b) })
        }
        // All of these leave a text as long as it is, and fit nothing but text.
        _ if left.writes_hashes() && right.writes_hashes() => Some(Mask::Full),
        _ => None,
    }
}

fn coarser(left: DateUnit, right: DateUnit) -> DateUnit {
    let width = |unit: DateUnit| match unit {
        DateUnit::Hour => 0,
        DateUnit::Day => 1,
        DateUnit::Month => 2,
        DateUnit::Year => 3,
    };
    if width(left) < width(right) { right } else { left }
}
