//! Standard output: one JSON object a line, for those who collect what processes print.

use std::io;

use super::{Delivery, Failure};
use crate::server::shipping::batch::Batch;

/// Standard output. A line counts as acknowledged when the operating system has taken it.
/// Whoever reads slowly holds a write up, for ever if he likes: nothing else can be done meanwhile.
#[derive(Default)]
pub(in crate::server::shipping) struct Stdout {
    /// Whether what was written last may be the first part of a line.
    torn: bool,
}

/// How many lines were written whole, and what ended it.
struct Written {
    lines: usize,
    torn: bool,
    failure: Option<io::Error>,
}

impl Stdout {
    pub(super) async fn deliver(&mut self, batch: &Batch) -> Delivery {
        let torn = self.torn;
        let lines: Vec<String> = batch.records.iter().map(|record| format!("{}\n", record.line)).collect();
        match tokio::task::spawn_blocking(move || write(&lines, torn)).await {
            Ok(Written { lines, torn, failure }) => {
                self.torn = torn;
                let failure = failure.map(|error| Failure::Unavailable(format!("standard output: {error}")));
                Delivery { acknowledged: lines, failure }
            }
            Err(error) => {
                self.torn = true;
                Delivery::unavailable(error)
            }
        }
    }
}

fn write(lines: &[String], torn: bool) -> Written {
    // Not `std::io::stdout()`: its buffer would keep what could not be written and write it later.
    let out = match std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned() {
        Ok(descriptor) => std::fs::File::from(descriptor),
        Err(error) => return Written { lines: 0, torn, failure: Some(error) },
    };
    write_lines(&out, lines, torn)
}

fn write_lines(mut out: impl io::Write, lines: &[String], mut torn: bool) -> Written {
    if torn {
        if let Err(error) = out.write_all(b"\n") {
            return Written { lines: 0, torn, failure: Some(error) };
        }
        torn = false;
    }
    let bytes = lines.concat();
    let mut written = 0;
    let failure = loop {
        let Some(rest) = bytes.as_bytes().get(written..).filter(|rest| !rest.is_empty()) else { break None };
        match out.write(rest) {
            Ok(0) => break Some(io::ErrorKind::WriteZero.into()),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Some(error),
        }
    };
    let mut whole = 0;
    let mut left = written;
    for line in lines {
        match left.checked_sub(line.len()) {
            Some(rest) => {
                left = rest;
                whole += 1;
            }
            None => {
                torn = left > 0;
                break;
            }
        }
    }
    Written { lines: whole, torn, failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes.
    struct Full(Vec<u8>, usize);

    impl io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.1 - self.0.len());
            self.0.extend_from_slice(&bytes[..taken]);
            if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_whole_lines_count_and_a_torn_one_is_ended_first() {
        let lines = ["one\n".to_owned(), "two\n".to_owned()];
        for (room, torn_before, whole, torn, expected) in [
            (8, false, 2, false, "one\ntwo\n"),
            (7, false, 1, true, "one\ntwo"),
            (4, false, 1, false, "one\n"),
            (2, false, 0, true, "on"),
            (0, false, 0, false, ""),
            (9, true, 2, false, "\none\ntwo\n"),
            (0, true, 0, true, ""),
        ] {
            let mut out = Full(Vec::new(), room);
            let written = write_lines(&mut out, &lines, torn_before);
            assert_eq!((written.lines, written.torn), (whole, torn), "{room}");
            assert_eq!(String::from_utf8(out.0).unwrap(), expected);
        }
    }
}
