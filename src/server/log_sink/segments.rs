//! The log's files: which there are, who writes them, and reading them record by record.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::access_log::checkpoint::{Attested, CheckpointReason};
use crate::access_log::verify::{Flaw, Verifier};
use crate::access_log::{Head, Mark, SegmentName};

/// One file of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    /// The file.
    pub path: PathBuf,
    /// What its name says; `None`: it is the one that is being written.
    pub name: Option<SegmentName>,
}

/// The files of the log at this path, oldest first; the one that is being written is the last, if it is there.
///
/// # Errors
/// The directory can not be read.
pub fn segments(log: &Path) -> io::Result<Vec<SegmentFile>> {
    let mut found = Vec::new();
    let base = log.file_name().unwrap_or_default().to_string_lossy();
    for entry in std::fs::read_dir(directory(log))? {
        let path = entry?.path();
        if let Some(name) = path.file_name().and_then(OsStr::to_str).and_then(|file| SegmentName::read(&base, file)) {
            found.push(SegmentFile { path, name: Some(name) });
        }
    }
    found.sort_by_key(|file| file.name);
    if log.try_exists()? {
        found.push(SegmentFile { path: log.to_owned(), name: None });
    }
    Ok(found)
}

/// The directory that a log is in.
pub(super) fn directory(log: &Path) -> &Path {
    log.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file beside the log: its name with this behind it.
pub(super) fn beside(log: &Path, suffix: &str) -> PathBuf {
    let mut name = log.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    log.with_file_name(name)
}

/// The right to write a log. It ends when it is dropped, and with the process.
pub(super) fn lock(log: &Path) -> Result<File, TryLockError> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(beside(log, "lock"));
    let file = file.map_err(TryLockError::Error)?;
    file.try_lock()?;
    Ok(file)
}

/// Whether a process has the log open for writing.
pub fn is_written(log: &Path) -> bool {
    // Who may read the log but not its lock can not know; the answer that makes a verifier stricter is no.
    let Ok(file) = File::open(beside(log, "lock")) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// Give a verifier all of these files. The last of them may be written meanwhile: open it first, and list the others then.
///
/// # Errors
/// A file can not be read; inside: what is wrong with the log.
pub fn verify(files: Vec<(PathBuf, File)>, verifier: &mut Verifier, named: bool) -> io::Result<Result<(), Flaw>> {
    let last = files.len().saturating_sub(1);
    let mut line = Vec::new();
    for (at, (path, file)) in files.into_iter().enumerate() {
        let base = path.file_name().unwrap_or_default().to_string_lossy();
        // `access.jsonl.NUMBER-TIME`
        let name = base.rsplit_once('.').and_then(|(log, _)| SegmentName::read(log, &base));
        if let Err(flaw) = verifier.begin(&path.display().to_string(), name.filter(|_| named && at < last)) {
            return Ok(Err(flaw));
        }
        let mut reader = BufReader::with_capacity(1 << 20, file);
        loop {
            line.clear();
            let length = reader.read_until(b'\n', &mut line)?;
            if length == 0 {
                break;
            }
            if line.last() != Some(&b'\n') {
                verifier.half(u64::try_from(length).unwrap_or(u64::MAX));
                break;
            }
            if let Err(flaw) = verifier.line(&line) {
                return Ok(Err(flaw));
            }
        }
    }
    Ok(Ok(()))
}

/// The files of a log, opened: closed ones by their names, and the one that is being written.
///
/// # Errors
/// The directory or a file can not be read.
pub fn open_segments(log: &Path) -> io::Result<Vec<(PathBuf, File)>> {
    let live = match File::open(log) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for closed in segments(log)?.into_iter().filter(|file| file.name.is_some()) {
        let file = File::open(&closed.path)?;
        // It may have ended since.
        let same = match &live {
            Some(live) => is_same(live, &file)?,
            None => false,
        };
        if !same {
            files.push((closed.path, file));
        }
    }
    files.extend(live.map(|file| (log.to_owned(), file)));
    Ok(files)
}

fn is_same(one: &File, other: &File) -> io::Result<bool> {
    let (one, other) = (one.metadata()?, other.metadata()?);
    Ok(one.dev() == other.dev() && one.ino() == other.ino())
}

/// Reads a log's records in order, across its files, and goes on where it ended when there are more.
///
/// What it reads may not be on the disk yet, and may be taken back if it never gets there: whoever passes records on goes
/// no further than [`super::AccessLog::durable`].
pub struct Cursor {
    log: PathBuf,
    next: u64,
    file: Option<Open>,
}

struct Open {
    reader: BufReader<File>,
    /// Where the next line begins.
    offset: u64,
    /// The last line was the segment's end.
    ended: bool,
}

impl Cursor {
    /// Before the record of this number. Where older segments were deleted, reading begins with the oldest that is left.
    pub fn at(log: &Path, seq: u64) -> Self {
        Self { log: log.to_owned(), next: seq.max(1), file: None }
    }

    /// The number of the record that comes next.
    pub fn next_seq(&self) -> u64 {
        self.next
    }

    /// Put the next record's line, with its line feed, into the buffer, and return its number; `None`: there is none yet.
    ///
    /// # Errors
    /// A file can not be read, or a line in it is no record.
    pub fn read(&mut self, line: &mut Vec<u8>) -> io::Result<Option<u64>> {
        loop {
            if self.file.is_none() && !self.open()? {
                return Ok(None);
            }
            let Some(open) = &mut self.file else { return Ok(None) };
            line.clear();
            let length = open.reader.read_until(b'\n', line)?;
            if line.last() != Some(&b'\n') {
                if length > 0 {
                    // Half a line: it is being written.
                    open.reader.seek(SeekFrom::Start(open.offset))?;
                    return Ok(None);
                }
                if !open.ended {
                    return Ok(None);
                }
                self.file = None;
                continue;
            }
            let wrong = |offset: u64| io::Error::new(io::ErrorKind::InvalidData, format!("no record at byte {offset}"));
            let head = Head::read(line).map_err(|_| wrong(open.offset))?;
            open.ended = head.kind == "checkpoint" && ends_segment(line);
            open.offset = open.offset.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
            if head.seq < self.next {
                continue;
            }
            self.next = head.seq.saturating_add(1);
            return Ok(Some(head.seq));
        }
    }

    /// Open the file that the next record is in, or is to come in.
    fn open(&mut self) -> io::Result<bool> {
        let files = match segments(&self.log) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let begins = |file: &SegmentFile| match file.name {
            Some(name) => Some(name.first),
            None => first_record(&file.path).ok().flatten(),
        };
        let before = files.iter().rev().find(|file| begins(file).is_some_and(|first| first <= self.next));
        let Some(file) = before.or(files.first().filter(|file| begins(file).is_some())) else { return Ok(false) };
        let opened = match File::open(&file.path) {
            Ok(opened) => opened,
            // It got another name just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        self.file = Some(Open { reader: BufReader::new(opened), offset: 0, ended: false });
        Ok(true)
    }
}

/// The number of a file's first record, if it has one.
fn first_record(file: &Path) -> io::Result<Option<u64>> {
    let mut line = Vec::new();
    BufReader::new(File::open(file)?).read_until(b'\n', &mut line)?;
    Ok(Head::read(&line).ok().filter(|_| line.ends_with(b"\n")).map(|head| head.seq))
}

/// Whether the line of a checkpoint is a segment's end.
fn ends_segment(line: &[u8]) -> bool {
    reason(line) == Some(CheckpointReason::SegmentEnd)
}

/// Why a checkpoint was made, by its line.
pub(super) fn reason(line: &[u8]) -> Option<CheckpointReason> {
    match Mark::read("checkpoint", line) {
        Ok(Some(Mark::Checkpoint(checkpoint))) => Attested::read(&checkpoint.note).ok().map(|attested| attested.reason),
        _ => None,
    }
}
