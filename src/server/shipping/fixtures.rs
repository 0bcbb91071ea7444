//! For the tests of shipping.

use std::ops::Range;
use std::path::PathBuf;

use super::batch::{Batch, Record};

/// A directory of its own, removed at the end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("pgveil-shipping-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _left = std::fs::remove_dir_all(&self.0);
    }
}

/// The line of a record.
pub(super) fn line(seq: u64) -> String {
    line_with(seq, "")
}

/// The same, with further fields.
pub(super) fn line_with(seq: u64, fields: &str) -> String {
    format!(
        "{{\"seq\":{seq},\"prev\":\"{}\",\"time\":\"2026-11-21T09:05:04.000123Z\",\
         \"id\":\"01934b1f-0000-7000-8000-000000000001\",\"kind\":\"reveal\"{fields}}}",
        "0".repeat(64)
    )
}

/// Records with these numbers.
pub(super) fn batch(log: &str, numbers: Range<u64>) -> Batch {
    Batch { log: log.into(), records: numbers.map(|seq| Record { seq, line: line(seq).into() }).collect() }
}

pub(super) fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
