//! `pgveil log verify`: reads the log's files and says what is to be made of them.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use super::{Configured, LogCommandError, print};
use crate::access_log::Head;
use crate::access_log::checkpoint::{Attested, PublicKey};
use crate::access_log::verify::{Attestation, Ending, Moment, Report, Verdict, Verifier};
use crate::server::log_sink::{is_written, now, open_segments, signing, verify};

/// The log can not be read, or the arguments make no sense.
const UNREADABLE: u8 = 2;
const UNATTESTED: u8 = 3;
const UNFINISHED: u8 = 4;

/// What is held against what.
#[derive(Args)]
pub(in crate::cli) struct VerifyArguments {
    /// The log's files [default: all of the log that the settings name]
    files: Vec<PathBuf>,
    /// File with public keys that are trusted, as `pgveil log public-key` prints them, one a line [default: the public half
    /// of the signing key, where this user can read that]
    #[arg(long, value_name = "FILE")]
    public_key: Vec<PathBuf>,
    /// File with a checkpoint that was kept outside: the log must have all of its records
    #[arg(long, value_name = "FILE")]
    against: Vec<PathBuf>,
    /// Begin with the file that has the records of this time
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    #[command(flatten)]
    configured: Configured,
}

pub(super) fn run(arguments: VerifyArguments) -> ExitCode {
    match verified(arguments) {
        Ok((said, code)) => match print(&said) {
            Ok(()) => code,
            Err(error) => failed(&error),
        },
        Err(error) => failed(&error),
    }
}

fn failed(error: &LogCommandError) -> ExitCode {
    eprintln!("pgveil: {error}");
    ExitCode::from(UNREADABLE)
}

fn verified(arguments: VerifyArguments) -> Result<(String, ExitCode), LogCommandError> {
    let VerifyArguments { files, public_key, against, since, configured } = arguments;
    let config = configured.load()?;
    let since = since.map(|time| time.parse::<Timestamp>()).transpose().map_err(LogCommandError::Since)?;
    let mut trusted = Vec::new();
    for path in public_key {
        trusted.extend(public_keys(path)?);
    }
    if let (true, Some(path)) = (trusted.is_empty(), &config.signing_key) {
        // Who can read it, could have signed: it is no proof to others, but it is to its owner.
        trusted.extend(signing::read(path).ok().map(|file| file.key.public().clone()));
    }
    let kept = against.into_iter().map(|path| checkpoint(path, &trusted)).collect::<Result<Vec<_>, _>>()?;
    let unreadable = |source| LogCommandError::Read { path: config.path.clone(), source };
    // Before the files are read: what ends later is no crash.
    let writing = files.is_empty() && is_written(&config.path);
    let named = files.is_empty();
    let mut opened = match files.is_empty() {
        true => open_segments(&config.path).map_err(unreadable)?,
        false => in_order(files)?,
    };
    let from_oldest = since.is_none();
    if let Some(since) = since {
        let begins = |file: &(PathBuf, File)| first_time(&file.1).is_some_and(|time| time <= since);
        let from = opened.iter().rposition(begins).unwrap_or(0);
        opened.drain(..from);
    }
    let mut verifier = Verifier::new(trusted, kept, from_oldest);
    let read = verify(opened, &mut verifier, named).map_err(unreadable)?;
    let moment = Moment { now: now(), writing };
    Ok(match read.and_then(|()| verifier.finish(moment)) {
        Ok(report) => said(&report),
        Err(flaw) => (format!("NOT WHOLE\n{flaw}\n"), ExitCode::FAILURE),
    })
}

fn public_keys(path: PathBuf) -> Result<Vec<PublicKey>, LogCommandError> {
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(LogCommandError::Read { path, source }),
    };
    let keys: Result<Vec<_>, _> = text.split_whitespace().map(str::parse).collect();
    keys.ok().filter(|keys| !keys.is_empty()).ok_or(LogCommandError::PublicKey(path))
}

fn checkpoint(path: PathBuf, trusted: &[PublicKey]) -> Result<Attested, LogCommandError> {
    let note = match std::fs::read_to_string(&path) {
        Ok(note) => note,
        Err(source) => return Err(LogCommandError::Read { path, source }),
    };
    let Ok(attested) = Attested::read(&note) else { return Err(LogCommandError::Checkpoint(path)) };
    // Without a key it is only as good as the place that it was kept in.
    if trusted.is_empty() || trusted.iter().any(|key| key.open(&note).is_ok()) {
        Ok(attested)
    } else {
        Err(LogCommandError::ForeignCheckpoint(path))
    }
}

/// Files of any names, in the order of their first records.
fn in_order(files: Vec<PathBuf>) -> Result<Vec<(PathBuf, File)>, LogCommandError> {
    let mut opened = Vec::new();
    for path in files {
        match File::open(&path) {
            Ok(file) => opened.push((path, file)),
            Err(source) => return Err(LogCommandError::Read { path, source }),
        }
    }
    opened.sort_by_cached_key(|(_, file)| first_line(file).ok().and_then(|line| Some(Head::read(&line).ok()?.seq)));
    Ok(opened)
}

fn first_time(file: &File) -> Option<Timestamp> {
    Head::read(&first_line(file).ok()?).ok().map(|head| head.stamp.time)
}

/// The first line; the file is read from its beginning afterwards.
fn first_line(mut file: &File) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(file).read_until(b'\n', &mut line)?;
    io::Seek::rewind(&mut file)?;
    Ok(line)
}

/// What is to be made of a log in which nothing is wrong.
fn said(report: &Report) -> (String, ExitCode) {
    let mut out = String::new();
    let (word, code) = match report.verdict() {
        Verdict::Whole => ("WHOLE", ExitCode::SUCCESS),
        Verdict::Unattested => ("UNATTESTED", ExitCode::from(UNATTESTED)),
        Verdict::Unfinished => ("UNFINISHED", ExitCode::from(UNFINISHED)),
    };
    let _written = write_report(&mut out, word, report);
    (out, code)
}

fn write_report(out: &mut String, word: &str, report: &Report) -> std::fmt::Result {
    writeln!(out, "{word}")?;
    let Report { log, segments, records, first, last, checkpoints, newest, crashes, outages, .. } = report;
    if let Some(log) = log {
        writeln!(out, "log {log}")?;
    }
    if let (Some((first, since)), Some((last, until))) = (first, last) {
        writeln!(out, "{records} records in {segments} files: {first} of {since:.6} to {last} of {until:.6}")?;
    }
    match newest {
        Some((attested, _)) => {
            writeln!(
                out,
                "{checkpoints} checkpoints, the newest of record {} at {:.6}",
                attested.seq, attested.stamp.time
            )?;
        }
        None => writeln!(out, "no checkpoint")?,
    }
    match &report.ending {
        Ending::Clean => writeln!(out, "ended cleanly")?,
        Ending::Live { unsigned } => writeln!(out, "being written; {unsigned} records since the newest checkpoint")?,
        Ending::Stale { unsigned, seconds } => writeln!(
            out,
            "being written, but the newest checkpoint is {seconds} seconds old and {unsigned} records are behind it: the end may have been changed"
        )?,
        Ending::Crash { unsigned, half_bytes } => writeln!(
            out,
            "not ended: {unsigned} records and {half_bytes} bytes of another are behind the newest checkpoint. A process was killed, or the end was cut off: \
             a checkpoint that was kept outside tells (--against), or start pgveil, which goes on here"
        )?,
        Ending::NoLiveFile => writeln!(out, "the file that was being written last is missing")?,
    }
    for crash in crashes {
        let cut = match (crash.cut_bytes, crash.cut_lines) {
            (0, _) => "nothing was cut off".to_owned(),
            (bytes, 0) => format!("{bytes} bytes of an unfinished line were cut off"),
            (bytes, lines) => {
                format!("{bytes} bytes were cut off, with {lines} whole lines: not what a killed process leaves")
            }
        };
        writeln!(out, "record {} of {:.6}: the process before had not ended cleanly; {cut}", crash.seq, crash.time)?;
    }
    if *outages > 0 {
        writeln!(out, "{outages} times nothing could be written for a while, and nothing was revealed")?;
    }
    if report.clock_set_back > 0 {
        writeln!(out, "{} times the clock was set back", report.clock_set_back)?;
    }
    for kept in &report.kept_too_old {
        writeln!(out, "the checkpoint of record {kept} is older than the oldest record that is left")?;
    }
    match &report.attestation {
        Attestation::Trusted(key) => writeln!(out, "signed by {key}"),
        Attestation::Unanchored(key) => {
            writeln!(out, "signed by {key}, for which nothing but the log vouches: give --public-key")
        }
        Attestation::Unsigned => writeln!(out, "not signed: who can write the files could have made all of it"),
    }
}
