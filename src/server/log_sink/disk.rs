//! The calls to the operating system that may fail, in one place, so that tests can have them fail.

use std::fs::File;
use std::io::{self, Write as _};

use rustix::fs::{FallocateFlags, fallocate};

/// What is asked of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Write,
    Sync,
    Reserve,
}

/// The disk. In a test it does what the test says.
#[derive(Clone, Default)]
pub(super) struct Disk {
    #[cfg(test)]
    pub(super) fault: Option<std::sync::Arc<dyn Fn(Call) -> io::Result<()> + Send + Sync>>,
}

impl Disk {
    /// Write all of it at the end of the file.
    pub(super) fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.allows(Call::Write) {
            // As a disk does that fills up in the middle.
            file.write_all(bytes.get(..bytes.len() / 2).unwrap_or_default())?;
            return Err(error);
        }
        file.write_all(bytes)
    }

    /// Have the disk hold what was written.
    pub(super) fn sync(&self, file: &File) -> io::Result<()> {
        self.allows(Call::Sync)?;
        file.sync_data()
    }

    /// Have the disk keep room for bytes behind the end of the file; `false`: this file system keeps no room.
    pub(super) fn reserve(&self, file: &File, from: u64, bytes: u64) -> io::Result<bool> {
        self.allows(Call::Reserve)?;
        match fallocate(file, FallocateFlags::KEEP_SIZE, from, bytes) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(test)]
    fn allows(&self, call: Call) -> io::Result<()> {
        self.fault.as_ref().map_or(Ok(()), |fault| fault(call))
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "only a test's disk can be told to fail")]
    fn allows(&self, _call: Call) -> io::Result<()> {
        Ok(())
    }
}

/// Have the disk hold the names of a file's directory.
pub(super) fn sync_directory(file: &std::path::Path) -> io::Result<()> {
    File::open(super::segments::directory(file))?.sync_all()
}
