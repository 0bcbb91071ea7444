//! Reads statements on standard input, each a JSON string on a line of its own, and prints what pgveil says of each as
//! one line of JSON, in the same order. For tests that compare it with PostgreSQL's own analysis (`tests/oracle`) and
//! grammar (`tests/mutation`).
//!
//! `analysis_lines CONNECTION POLICY` reads the catalog of the database that a libpq connection string names and a policy
//! file; each line then says what is known of the statements (`analysis`).
//! `analysis_lines --names` needs neither; each line then holds the names that the readers found (`names`).

mod analysis;
mod names;

use std::error::Error;
use std::io::{BufRead as _, Write as _};

use serde_json::Value;

use analysis::Desk;

/// As much as pgveil's own threads for analyses have.
const STACK_BYTES: usize = 256 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let worker = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["--names"] => lines(names::names),
            [connection, policy] => Desk::open(connection, policy).and_then(|desk| lines(|text| desk.analysis(text))),
            _ => Err("usage: analysis_lines CONNECTION POLICY | analysis_lines --names".into()),
        };
        outcome.map_err(|error| error.to_string())
    })?;
    match worker.join() {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err("the analysis panicked".into()),
    }
}

/// Answer each line of standard input.
fn lines(answer: impl Fn(&str) -> Value) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let text: String = serde_json::from_str(&line?)?;
        serde_json::to_writer(&mut out, &answer(&text))?;
        out.write_all(b"\n")?;
        // The other side may wait for this line before it sends the next.
        if text.is_empty() {
            out.flush()?;
        }
    }
    Ok(out.flush()?)
}
