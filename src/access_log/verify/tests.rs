//! Logs that are whole, and logs with one change.

use uuid::Uuid;

use super::*;
use crate::access_log::checkpoint::SigningKey;
use crate::access_log::line::{Stamp, push_checkpoint, push_record};
use crate::access_log::mark::{Outage, Recovery, Start};
use crate::access_log::{Action, Closing, Record, Visit};
use crate::catalog::Name;

const BOOT: Uuid = Uuid::from_u128(7);

/// A log as it is written, file by file.
struct Log {
    files: Vec<(String, Vec<u8>)>,
    chain: Chain,
    key: Option<SigningKey>,
    id: Uuid,
    segment: u64,
    second: i64,
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).unwrap()
}

impl Log {
    fn new(seed: Option<u8>) -> Self {
        let id = Uuid::from_u128(99);
        let mut log = Self {
            files: Vec::new(),
            chain: Chain::default(),
            key: seed.map(key),
            id,
            segment: 0,
            second: 1_800_000_000,
        };
        log.segment(Vec::new());
        log.start();
        log
    }

    fn stamp(&mut self) -> Stamp {
        self.second += 1;
        let id = Uuid::from_u128(u128::try_from(self.second).unwrap());
        Stamp { time: Timestamp::from_second(self.second).unwrap(), id }
    }

    fn mark(&mut self, mark: Mark) {
        let stamp = self.stamp();
        push_mark(&mut self.files.last_mut().unwrap().1, &mut self.chain, &stamp, &mark).unwrap();
    }

    fn segment(&mut self, succession: Vec<String>) {
        self.segment += 1;
        let time = Timestamp::from_second(self.second + 1).unwrap();
        let name = SegmentName::new(self.chain.next(), time).beside("log");
        self.files.push((name, Vec::new()));
        self.mark(Mark::Segment(SegmentHeader {
            format: FORMAT.to_owned(),
            log: self.id,
            segment: self.segment,
            boot: BOOT,
            checkpoint_seconds: 60,
            public_key: self.key.as_ref().map(|key| key.public().to_string()),
            succession,
        }));
    }

    fn start(&mut self) {
        self.mark(Mark::Start(Start { boot: BOOT, version: "0".to_owned() }));
        self.checkpoint(CheckpointReason::Start);
    }

    fn checkpoint(&mut self, reason: CheckpointReason) -> Attested {
        let stamp = self.stamp();
        let buffer = &mut self.files.last_mut().unwrap().1;
        let note = push_checkpoint(buffer, &mut self.chain, &stamp, self.id, reason, self.key.as_ref()).unwrap();
        Attested::read(&note).unwrap()
    }

    fn records(&mut self, count: u64) {
        for execution in 1..=count {
            let visit = Visit {
                session: 1,
                user: Name::exact("ann"),
                actor: None,
                database: Name::exact("shop"),
                client: "127.0.0.1:5000".parse().unwrap(),
                application_name: None,
            };
            let (visit, action, entities) = (visit.into(), Action::View, Vec::new());
            let closing = Closing { visit, execution, rows: 1, complete: true, action, entities };
            let stamp = self.stamp();
            let buffer = &mut self.files.last_mut().unwrap().1;
            push_record(buffer, &mut self.chain, &stamp, &Record::Closing(closing)).unwrap();
        }
    }

    fn rotate(&mut self) {
        self.checkpoint(CheckpointReason::SegmentEnd);
        self.segment(Vec::new());
        self.checkpoint(CheckpointReason::Start);
    }

    /// Three segments, two processes, of which the first was killed, and a clean end.
    fn usual(seed: Option<u8>) -> Self {
        let mut log = Self::new(seed);
        log.records(5);
        log.checkpoint(CheckpointReason::Interval);
        log.records(2);
        log.rotate();
        log.records(4);
        let last = log.chain.seq();
        log.mark(Mark::Recovery(Recovery { last, cut_bytes: 9, cut_lines: 0, cut_digest: None, cut_file: None }));
        log.start();
        log.records(3);
        log.rotate();
        log.records(2);
        let since = Timestamp::UNIX_EPOCH;
        log.mark(Mark::Outage(Outage { since, reason: "No space left".to_owned(), lost: 0 }));
        log.records(2);
        log.checkpoint(CheckpointReason::Stop);
        log
    }

    fn verify(&self) -> Result<Report, Flaw> {
        self.verify_with(vec![key(1).public().clone()], Vec::new(), false)
    }

    fn verify_with(&self, trusted: Vec<PublicKey>, kept: Vec<Attested>, writing: bool) -> Result<Report, Flaw> {
        let now = Timestamp::from_second(self.second + 60).unwrap();
        verified(&self.files, Verifier::new(trusted, kept, true), Moment { now, writing })
    }

    fn line(&mut self, file: usize, line: usize) -> &mut [u8] {
        self.files[file].1.split_inclusive_mut(|byte| *byte == b'\n').nth(line).unwrap()
    }
}

/// As the command does it: files in the order of their names; the last is the one that is being written.
fn verified(files: &[(String, Vec<u8>)], mut verifier: Verifier, moment: Moment) -> Result<Report, Flaw> {
    let mut files: Vec<_> = files.iter().collect();
    files.sort_by_key(|(name, _)| SegmentName::read("log", name));
    for (at, (name, bytes)) in files.iter().enumerate() {
        let named = SegmentName::read("log", name).filter(|_| at + 1 < files.len());
        verifier.begin(name, named)?;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if line.ends_with(b"\n") { verifier.line(line)? } else { verifier.half(line.len() as u64) }
        }
    }
    verifier.finish(moment)
}

fn fault(outcome: Result<Report, Flaw>) -> (u64, Option<u64>, Fault) {
    let flaw = outcome.unwrap_err();
    (flaw.line, flaw.seq, flaw.fault)
}

#[test]
fn a_log_as_it_was_written_is_whole() {
    let report = Log::usual(Some(1)).verify().unwrap();
    assert_eq!(report.verdict(), Verdict::Whole);
    assert_eq!((report.segments, report.records, report.checkpoints), (3, 33, 8));
    assert_eq!((report.crashes.len(), report.outages, report.clock_set_back), (1, 1, 0));
    assert_eq!(report.ending, Ending::Clean);
}

#[test]
fn who_vouches_for_it_is_said() {
    let log = Log::usual(Some(1));
    let verdict = |log: &Log, trusted| log.verify_with(trusted, Vec::new(), false).map(|report| report.verdict());
    assert_eq!(verdict(&log, Vec::new()), Ok(Verdict::Unattested));
    assert_eq!(verdict(&Log::usual(None), Vec::new()), Ok(Verdict::Unattested));
    let other = vec![key(2).public().clone()];
    assert_eq!(fault(log.verify_with(other, Vec::new(), false)).2, Fault::UnknownKey);
    assert_eq!(fault(Log::usual(None).verify()).2, Fault::NotSigned);
}

#[test]
fn a_log_that_only_stops_is_not_called_whole() {
    let mut log = Log::new(Some(1));
    log.records(3);
    let verdict = |log: &Log, writing| {
        let report = log.verify_with(vec![key(1).public().clone()], Vec::new(), writing).unwrap();
        (report.verdict(), report.ending)
    };
    assert_eq!(verdict(&log, true), (Verdict::Whole, Ending::Live { unsigned: 3 }));
    assert_eq!(verdict(&log, false), (Verdict::Unfinished, Ending::Crash { unsigned: 3, half_bytes: 0 }));
    log.files.last_mut().unwrap().1.extend_from_slice(b"{\"seq\":7");
    assert_eq!(verdict(&log, false), (Verdict::Unfinished, Ending::Crash { unsigned: 3, half_bytes: 8 }));
    log.second += 1000;
    assert_eq!(verdict(&log, true), (Verdict::Unfinished, Ending::Stale { unsigned: 3, seconds: 1063 }));
}

#[test]
fn the_first_bad_record_is_named() {
    let altered = |file, line| {
        let mut log = Log::usual(Some(1));
        let bytes = log.line(file, line);
        let at = bytes.len() - 10;
        bytes[at] ^= 1;
        fault(log.verify())
    };
    // A record, a checkpoint, the record before a checkpoint.
    assert_eq!(altered(0, 4), (5, Some(5), Fault::Altered));
    assert_eq!(altered(1, 3), (4, Some(16), Fault::Altered));
    assert_eq!(altered(0, 7), (8, Some(8), Fault::Altered));
    assert!(matches!(altered(0, 8), (9, Some(9), Fault::Checkpoint(_) | Fault::NotARecord)));
}

#[test]
fn the_digest_that_a_record_has_of_another_is_its_own() {
    let mut log = Log::usual(Some(1));
    let bytes = log.line(0, 4);
    let at = bytes.windows(6).position(|window| window == b"prev\":").unwrap() + 8;
    bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
    assert_eq!(fault(log.verify()), (5, Some(5), Fault::Link));
}

#[test]
fn what_is_missing_put_in_or_moved_is_found() {
    let change = |change: fn(&mut Vec<Vec<u8>>)| {
        let mut log = Log::usual(Some(1));
        let mut lines: Vec<_> = log.files[0].1.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        change(&mut lines);
        log.files[0].1 = lines.concat();
        fault(log.verify())
    };
    assert_eq!(change(|lines| drop(lines.remove(4))), (5, Some(6), Fault::Sequence { expected: 5 }));
    assert_eq!(change(|lines| lines.swap(4, 5)), (5, Some(6), Fault::Sequence { expected: 5 }));
    assert_eq!(change(|lines| lines.insert(5, lines[4].clone())), (6, Some(5), Fault::Sequence { expected: 6 }));
    assert_eq!(change(|lines| lines.insert(5, b"\n".to_vec())), (6, None, Fault::NotARecord));
    assert_eq!(change(|lines| drop(lines.pop())), (11, Some(11), Fault::NoEnd));
    assert_eq!(change(|lines| drop(lines.remove(0))), (1, Some(2), Fault::NoHeader));
}

#[test]
fn files_that_are_missing_put_in_or_exchanged_are_found() {
    let change = |change: fn(&mut Vec<(String, Vec<u8>)>)| {
        let mut log = Log::usual(Some(1));
        change(&mut log.files);
        log.verify().map(|report| report.verdict()).map_err(|flaw| flaw.fault)
    };
    assert_eq!(change(|files| drop(files.remove(1))), Err(Fault::Segment { expected: 2, found: 3 }));
    assert_eq!(change(|files| drop(files.remove(0))), Err(Fault::Deleted { through: 1 }));
    assert_eq!(change(|files| drop(files.remove(2))), Ok(Verdict::Unfinished));
    assert_eq!(
        change(|files| {
            let (first, second) = (files[0].1.clone(), files[1].1.clone());
            (files[0].1, files[1].1) = (second, first);
        }),
        Err(Fault::Name)
    );
    assert_eq!(
        change(|files| {
            let copy = files[1].1.clone();
            files.push((SegmentName { first: 14, second: 1_900_000_000 }.beside("log"), copy));
        }),
        Err(Fault::Name)
    );
    assert_eq!(change(Vec::clear), Err(Fault::Empty));
}

#[test]
fn segments_that_a_rule_deleted_are_not_missed() {
    let mut log = Log::new(Some(1));
    log.records(2);
    log.checkpoint(CheckpointReason::SegmentEnd);
    let (through_seq, through_digest) = (log.chain.seq(), log.chain.last());
    log.segment(Vec::new());
    log.mark(Mark::Retention(Retention {
        through_segment: 1,
        through_seq,
        through_digest,
        rule: "90 days".to_owned(),
    }));
    log.checkpoint(CheckpointReason::Stop);
    assert_eq!(log.verify().unwrap().verdict(), Verdict::Whole, "a crash before the file was deleted");
    log.files.remove(0);
    assert_eq!(log.verify().unwrap().verdict(), Verdict::Whole);
}

#[test]
fn a_checkpoint_kept_outside_finds_what_was_cut_off_or_written_anew() {
    let mut log = Log::usual(Some(1));
    let trusted = || vec![key(1).public().clone()];
    let end = log.verify().unwrap().newest.unwrap().0;
    assert_eq!(log.verify_with(trusted(), vec![end], false).unwrap().verdict(), Verdict::Whole);
    log.files.pop();
    assert!(matches!(log.verify_with(trusted(), vec![end], false).unwrap_err().fault, Fault::Truncated { kept: 32 }));
    // The same key, other records.
    let mut forged = Log::new(Some(1));
    forged.second += 1;
    forged.records(40);
    forged.checkpoint(CheckpointReason::Stop);
    assert_eq!(forged.verify().unwrap().verdict(), Verdict::Whole);
    assert_eq!(fault(forged.verify_with(trusted(), vec![end], false)).2, Fault::NotAsKept { kept: 32 });
}

#[test]
fn a_key_is_followed_by_the_one_that_it_names() {
    let changed = |named: bool, by: u8| {
        let mut log = Log::new(Some(1));
        log.records(2);
        let succession = vec![key(by).succession(key(2).public(), Timestamp::UNIX_EPOCH)];
        let public_key = key(2).public().to_string();
        if named {
            log.mark(Mark::Key(KeyChange { public_key, succession: succession.clone() }));
        }
        log.key = Some(key(2));
        log.records(1);
        log.checkpoint(CheckpointReason::SegmentEnd);
        log.segment(succession);
        log.checkpoint(CheckpointReason::Stop);
        log
    };
    let log = changed(true, 1);
    assert_eq!(log.verify().unwrap().verdict(), Verdict::Whole);
    // What is left when the first segment is gone follows from the first key as well.
    let rest = log.files.get(1..).unwrap();
    let moment = Moment { now: Timestamp::UNIX_EPOCH, writing: false };
    let report = verified(rest, Verifier::new(vec![key(1).public().clone()], Vec::new(), false), moment).unwrap();
    assert_eq!(report.attestation, Attestation::Trusted(key(2).public().clone()));
    assert_eq!(
        changed(false, 1).verify().unwrap_err().fault,
        Fault::Checkpoint(super::super::checkpoint::BadNote::OtherKey)
    );
    assert_eq!(changed(true, 3).verify().unwrap_err().fault, Fault::Succession);
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }
}

/// One change to a log; what it was.
fn change(files: &mut Vec<(String, Vec<u8>)>, other: &[(String, Vec<u8>)], dice: &mut Dice) -> String {
    let file = dice.below(files.len());
    let mut lines: Vec<_> = files[file].1.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let (line, to) = (dice.below(lines.len()), dice.below(lines.len()));
    let kind = dice.below(14);
    match kind {
        0..=2 => {
            let bit = dice.below(lines[line].len() * 8);
            lines[line][bit / 8] ^= 1 << (bit % 8);
        }
        3 => {
            let (at, byte) = (dice.below(lines[line].len()), u8::try_from(dice.below(256)).unwrap());
            lines[line][at] = lines[line][at].wrapping_add(byte.max(1));
        }
        4 => drop(lines.remove(line)),
        5 => lines.insert(line, lines[to].clone()),
        6 => {
            let with = if to == line { (line + 1) % lines.len() } else { to };
            lines.swap(line, with);
        }
        7 => {
            let moved = lines.remove(line);
            lines.insert(if to == line { (line + 1) % (lines.len() + 1) } else { to }, moved);
        }
        8 => lines.truncate(line),
        9 => {
            let length = dice.below(lines[line].len());
            lines.truncate(line + 1);
            lines[line].truncate(length);
        }
        10 => {
            // A checkpoint of another log, or of elsewhere in this one.
            let checkpoint = |line: &&[u8]| line.windows(12).any(|window| window == b"\"checkpoint\"");
            let theirs = other[dice.below(other.len())].1.split_inclusive(|byte| *byte == b'\n').find(checkpoint);
            lines[line] = theirs.unwrap().to_vec();
        }
        11 => {
            files.remove(file);
            return format!("file {file} removed");
        }
        12 => {
            let with = (file + 1) % files.len();
            let (mine, theirs) = (files[file].1.clone(), files[with].1.clone());
            (files[file].1, files[with].1) = (theirs, mine);
            return format!("files {file} and {with} exchanged");
        }
        _ => {
            let first = u64::try_from(dice.below(60)).unwrap();
            let (content, second) = (files[file].1.clone(), 1_800_000_000 + i64::try_from(dice.below(100)).unwrap());
            files.push((SegmentName { first, second }.beside("log"), content));
            return format!("file {file} put in again with number {first}");
        }
    }
    files[file].1 = lines.concat();
    format!("kind {kind}, file {file}, line {line}, {to}")
}

#[test]
fn ten_thousand_single_changes_are_all_found() {
    let mut other = Log::new(Some(1));
    other.id = Uuid::from_u128(100);
    other.segment(Vec::new());
    other.checkpoint(CheckpointReason::Start);
    other.files.remove(0);
    let whole = Log::usual(Some(1));
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut tried, mut missed) = (0, Vec::new());
    let (trusted, moment) = (key(1).public().clone(), Moment { now: Timestamp::UNIX_EPOCH, writing: false });
    while tried < 10_000 {
        let mut files = whole.files.clone();
        let what = change(&mut files, &other.files, &mut dice);
        if files == whole.files {
            continue;
        }
        tried += 1;
        let verifier = Verifier::new(vec![trusted.clone()], Vec::new(), true);
        if let Ok(report) = verified(&files, verifier, moment)
            && report.verdict() == Verdict::Whole
        {
            missed.push(what);
        }
    }
    assert!(missed.is_empty(), "{} of {tried}: {missed:?}", missed.len());
}
