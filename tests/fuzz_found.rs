//! What fuzzing found, and a few inputs of every sort, go through the same targets that are fuzzed (`tests/fuzz`).

use std::fs;
use std::path::Path;

#[path = "fuzz/targets/mod.rs"]
mod targets;

/// Run a target over the inputs that are kept for it.
fn replay(name: &str, target: impl Fn(&[u8])) {
    let mut played = 0;
    for kind in ["found", "seeds"] {
        let directory = Path::new("tests/fuzz").join(kind).join(name);
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries {
            let path = entry.map(|entry| entry.path());
            let Some(data) = path.as_ref().ok().and_then(|path| fs::read(path).ok()) else { panic!("{path:?}") };
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| target(&data)));
            assert!(outcome.is_ok(), "{path:?}");
            played += 1;
        }
    }
    assert!(played > 0, "there are no inputs for {name}");
}

#[test]
fn frames_hold() {
    replay("frames", targets::frames::run);
}

#[test]
fn startups_hold() {
    replay("startup", targets::startup::run);
}

#[test]
fn statements_hold() {
    let analyst = targets::statements::Analyst::start();
    replay("statements", |data| analyst.run(data));
}

#[test]
fn rows_hold() {
    replay("rows", targets::rows::run);
}

#[test]
fn sessions_hold() {
    let thread = std::thread::Builder::new().stack_size(64 << 20);
    thread.spawn(|| replay("session", targets::session::run)).unwrap().join().unwrap();
}
