//! What fuzzing found, and a few inputs of every sort, go through the same targets that are fuzzed (`tests/fuzz`).

use std::fs;
use std::path::Path;

#[path = "fuzz/targets/mod.rs"]
mod targets;

/// Run a target over the inputs that are kept for it, and over some that are made of them by chance, the same ones each
/// time: so many of each, or as many as `PGVEIL_FUZZ_ROUNDS` says.
fn replay(name: &str, rounds: u32, target: impl Fn(&[u8])) {
    let rounds = std::env::var("PGVEIL_FUZZ_ROUNDS").ok().and_then(|given| given.parse().ok()).unwrap_or(rounds);
    let kept = kept(name);
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for (place, data) in &kept {
        hold(&target, data, place);
        for _ in 0..rounds {
            let mut made = data.clone();
            for _ in 0..1 + chance.below(4) {
                chance.change(&mut made, &kept);
            }
            hold(&target, &made, place);
        }
    }
}

fn hold(target: &impl Fn(&[u8]), data: &[u8], place: &str) {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| target(data)));
    assert!(outcome.is_ok(), "{place}: {:?}", data.escape_ascii().to_string());
}

/// A generator of numbers (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or_default() % count.max(1)
    }

    fn change(&mut self, made: &mut Vec<u8>, others: &[(String, Vec<u8>)]) {
        let (one, two) = (self.below(made.len() + 1), self.below(made.len() + 1));
        let (start, end) = (one.min(two), one.max(two).min(one.min(two) + 16));
        let byte = u8::try_from(self.below(256)).unwrap_or_default();
        match self.below(6) {
            0 => made.insert(start, byte),
            1 => drop(made.drain(start..end)),
            2 => made.get_mut(start).into_iter().for_each(|place| *place = byte),
            3 => made.get_mut(start).into_iter().for_each(|place| *place ^= 1 << (byte & 7)),
            4 => drop(made.splice(start..start, made.get(start..end).unwrap_or_default().to_vec())),
            _ => {
                let other = others.get(self.below(others.len())).map(|(_, data)| data.as_slice()).unwrap_or_default();
                let from = self.below(other.len() + 1);
                let piece = other.get(from..(from + self.below(24)).min(other.len())).unwrap_or_default();
                drop(made.splice(start..end, piece.iter().copied()));
            }
        }
    }
}

/// The inputs that are kept for a target, each with where it is.
fn kept(name: &str) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for kind in ["found", "seeds"] {
        let directory = Path::new("tests/fuzz").join(kind).join(name);
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries {
            let path = entry.map(|entry| entry.path());
            let Some(data) = path.as_ref().ok().and_then(|path| fs::read(path).ok()) else { panic!("{path:?}") };
            found.push((format!("{path:?}"), data));
        }
    }
    assert!(!found.is_empty(), "there are no inputs for {name}");
    found.sort();
    found
}

#[test]
fn frames_hold() {
    replay("frames", 500, targets::frames::run);
}

#[test]
fn startups_hold() {
    replay("startup", 500, targets::startup::run);
}

#[test]
fn statements_hold() {
    let analyst = targets::statements::Analyst::start();
    replay("statements", 40, |data| analyst.run(data));
}

#[test]
fn rows_hold() {
    replay("rows", 500, targets::rows::run);
}

#[test]
fn copies_hold() {
    on_a_large_stack(|| replay("copies", 100, targets::copies::run));
}

#[test]
fn sessions_hold() {
    on_a_large_stack(|| replay("session", 200, targets::session::run));
}

/// As pgveil's own workers have it.
fn on_a_large_stack(run: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(64 << 20).spawn_scoped(scope, run);
        let ended = thread.map(|thread| thread.join());
        assert!(matches!(ended, Ok(Ok(()))), "it panicked");
    });
}
