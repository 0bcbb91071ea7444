//! State in a file: one change a line, as JSON; what is known is what all lines together say.
//!
//! Whoever writes has the lock of the file `<path>.lock` meanwhile, so several processes may share it: a command beside a
//! running pgveil, an old process beside the one that takes over. A line counts when it ends; what a crash has left
//! of one is cut off by the next writer. A file that is much longer than what it says is written anew beside and put in its place.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Change, CountRow, Fact, Kept, Kind, SpentRow, StateError, SubjectText};

/// A file up to this long is not written anew.
const COMPACT_BYTES_MIN: u64 = 1024 * 1024;
/// The longest file: a fault of somebody's, not state.
const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// The file, and what was read of it.
pub(super) struct Journal {
    path: PathBuf,
    /// `None` while the disk is full or can only be read: then nothing is written, and what is there holds.
    lock: Option<File>,
    file: Option<File>,
    /// Device and inode of the file.
    identity: (u64, u64),
    /// How much of it was read.
    read: u64,
    /// How long it was when it was written anew.
    compacted: u64,
    state: State,
}

/// What the lines say.
#[derive(Default)]
struct State {
    kept: BTreeMap<(Kind, String), Kept>,
    counts: HashMap<(String, String, u64, u64), i64>,
    spent: HashMap<(String, String), u64>,
}

impl Journal {
    /// The state in this file. Where the disk is full or can only be read there is one nevertheless: who is locked out is known,
    /// and traffic that changes nothing goes on.
    pub(super) fn open(path: &Path) -> Result<Self, StateError> {
        let state = State::default();
        let mut journal =
            Self { path: path.to_owned(), lock: None, file: None, identity: (0, 0), read: 0, compacted: 0, state };
        match journal.open_lock() {
            Err(error) if !is_of_disk(&error) => return Err(StateError::file(&journal.lock_path(), &error)),
            Ok(()) | Err(_) => {}
        }
        Ok(journal)
    }

    fn lock_path(&self) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".lock");
        name.into()
    }

    fn open_lock(&mut self) -> io::Result<()> {
        if self.lock.is_none() {
            self.lock = Some(open(&self.lock_path())?);
        }
        Ok(())
    }

    /// Write these, and read what is new, these included.
    pub(super) fn exchange(&mut self, changes: &[Change], now: Duration) -> Result<Vec<Fact>, StateError> {
        if changes.is_empty() && !self.has_changed() {
            return Ok(Vec::new());
        }
        match self.open_lock() {
            Err(error) if !changes.is_empty() || !is_of_disk(&error) => {
                return Err(StateError::file(&self.lock_path(), &error));
            }
            Ok(()) | Err(_) => {}
        }
        let lock = self.lock.take();
        let outcome = match &lock {
            Some(lock) => lock.lock().and_then(|()| self.exchanged(changes, now, true)),
            None => self.exchanged(changes, now, false),
        };
        let _unlocked = lock.as_ref().map(File::unlock);
        self.lock = lock;
        outcome.map_err(|error| {
            // What was read of it may not be so: it is read again.
            self.file = None;
            StateError::file(&self.path, &error)
        })
    }

    fn has_changed(&self) -> bool {
        match std::fs::metadata(&self.path) {
            Ok(found) => (found.dev(), found.ino()) != self.identity || found.len() != self.read,
            Err(_) => true,
        }
    }

    fn exchanged(&mut self, changes: &[Change], now: Duration, locked: bool) -> io::Result<Vec<Fact>> {
        let mut facts = Vec::new();
        let mut gone = BTreeMap::new();
        let named = std::fs::metadata(&self.path).ok();
        let same = named.is_some_and(|found| (found.dev(), found.ino()) == self.identity && found.len() >= self.read);
        if self.file.is_none() || !same {
            let file = match open(&self.path) {
                Err(error) if is_of_disk(&error) && changes.is_empty() => match File::open(&self.path) {
                    // Nobody could make it: nobody is locked out.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(facts),
                    read_only => read_only?,
                },
                file => file?,
            };
            let found = file.metadata()?;
            self.identity = (found.dev(), found.ino());
            self.read = 0;
            // What is no longer there when all is read again, is gone.
            gone = std::mem::take(&mut self.state).kept;
            self.file = Some(file);
        }
        let Some(mut file) = self.file.take() else { return Err(io::ErrorKind::NotFound.into()) };
        if file.metadata()?.len() > FILE_BYTES_MAX {
            return Err(io::Error::other("is longer than 1 GiB"));
        }
        self.read_new(&mut file, now, locked, &mut facts)?;
        if !changes.is_empty() {
            let mut lines = Vec::new();
            for change in changes {
                serde_json::to_writer(&mut lines, change)?;
                lines.push(b'\n');
            }
            let before = file.metadata()?.len();
            let written = file.write_all(&lines).and_then(|()| file.sync_data());
            if let Err(error) = written {
                // Nobody else writes meanwhile: what is behind is this one's.
                let _kept = file.set_len(before);
                return Err(error);
            }
            self.read_new(&mut file, now, locked, &mut facts)?;
        }
        for key in gone.into_keys() {
            if !self.state.kept.contains_key(&key) {
                facts.push(Fact::Gone(key.0, key.1));
            }
        }
        self.file = Some(file);
        if self.read > COMPACT_BYTES_MIN.max(self.compacted.saturating_mul(4))
            && let Err(error) = self.compact(now)
        {
            // What was to be written is: it is only longer than it had to be.
            tracing::warn!(path = %self.path.display(), %error, "the state is not written anew");
            self.compacted = self.read;
        }
        Ok(facts)
    }

    /// Read the lines behind what was read, and cut off a piece of one: without the lock somebody may be writing it just now.
    fn read_new(&mut self, file: &mut File, now: Duration, locked: bool, facts: &mut Vec<Fact>) -> io::Result<()> {
        file.seek(SeekFrom::Start(self.read))?;
        let mut new = Vec::new();
        file.read_to_end(&mut new)?;
        let whole = new.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole < new.len() && locked {
            file.set_len(self.read.saturating_add(u64::try_from(whole).unwrap_or(0)))?;
        }
        for line in new.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(change) => self.state.apply(change, now, facts),
                Err(_) => return Err(io::Error::other("has a line that is no change of state; move the file away")),
            }
        }
        self.read = self.read.saturating_add(u64::try_from(whole).unwrap_or(0));
        Ok(())
    }

    /// Write what is known beside, and put it in the file's place.
    fn compact(&mut self, now: Duration) -> io::Result<()> {
        self.state.forget(now);
        let mut lines = Vec::new();
        for change in self.state.changes() {
            serde_json::to_writer(&mut lines, &change)?;
            lines.push(b'\n');
        }
        let mut beside = self.path.as_os_str().to_owned();
        beside.push(".new");
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = open(Path::new(&beside))?;
        file.write_all(&lines)?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.path)?;
        File::open(directory(&self.path))?.sync_all()?;
        let file = open(&self.path)?;
        let found = file.metadata()?;
        self.identity = (found.dev(), found.ino());
        self.read = found.len();
        self.compacted = found.len();
        self.file = Some(file);
        Ok(())
    }
}

/// Whether it is the disk that can not be written, not this file.
fn is_of_disk(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Open a file, or make it. One that root makes in somebody else's directory is that one's: a command must not lock out
/// what runs. One that is there is left as it is, since that one may have put anything there.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600);
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            let owner = std::fs::metadata(directory(path))?;
            // Who is not root makes files of its own only, and may not give them away.
            let _not_allowed = std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()));
            File::open(directory(path))?.sync_all()?;
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // A symbolic link could lead to a file of root's.
            let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).map_err(io::Error::other)?;
            options.custom_flags(flags).open(path)
        }
        Err(error) => Err(error),
    }
}

impl State {
    fn apply(&mut self, change: Change, now: Duration, facts: &mut Vec<Fact>) {
        match change {
            Change::Keep(kept) => {
                self.kept.insert((kept.kind, kept.id.clone()), kept.clone());
                facts.push(Fact::Kept(kept));
            }
            Change::Drop(kind, id) => {
                self.kept.remove(&(kind, id.clone()));
                facts.push(Fact::Gone(kind, id));
            }
            Change::Count(row) => {
                if row.is_over(now) {
                    return;
                }
                let CountRow { limit, subject, bucket, width, count } = row;
                let known = self.counts.entry((limit.clone(), subject.clone(), bucket, width)).or_default();
                *known = known.saturating_add(count);
                facts.push(Fact::Count(CountRow { limit, subject, bucket, width, count: *known }));
            }
            Change::Spend(SpentRow { payer, column, at, time }) => {
                let known = self.spent.entry((payer.clone(), column.clone())).or_default();
                *known = (*known).max(at).saturating_add(time);
                facts.push(Fact::Spent(SpentRow { payer, column, at: 0, time: *known }));
            }
            Change::Clear(of) => {
                for ((limit, subject, bucket, width), count) in &mut self.counts {
                    if *count != 0 && is_of(subject, &of) {
                        *count = 0;
                        let (limit, subject) = (limit.clone(), subject.clone());
                        facts.push(Fact::Count(CountRow { limit, subject, bucket: *bucket, width: *width, count: 0 }));
                    }
                }
            }
        }
    }

    fn forget(&mut self, now: Duration) {
        self.kept.retain(|_, kept| !kept.is_over(now));
        let row = |(limit, subject, bucket, width): &(String, String, u64, u64)| CountRow {
            limit: limit.clone(),
            subject: subject.clone(),
            bucket: *bucket,
            width: *width,
            count: 0,
        };
        self.counts.retain(|key, count| *count != 0 && !row(key).is_over(now));
        self.spent.retain(|_, whole_at| u128::from(*whole_at) > now.as_nanos());
    }

    /// The lines that say the same.
    fn changes(&self) -> impl Iterator<Item = Change> {
        let kept = self.kept.values().cloned().map(Change::Keep);
        let counts = self.counts.iter().map(|((limit, subject, bucket, width), count)| {
            let (limit, subject) = (limit.clone(), subject.clone());
            Change::Count(CountRow { limit, subject, bucket: *bucket, width: *width, count: *count })
        });
        let spent = self.spent.iter().map(|((payer, column), whole_at)| {
            Change::Spend(SpentRow { payer: payer.clone(), column: column.clone(), at: *whole_at, time: 0 })
        });
        kept.chain(counts).chain(spent)
    }
}

/// Whether what is counted for `subject` is to be forgotten with this user's or address's.
pub(super) fn is_of(subject: &str, of: &SubjectText) -> bool {
    let Ok(subject) = serde_json::from_str::<SubjectText>(subject) else { return false };
    let user = of.user.is_none() || subject.user == of.user;
    let actor = of.actor.is_none() || subject.actor == of.actor;
    let address = of.address.is_none() || subject.address.is_none() || subject.address == of.address;
    user && actor && address && (of.user.is_some() || of.address.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    #[test]
    fn what_is_counted_for_one_end_user_is_not_that_of_another() {
        let of = |user: Option<&str>, actor: Option<&str>| SubjectText {
            user: user.map(str::to_owned),
            actor: actor.map(str::to_owned),
            address: None,
        };
        for (subject, cleared, expected) in [
            (of(Some("app"), Some("jane")), of(Some("app"), Some("jane")), true),
            (of(Some("app"), Some("eve")), of(Some("app"), Some("jane")), false),
            (of(Some("app"), None), of(Some("app"), Some("jane")), false),
            (of(Some("app"), Some("jane")), of(Some("app"), None), true),
            (of(Some("app"), Some("jane")), of(None, Some("jane")), false),
        ] {
            assert_eq!(is_of(&subject.text(), &cleared), expected, "{subject:?} {cleared:?}");
        }
    }

    /// A directory of its own, removed at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("pgveil-state-{}", uuid::Uuid::now_v7()));
            std::fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join("state.jsonl")
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _left = std::fs::remove_dir_all(&self.0);
        }
    }

    fn lock(id: &str) -> Kept {
        Kept { kind: Kind::Lock, id: id.to_owned(), document: "{}".to_owned(), ends: None }
    }

    fn count(user: &str, count: i64) -> CountRow {
        let subject = SubjectText { user: Some(user.to_owned()), ..SubjectText::default() }.text();
        CountRow { limit: "rows".into(), subject, bucket: 30_000_000, width: 60_000, count }
    }

    #[test]
    fn two_who_share_a_file_know_the_same_and_so_does_who_comes_later() {
        let scratch = Scratch::new();
        let (mut one, mut two) = (Journal::open(&scratch.file()).unwrap(), Journal::open(&scratch.file()).unwrap());
        let made = [Change::Keep(lock("a")), Change::Count(count("ann", 3))];
        let facts = vec![Fact::Kept(lock("a")), Fact::Count(count("ann", 3))];
        assert_eq!(one.exchange(&made, NOW).unwrap(), facts);
        assert_eq!(two.exchange(&[], NOW).unwrap(), facts);
        let more = two.exchange(&[Change::Count(count("ann", 4)), Change::Drop(Kind::Lock, "a".into())], NOW).unwrap();
        assert_eq!(more, [Fact::Count(count("ann", 7)), Fact::Gone(Kind::Lock, "a".into())]);
        assert_eq!(one.exchange(&[], NOW).unwrap(), more);
        assert_eq!(one.exchange(&[], NOW).unwrap(), []);
        let clear = Change::Clear(SubjectText { user: Some("ann".into()), ..SubjectText::default() });
        assert_eq!(two.exchange(&[clear], NOW).unwrap(), [Fact::Count(count("ann", 0))]);
        let late = Journal::open(&scratch.file()).unwrap().exchange(&[], NOW).unwrap();
        assert_eq!(late.last(), Some(&Fact::Count(count("ann", 0))));
    }

    #[test]
    fn half_a_line_is_cut_off_and_what_was_whole_stays() {
        let scratch = Scratch::new();
        let mut one = Journal::open(&scratch.file()).unwrap();
        one.exchange(&[Change::Keep(lock("a"))], NOW).unwrap();
        let whole = std::fs::read(scratch.file()).unwrap();
        for cut in 1..whole.len() {
            std::fs::write(scratch.file(), [&whole[..], &whole[..cut]].concat()).unwrap();
            let mut late = Journal::open(&scratch.file()).unwrap();
            let found = late.exchange(&[Change::Keep(lock("b"))], NOW).unwrap();
            if cut < whole.len() {
                assert_eq!(found, [Fact::Kept(lock("a")), Fact::Kept(lock("b"))], "{cut}");
            }
        }
        std::fs::write(scratch.file(), b"{\"keep\":\n").unwrap();
        let error = Journal::open(&scratch.file()).unwrap().exchange(&[], NOW).unwrap_err().to_string();
        assert!(error.contains("no change of state"), "{error}");
    }

    #[test]
    fn a_long_file_is_written_anew_and_says_the_same() {
        let scratch = Scratch::new();
        let (mut one, mut two) = (Journal::open(&scratch.file()).unwrap(), Journal::open(&scratch.file()).unwrap());
        let spend = |time| {
            let payer = SubjectText { user: Some("ann".into()), ..SubjectText::default() }.text();
            let at = u64::try_from(NOW.as_nanos()).unwrap();
            Change::Spend(SpentRow { payer, column: "[\"a\",\"b\",\"c\"]".into(), at, time })
        };
        one.exchange(&[Change::Keep(lock("b")), Change::Keep(lock("a")), spend(5)], NOW).unwrap();
        two.exchange(&[], NOW).unwrap();
        one.exchange(&[Change::Drop(Kind::Lock, "b".into())], NOW).unwrap();
        for _ in 0..4 {
            one.exchange(&vec![Change::Count(count("ann", 1)); 3_000], NOW).unwrap();
        }
        assert!(std::fs::metadata(scratch.file()).unwrap().len() < COMPACT_BYTES_MIN);
        let known = two.exchange(&[spend(2)], NOW).unwrap();
        assert!(known.contains(&Fact::Gone(Kind::Lock, "b".into())) && known.contains(&Fact::Kept(lock("a"))));
        let counted = known.iter().rev().find(|fact| matches!(fact, Fact::Count(_)));
        assert_eq!(counted, Some(&Fact::Count(count("ann", 12_000))));
        let whole_at = u64::try_from(NOW.as_nanos()).unwrap() + 7;
        assert!(known.iter().any(|fact| matches!(fact, Fact::Spent(row) if row.time == whole_at)));
    }
}
