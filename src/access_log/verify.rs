//! Whether a log is what was written: takes its lines, oldest first, and names the first that is not.
//!
//! [`Verifier::begin`] for each file, [`Verifier::line`] for each of its lines, [`Verifier::half`] for what is behind the
//! last line feed, and [`Verifier::finish`]. It is strict: a line that is not understood, a number that is missing, a
//! checkpoint that is not exactly what its note says end it. Only what a killed process leaves behind is told apart from
//! damage, and that is not called whole either.

mod flaw;
mod report;
#[cfg(test)]
mod tests;

use jiff::Timestamp;

use super::chain::{Chain, Digest};
use super::checkpoint::{Attested, CheckpointReason, PublicKey};
use super::line::{Head, push_mark};
use super::mark::{Checkpoint, FORMAT, KeyChange, Mark, Retention, SegmentHeader};
use super::segment::SegmentName;
pub use flaw::{Fault, Flaw};
pub use report::{Attestation, Crash, Ending, Report, Verdict};

/// What is known when the last line was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The time.
    pub now: Timestamp,
    /// Whether a process has the log open for writing.
    pub writing: bool,
}

/// How much later than its time a checkpoint may come: two are missing then, and a busy machine may be slow.
const LATENESS_SECONDS: u64 = 10;

/// Takes the lines of a log.
pub struct Verifier {
    /// Whether keys were given.
    anchored: bool,
    /// Those keys, and the ones that follow from them.
    trusted: Vec<PublicKey>,
    /// Checkpoints that were kept outside.
    kept: Vec<Attested>,
    /// Whether the first file is the oldest that there is.
    from_oldest: bool,
    place: Place,
    named: Option<SegmentName>,
    chain: Option<Chain>,
    /// The last record did not fit; which of the two is to blame is known by the next.
    suspect: Option<Suspect>,
    header: Option<SegmentHeader>,
    signer: Option<PublicKey>,
    last: Last,
    retentions: Vec<Retention>,
    /// Number and first `prev` of the first segment taken, and its first record.
    oldest: Option<(u64, Digest, u64)>,
    half: u64,
    report: Report,
}

/// A line of a file.
#[derive(Clone, Debug, Default)]
struct Place {
    file: String,
    line: u64,
}

struct Suspect {
    before: Flaw,
    this: Flaw,
}

/// What the last record was, as far as it matters to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// The file has only begun.
    Nothing,
    Header,
    Record,
    Recovery,
    SegmentEnd,
    Stop,
}

impl Verifier {
    /// A verifier that trusts these keys and those that follow from them. `from_oldest`: its first file will be the oldest
    /// that there is, so that older ones must have been deleted by rule.
    pub fn new(trusted: Vec<PublicKey>, kept: Vec<Attested>, from_oldest: bool) -> Self {
        Self {
            anchored: !trusted.is_empty(),
            trusted,
            kept,
            from_oldest,
            place: Place::default(),
            named: None,
            chain: None,
            suspect: None,
            header: None,
            signer: None,
            last: Last::Nothing,
            retentions: Vec::new(),
            oldest: None,
            half: 0,
            report: Report::default(),
        }
    }

    /// The next file; `named`: what its name says, if it is that of a closed segment.
    ///
    /// # Errors
    /// The file before it has no end.
    pub fn begin(&mut self, file: &str, named: Option<SegmentName>) -> Result<(), Flaw> {
        if self.half > 0 {
            return Err(self.flaw(Fault::Half));
        }
        if self.header.is_some() && self.last != Last::SegmentEnd {
            return Err(self.flaw(Fault::NoEnd));
        }
        self.place = Place { file: file.to_owned(), line: 0 };
        self.named = named;
        self.last = Last::Nothing;
        self.report.segments += 1;
        Ok(())
    }

    /// The next line, with its line feed.
    ///
    /// # Errors
    /// It, or the one before it, is not what was written.
    pub fn line(&mut self, line: &[u8]) -> Result<(), Flaw> {
        self.place.line += 1;
        let Ok(head) = Head::read(line) else { return Err(self.blamed(None, Fault::NotARecord)) };
        let mark = match Mark::read(&head.kind, line) {
            Ok(mark) => mark,
            Err(_) => return Err(self.blamed(Some(head.seq), Fault::NotARecord)),
        };
        if let Some(suspect) = self.suspect.take() {
            let fits = self.chain.is_some_and(|chain| chain.next() == head.seq && chain.last() == head.prev);
            return Err(if fits { suspect.before } else { suspect.this });
        }
        match (self.last, &mark) {
            (Last::Nothing, Some(Mark::Segment(header))) => self.header(&head, header)?,
            (Last::Nothing, _) => return Err(self.at(head.seq, Fault::NoHeader)),
            (_, Some(Mark::Segment(_))) => return Err(self.at(head.seq, Fault::HeaderInside)),
            (Last::SegmentEnd, _) => return Err(self.at(head.seq, Fault::BehindEnd)),
            _ => {}
        }
        let mut chain = self.chain.unwrap_or_else(|| Chain::behind(head.seq.saturating_sub(1), head.prev));
        if head.seq != chain.next() {
            return Err(self.at(head.seq, Fault::Sequence { expected: chain.next() }));
        }
        let linked = head.prev == chain.last();
        let next = self.marked(&head, mark.as_ref(), line)?;
        if !linked {
            let (mut before, this) = (self.at(head.seq, Fault::Altered), self.at(head.seq, Fault::Link));
            before.seq = Some(head.seq.saturating_sub(1));
            before.line = before.line.saturating_sub(1);
            // A checkpoint that is exactly what was signed is not to blame.
            if matches!(mark, Some(Mark::Checkpoint(_))) || matches!(mark, Some(Mark::Segment(_))) {
                return Err(if before.line == 0 { this } else { before });
            }
            self.suspect = Some(Suspect { before, this });
        }
        chain.append(line);
        if let Some(kept) = self.kept.iter().find(|kept| kept.seq == chain.seq() && kept.digest != chain.last()) {
            return Err(self.at(head.seq, Fault::NotAsKept { kept: kept.seq }));
        }
        self.report.takes(&head);
        self.chain = Some(chain);
        self.last = next;
        Ok(())
    }

    /// Bytes behind the last line feed of the file.
    pub fn half(&mut self, bytes: u64) {
        self.half = bytes;
    }

    /// There are no more files.
    ///
    /// # Errors
    /// Something is missing.
    pub fn finish(mut self, moment: Moment) -> Result<Report, Flaw> {
        if let Some(suspect) = self.suspect.take() {
            return Err(suspect.this);
        }
        let (Some(header), Some(chain), Some(oldest)) = (self.header.clone(), self.chain, self.oldest) else {
            return Err(self.flaw(Fault::Empty));
        };
        if self.half > 0 && matches!(self.last, Last::Stop | Last::SegmentEnd) {
            return Err(self.flaw(Fault::BehindEnd));
        }
        self.look_for_the_oldest(oldest)?;
        for kept in &self.kept {
            if kept.log != header.log {
                return Err(self.flaw(Fault::KeptOfAnotherLog { kept: kept.seq }));
            }
            if kept.seq > chain.seq() {
                return Err(self.flaw(Fault::Truncated { kept: kept.seq }));
            }
            if kept.seq < oldest.2 {
                self.report.kept_too_old.push(kept.seq);
            }
        }
        self.report.ending = self.ending(&header, moment);
        // The key that signed last speaks for all that is before it in the chain.
        self.report.attestation = match &self.signer {
            None if self.anchored => return Err(self.flaw(Fault::NotSigned)),
            None => Attestation::Unsigned,
            Some(key) if !self.anchored => Attestation::Unanchored(key.clone()),
            Some(key) if self.trusted.contains(key) => Attestation::Trusted(key.clone()),
            Some(_) => return Err(self.flaw(Fault::UnknownKey)),
        };
        Ok(self.report)
    }

    /// The first line of a file.
    fn header(&mut self, head: &Head<'_>, header: &SegmentHeader) -> Result<(), Flaw> {
        let seq = head.seq;
        if header.format != FORMAT {
            return Err(self.at(seq, Fault::Format));
        }
        if self.named.is_some_and(|named| named != SegmentName::new(seq, head.stamp.time)) {
            return Err(self.at(seq, Fault::Name));
        }
        match &self.header {
            Some(before) if before.log != header.log => return Err(self.at(seq, Fault::OtherLog)),
            Some(before) if before.segment + 1 != header.segment => {
                let expected = before.segment + 1;
                return Err(self.at(seq, Fault::Segment { expected, found: header.segment }));
            }
            Some(_) => {}
            None => {
                let begins = seq == 1 && head.prev == Digest::NOTHING;
                if begins != (header.segment == 1) {
                    return Err(self.at(seq, Fault::Beginning));
                }
                self.oldest = Some((header.segment, head.prev, seq));
                self.report.log = Some(header.log);
            }
        }
        let key = match header.public_key.as_deref().map(str::parse::<PublicKey>) {
            None => None,
            Some(Ok(key)) => Some(key),
            Some(Err(_)) => return Err(self.at(seq, Fault::Key)),
        };
        if self.header.is_some() {
            if key != self.signer {
                return Err(self.at(seq, Fault::Key));
            }
        } else {
            self.follow(&header.succession);
            self.signer = key;
        }
        self.header = Some(header.clone());
        Ok(())
    }

    /// Keys that those trusted name as their successors are trusted.
    fn follow(&mut self, succession: &[String]) {
        for note in succession {
            let followed = self.trusted.iter().find_map(|former| former.successor(note).ok());
            self.trusted.extend(followed.filter(|key| !self.trusted.contains(key)));
        }
    }

    /// What a record of the log about itself says; what it is to the next.
    fn marked(&mut self, head: &Head<'_>, mark: Option<&Mark>, line: &[u8]) -> Result<Last, Flaw> {
        let seq = head.seq;
        let begins = matches!(mark, Some(Mark::Start(_) | Mark::Recovery(_)));
        if self.last == Last::Stop && !begins {
            return Err(self.at(seq, Fault::BehindEnd));
        }
        if self.last == Last::Recovery && !begins {
            return Err(self.at(seq, Fault::NoStart));
        }
        match mark {
            None => Ok(Last::Record),
            Some(Mark::Segment(_)) => Ok(Last::Header),
            Some(Mark::Start(_)) => match self.last {
                Last::Stop | Last::Recovery | Last::Header => Ok(Last::Record),
                Last::Nothing | Last::Record | Last::SegmentEnd => Err(self.at(seq, Fault::NoStop)),
            },
            Some(Mark::Recovery(recovery)) => {
                if recovery.last != seq.saturating_sub(1) {
                    return Err(self.at(seq, Fault::Recovery));
                }
                self.report.crashes.push(Crash {
                    seq,
                    time: head.stamp.time,
                    cut_bytes: recovery.cut_bytes,
                    cut_lines: recovery.cut_lines,
                });
                Ok(Last::Recovery)
            }
            Some(Mark::Outage(_)) => {
                self.report.outages += 1;
                Ok(Last::Record)
            }
            Some(Mark::Key(KeyChange { public_key, succession })) => {
                let Ok(key) = public_key.parse::<PublicKey>() else { return Err(self.at(seq, Fault::Key)) };
                if let Some(signer) = &self.signer {
                    // Notes that this key has not signed are of changes before it.
                    let named = |key: PublicKey, note: &String| key.successor(note).unwrap_or(key);
                    if succession.iter().fold(signer.clone(), named) != key {
                        return Err(self.at(seq, Fault::Succession));
                    }
                }
                self.follow(succession);
                self.signer = Some(key);
                Ok(Last::Record)
            }
            Some(Mark::Retention(retention)) => {
                self.retentions.push(retention.clone());
                Ok(Last::Record)
            }
            Some(Mark::Checkpoint(checkpoint)) => self.checkpoint(head, checkpoint, line),
        }
    }

    fn checkpoint(&mut self, head: &Head<'_>, checkpoint: &Checkpoint, line: &[u8]) -> Result<Last, Flaw> {
        let wrong = |fault| self.at(head.seq, fault);
        let attested = Attested::read(&checkpoint.note).map_err(|why| wrong(Fault::Checkpoint(why)))?;
        if let Some(signer) = &self.signer {
            signer.open(&checkpoint.note).map_err(|why| wrong(Fault::Checkpoint(why)))?;
        }
        if self.header.as_ref().is_none_or(|header| header.log != attested.log) {
            return Err(wrong(Fault::OtherLog));
        }
        // The line is what the note says, to the last byte.
        let (mut again, mut chain) = (Vec::new(), Chain::behind(attested.seq, attested.digest));
        let made = push_mark(&mut again, &mut chain, &attested.stamp, &Mark::Checkpoint(checkpoint.clone()));
        if made.is_err() || again != line || attested.seq != head.seq.saturating_sub(1) {
            return Err(wrong(Fault::CheckpointLine));
        }
        self.report.checkpoints += 1;
        self.report.newest = Some((attested, checkpoint.note.clone()));
        Ok(match attested.reason {
            CheckpointReason::Start | CheckpointReason::Interval => Last::Record,
            CheckpointReason::SegmentEnd => Last::SegmentEnd,
            CheckpointReason::Stop => Last::Stop,
        })
    }

    /// Where the log does not begin with its first segment, a record must say that those before were deleted by rule.
    fn look_for_the_oldest(&self, (segment, prev, first): (u64, Digest, u64)) -> Result<(), Flaw> {
        if segment == 1 || !self.from_oldest {
            return Ok(());
        }
        let allowed = self.retentions.iter().any(|retention| {
            let exact = retention.through_digest == prev && retention.through_seq == first.saturating_sub(1);
            retention.through_segment >= segment || (retention.through_segment + 1 == segment && exact)
        });
        if allowed { Ok(()) } else { Err(self.at(first, Fault::Deleted { through: segment - 1 })) }
    }

    fn ending(&self, header: &SegmentHeader, moment: Moment) -> Ending {
        let attested = self.report.newest.as_ref().map(|(attested, _)| attested);
        let signed = attested.map_or(0, |attested| attested.seq + 1);
        let unsigned = self.chain.map_or(0, |chain| chain.seq()).saturating_sub(signed);
        match self.last {
            Last::Stop => return Ending::Clean,
            Last::SegmentEnd if !moment.writing => return Ending::NoLiveFile,
            Last::SegmentEnd | Last::Nothing | Last::Header | Last::Record | Last::Recovery => {}
        }
        let seconds = header.checkpoint_seconds.saturating_mul(2).saturating_add(LATENESS_SECONDS);
        let age = attested.map(|attested| moment.now.duration_since(attested.stamp.time).as_secs());
        let fresh = age.is_some_and(|age| age <= i64::try_from(seconds).unwrap_or(i64::MAX));
        match moment.writing {
            true if fresh => Ending::Live { unsigned },
            true => Ending::Stale { unsigned, seconds: age.unwrap_or(i64::MAX) },
            false => Ending::Crash { unsigned, half_bytes: self.half },
        }
    }

    fn flaw(&self, fault: Fault) -> Flaw {
        let Place { file, line } = self.place.clone();
        Flaw { file, line, seq: self.chain.map(|chain| chain.seq()), fault }
    }

    fn at(&self, seq: u64, fault: Fault) -> Flaw {
        Flaw { seq: Some(seq), ..self.flaw(fault) }
    }

    /// The fault of this line, unless the one before it was found not to fit.
    fn blamed(&mut self, seq: Option<u64>, fault: Fault) -> Flaw {
        match self.suspect.take() {
            Some(suspect) => suspect.this,
            None => Flaw { seq, ..self.flaw(fault) },
        }
    }
}
