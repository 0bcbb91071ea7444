//! "Did you mean ...?": the known word nearest to one that is not known.

/// Words longer than this many characters are not compared: a suggestion is a courtesy, not worth quadratic time.
const COMPARED_CHARS_MAX: usize = 128;

/// The candidate that `word` most probably stands for, if one is near enough: a third of its characters wrong, and at
/// least one may be. Letter case counts for nothing. Of equally near ones the first.
pub(super) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    if word.is_empty() || word.len() > COMPARED_CHARS_MAX {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let other: Vec<char> = candidate.to_lowercase().chars().collect();
        if other.len() > COMPARED_CHARS_MAX {
            continue;
        }
        let allowed = (word.len().max(other.len()) / 3).max(1);
        let distance = distance(&word, &other);
        // A word of one or two letters is not "near" to one that shares no letter with it.
        if distance <= allowed && distance < word.len() && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other ("optimal string
/// alignment"), with three rows of the usual table.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut from_before = None;
    for (row, &from_char) in from.iter().enumerate() {
        let mut current = Vec::with_capacity(last.len());
        let mut left = row + 1;
        current.push(left);
        let mut to_before = None;
        for (column, &to_char) in to.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&last, column) + usize::from(from_char != to_char);
            let mut least = replaced.min(at(&last, column + 1) + 1).min(left + 1);
            if from_before == Some(to_char)
                && to_before == Some(from_char)
                && let Some(two_back) = column.checked_sub(1)
            {
                least = least.min(at(&before_last, two_back) + 1);
            }
            current.push(least);
            left = least;
            to_before = Some(to_char);
        }
        before_last = std::mem::replace(&mut last, current);
        from_before = Some(from_char);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_the_word() {
        let known = ["email", "name", "phone", "birth_date", "card"];
        for (typed, meant) in [
            ("emial", Some("email")),
            ("Email", Some("email")),
            ("e_mail", Some("email")),
            ("phon", Some("phone")),
            ("birthdate", Some("birth_date")),
            ("cards", Some("card")),
            ("iban", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(closest(typed, known), meant, "{typed}");
        }
    }

    #[test]
    fn distances_count_swaps_as_one() {
        let chars = |word: &str| word.chars().collect::<Vec<_>>();
        for (from, to, expected) in
            [("", "abc", 3), ("abc", "", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(&chars(from), &chars(to)), expected, "{from} {to}");
        }
    }
}
