//! The savepoints of the transaction under way, as far as they were seen (PostgreSQL manual, SAVEPOINT).

use crate::catalog::Name;

/// More savepoints of one transaction are not told from each other.
const SAVEPOINTS_MAX: usize = 1_000;

/// Those of one transaction, the innermost last; `None`: its name was not seen.
#[derive(Debug, Default)]
pub(super) struct Savepoints(Vec<Option<Name>>);

impl Savepoints {
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// `SAVEPOINT`: the same name may be there already, and is hidden until this one is released.
    pub(super) fn add(&mut self, name: Option<&Name>) {
        if self.0.len() < SAVEPOINTS_MAX {
            self.0.push(name.cloned());
        } else {
            self.forget();
        }
    }

    /// `RELEASE`: how many savepoints are left.
    pub(super) fn release(&mut self, name: Option<&Name>) -> usize {
        match self.find(name) {
            Some(place) => self.0.truncate(place),
            None => self.forget(),
        }
        self.0.len()
    }

    /// `ROLLBACK TO`, which leaves the savepoint in place: how many savepoints there are up to and with that one.
    pub(super) fn roll_back_to(&mut self, name: Option<&Name>) -> usize {
        match self.find(name) {
            Some(place) => self.0.truncate(place.saturating_add(1)),
            None => self.forget(),
        }
        self.0.len()
    }

    /// Where the innermost of that name is; `None`: one after it may have the same name.
    fn find(&self, name: Option<&Name>) -> Option<usize> {
        let name = name?;
        let place = self.0.iter().rposition(|known| known.as_ref().is_none_or(|known| known == name))?;
        self.0.get(place)?.as_ref().map(|_| place)
    }

    /// What was made after any of them may be gone with each.
    fn forget(&mut self) {
        self.0 = vec![None];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps such as `save a`, `back a`, `release a`; `?` is a name that was not seen. How many there are after each.
    fn counts(steps: &[&str]) -> Vec<usize> {
        let mut savepoints = Savepoints::default();
        let played = steps.iter().map(|step| {
            let (verb, name) = step.split_once(' ').unwrap();
            let name = (name != "?").then(|| Name::exact(name));
            match verb {
                "save" => savepoints.add(name.as_ref()),
                "back" => drop(savepoints.roll_back_to(name.as_ref())),
                _ => drop(savepoints.release(name.as_ref())),
            }
            savepoints.count()
        });
        played.collect()
    }

    #[test]
    fn the_innermost_of_a_name_is_meant() {
        assert_eq!(counts(&["save a", "save b", "save a", "back a", "release a", "back a"]), [1, 2, 3, 3, 2, 1]);
        assert_eq!(counts(&["save a", "save b", "save c", "release b", "release a"]), [1, 2, 3, 1, 0]);
    }

    #[test]
    fn a_name_that_was_not_seen_may_be_any() {
        for step in ["back a", "back ?", "release ?", "back c", "release a"] {
            assert_eq!(counts(&["save a", "save ?", "save b", step]).last(), Some(&1), "{step}");
        }
        assert_eq!(counts(&["save a", "save ?", "save b", "back b"]).last(), Some(&3));
    }
}
