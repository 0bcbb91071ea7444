//! The bodies of the fuzz targets: each takes any bytes and panics where a promise is broken. They are run by libFuzzer
//! (`tests/fuzz`) and, over the kept inputs, by plain tests (`tests/fuzz_found.rs`).

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // each binary runs one of them

pub mod copies;
pub mod database;
pub mod frames;
pub mod rows;
pub mod session;
pub mod startup;
pub mod statements;

/// Takes decisions off an input.
pub struct Dice<'a>(pub &'a [u8]);

impl<'a> Dice<'a> {
    /// The next byte; 0 at the end.
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// One of so many.
    pub fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count.max(1)
    }

    /// Up to so many bytes.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Whether nothing is left.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}
