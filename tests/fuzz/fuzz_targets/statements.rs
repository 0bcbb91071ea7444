#![no_main]

#[path = "../targets/mod.rs"]
mod targets;

use std::sync::LazyLock;

// One thread for all inputs: it has the stack that pgveil gives to its own analyses.
static ANALYST: LazyLock<targets::statements::Analyst> = LazyLock::new(targets::statements::Analyst::start);

libfuzzer_sys::fuzz_target!(|data: &[u8]| ANALYST.run(data));
