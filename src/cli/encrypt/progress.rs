//! How far it is: a bar on a terminal, else a line now and then.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Time between two lines where there is no terminal, and between two drawings of the bar.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
const BAR_INTERVAL: Duration = Duration::from_millis(200);
const BAR_WIDTH: usize = 30;

/// The progress of one pass over one table, on standard error.
pub(super) struct Progress {
    what: String,
    rows: u64,
    started: Instant,
    shown: Instant,
    is_terminal: bool,
}

impl Progress {
    /// Of something that is named so: `converting public.customer`.
    pub(super) fn new(what: impl Into<String>) -> Self {
        let now = Instant::now();
        Self { what: what.into(), rows: 0, started: now, shown: now, is_terminal: std::io::stderr().is_terminal() }
    }

    /// So many rows more, and how far of the whole that is, from 0 to 1.
    pub(super) fn advance(&mut self, rows: u64, done: f64) {
        self.rows += rows;
        let interval = if self.is_terminal { BAR_INTERVAL } else { LINE_INTERVAL };
        if self.shown.elapsed() < interval {
            return;
        }
        self.shown = Instant::now();
        let mut out = std::io::stderr().lock();
        // Nobody is left to tell when standard error is closed.
        let _written = if self.is_terminal {
            write!(out, "\r{}\x1b[K", self.bar(done)).and_then(|()| out.flush())
        } else {
            writeln!(out, "{}: {:.0} %, {}", self.what, done * 100.0, self.speed())
        };
    }

    /// It is over: say so in one line.
    pub(super) fn finish(self, outcome: &str) {
        let mut out = std::io::stderr().lock();
        let start = if self.is_terminal { "\r\x1b[K" } else { "" };
        let _written = writeln!(out, "{start}{}: {outcome}, {}", self.what, self.speed());
    }

    fn bar(&self, done: f64) -> String {
        let full = ((done * BAR_WIDTH as f64) as usize).min(BAR_WIDTH);
        let (full, rest) = ("#".repeat(full), ".".repeat(BAR_WIDTH - full));
        format!("{} [{full}{rest}] {:3.0} %, {}", self.what, done * 100.0, self.speed())
    }

    fn speed(&self) -> String {
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = if seconds > 0.0 { self.rows as f64 / seconds } else { 0.0 };
        format!("{} rows, {rate:.0} rows/s", self.rows)
    }
}
