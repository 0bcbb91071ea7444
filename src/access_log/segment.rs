//! The names of a log's files.
//!
//! The file that is being written has the name that the settings say, such as `access.jsonl`. When a segment ends its
//! file gets the number of its first record, in 18 digits, and the time of that record behind its name:
//! `access.jsonl.000000000000001234-20261121T090504Z`. So names in order are records in order.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What is behind the log's name in the name of a closed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentName {
    /// The number of its first record.
    pub first: u64,
    /// When that was made, in seconds since 1970.
    pub second: i64,
}

const TIME: &str = "%Y%m%dT%H%M%SZ";

impl SegmentName {
    /// Of a segment whose header has this number and time.
    pub fn new(first: u64, time: Timestamp) -> Self {
        Self { first, second: time.as_second() }
    }

    /// The name of the file, beside the log's own.
    pub fn beside(&self, log: &str) -> String {
        let time = Timestamp::from_second(self.second).unwrap_or_default().to_zoned(TimeZone::UTC);
        format!("{log}.{:018}-{}", self.first, time.strftime(TIME))
    }

    /// What the name of a file beside a log says; `None`: it is no segment of this log's.
    pub fn read(log: &str, file: &str) -> Option<Self> {
        let (first, time) = file.strip_prefix(log)?.strip_prefix('.')?.split_once('-')?;
        let time = jiff::civil::DateTime::strptime(TIME, time).ok()?;
        let second = time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
        let name = Self { first: first.parse().ok()?, second };
        (name.beside(log) == file).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written_and_not_otherwise() {
        let name = SegmentName::new(1234, "2026-11-21T09:05:04.999Z".parse().unwrap());
        let file = name.beside("access.jsonl");
        assert_eq!(file, "access.jsonl.000000000000001234-20261121T090504Z");
        assert_eq!(SegmentName::read("access.jsonl", &file), Some(name));
        for other in [
            "access.jsonl",
            "access.jsonl.1",
            "access.jsonl.lock",
            "access.jsonl.1234-20261121T090504Z",
            "access.jsonl.000000000000001234-20261121T090504Z.gz",
            "other.jsonl.000000000000001234-20261121T090504Z",
        ] {
            assert_eq!(SegmentName::read("access.jsonl", other), None, "{other}");
        }
    }
}
