//! What a former process has left at the log's path.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use jiff::Timestamp;
use uuid::Uuid;

use super::disk::sync_directory;
use super::segments::{beside, reason, segments};
use crate::access_log::checkpoint::{CheckpointReason, PublicKey};
use crate::access_log::{Chain, Digest, Head, Mark, Recovery, SegmentHeader};

/// Where a log is.
#[derive(Debug)]
pub(super) struct State {
    pub(super) log: Uuid,
    pub(super) chain: Chain,
    pub(super) segment: u64,
    /// The number and time of the segment's first record.
    pub(super) first: u64,
    pub(super) begun: Timestamp,
    /// The key that has signed so far, and how it follows from the first.
    pub(super) signer: Option<PublicKey>,
    pub(super) succession: Vec<String>,
    /// Bytes of the file that are records.
    pub(super) len: u64,
    /// The segment has its end: the next record is the header of another.
    pub(super) ended: bool,
}

/// What was found.
pub(super) struct Found {
    pub(super) state: State,
    /// What the former process left behind, if it did not end cleanly.
    pub(super) recovery: Option<Recovery>,
    /// The last segment's file still has the log's own name.
    pub(super) live: bool,
}

/// Look at what is there; `None`: no log. What is no part of a log is put aside, never deleted: a log of another format
/// under another name, and bytes behind the last record into a file of their own.
pub(super) fn find(log: &Path, now: Timestamp) -> io::Result<Option<Found>> {
    if let Some(found) = live(log, now)? {
        return Ok(Some(found));
    }
    let Some(last) = segments(log)?.into_iter().rev().find(|file| file.name.is_some()) else { return Ok(None) };
    let mut file = File::open(&last.path)?;
    let Some(scanned) = scan(&mut file, log)? else { return Ok(None) };
    let state = State { ended: true, ..scanned.state };
    // The end was written before the file got its name, so there is nothing to recover.
    Ok(Some(Found { state, recovery: None, live: false }))
}

/// The file that was being written.
fn live(log: &Path, now: Timestamp) -> io::Result<Option<Found>> {
    let mut file = match OpenOptions::new().read(true).append(true).open(log) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    let Some(scanned) = scan(&mut file, log)? else {
        if length > 0 && begins_a_header(&mut file)? {
            // The process ended while it wrote the first line.
            put_aside(&mut file, log, 0, length, 0)?;
        }
        if file.metadata()?.len() > 0 {
            let former = beside(log, &format!("former-{}", now.strftime("%Y%m%dT%H%M%SZ")));
            tracing::warn!(
                former = %former.display(),
                "the access log's file has another form than it has now: it is kept under this name, and a new log begins"
            );
            rename_new(log, &former)?;
            sync_directory(log)?;
        }
        return Ok(None);
    };
    let Scanned { state, last, bad_line } = scanned;
    if let Some(line) = bad_line {
        tracing::error!(path = %log.display(), line, "the access log was changed by others: see `pgveil log verify`");
    }
    let recovery = match last {
        Some(CheckpointReason::Stop | CheckpointReason::SegmentEnd) if length == state.len => None,
        _ => {
            let cut = put_aside(&mut file, log, state.len, length, state.chain.seq())?;
            Some(Recovery { last: state.chain.seq(), ..cut })
        }
    };
    Ok(Some(Found { state, recovery, live: true }))
}

struct Scanned {
    state: State,
    /// Why the last record was made, if it is a checkpoint.
    last: Option<CheckpointReason>,
    /// A line that does not fit to the one before it.
    bad_line: Option<u64>,
}

/// Read a segment; `None`: it does not begin with a header.
fn scan(file: &mut File, log: &Path) -> io::Result<Option<Scanned>> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let mut scanned: Option<Scanned> = None;
    let (mut offset, mut number) = (0_u64, 0_u64);
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Ok(scanned);
        }
        offset = offset.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        number += 1;
        let read = Head::read(&line).ok().map(|head| (head.seq, head.prev, head.stamp, head.kind.into_owned()));
        let Some((seq, prev, stamp, kind)) = read else {
            if scanned.is_none() {
                return Ok(None);
            }
            // If records follow, it is damage inside; else it is what will be cut off.
            continue;
        };
        let mark = Mark::read(&kind, &line).ok().flatten();
        let chain = Chain::behind(seq, Digest::of(&line));
        match (&mut scanned, mark) {
            (None, Some(Mark::Segment(header))) => {
                let SegmentHeader { log: id, segment, public_key, succession, .. } = header;
                let signer = match public_key.map(|key| key.parse()) {
                    None => None,
                    Some(Ok(key)) => Some(key),
                    Some(Err(_)) => {
                        let wrong = format!("{}: the key in the first line can not be read", log.display());
                        return Err(io::Error::new(io::ErrorKind::InvalidData, wrong));
                    }
                };
                let (len, ended) = (offset, false);
                let begun = stamp.time;
                let state = State { log: id, chain, segment, first: seq, begun, signer, succession, len, ended };
                scanned = Some(Scanned { state, last: None, bad_line: None });
            }
            (None, _) => return Ok(None),
            (Some(scanned), mark) => {
                let fits = scanned.state.chain.next() == seq && scanned.state.chain.last() == prev;
                let gapless = scanned.state.len == offset.saturating_sub(u64::try_from(length).unwrap_or(0));
                if !fits || !gapless {
                    scanned.bad_line = scanned.bad_line.or(Some(number));
                }
                if let Some(Mark::Key(change)) = &mark {
                    scanned.state.signer = change.public_key.parse().ok();
                    scanned.state.succession.clone_from(&change.succession);
                }
                scanned.last = matches!(mark, Some(Mark::Checkpoint(_))).then(|| reason(&line)).flatten();
                scanned.state.ended = scanned.last == Some(CheckpointReason::SegmentEnd);
                (scanned.state.chain, scanned.state.len) = (chain, offset);
            }
        }
    }
}

/// Whether a file without a whole line begins as a header does.
fn begins_a_header(file: &mut File) -> io::Result<bool> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(65_536).read_to_end(&mut bytes)?;
    let begins = b"{\"seq\":";
    Ok(!bytes.contains(&b'\n') && bytes.iter().zip(begins).all(|(byte, expected)| byte == expected))
}

/// Cut off what is behind the last record, after putting it into a file of its own.
fn put_aside(file: &mut File, log: &Path, from: u64, length: u64, seq: u64) -> io::Result<Recovery> {
    let mut recovery = Recovery { last: seq, cut_bytes: 0, cut_lines: 0, cut_digest: None, cut_file: None };
    if length <= from {
        return Ok(recovery);
    }
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(length - from).read_to_end(&mut bytes)?;
    let aside = (0..1000).find_map(|turn| {
        let path = beside(log, &format!("cut-{seq:018}-{turn}"));
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        made.ok().map(|file| (path, file))
    });
    let Some((path, mut aside)) = aside else {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "what is behind the last record can not be put aside",
        ));
    };
    io::Write::write_all(&mut aside, &bytes)?;
    aside.sync_all()?;
    sync_directory(log)?;
    file.set_len(from)?;
    recovery.cut_bytes = length - from;
    recovery.cut_lines = u64::try_from(bytes.split(|byte| *byte == b'\n').count().saturating_sub(1)).unwrap_or(0);
    recovery.cut_digest = Some(Digest::of(&bytes));
    recovery.cut_file = path.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(recovery)
}

/// Give a file another name, which no file has.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    if to.try_exists()? {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is there already", to.display())));
    }
    std::fs::rename(from, to)
}
