//! Keeps keys in memory, where the system allows: off the swap and out of core dumps.
//!
//! Subkeys have memory pages of their own, which are locked. What is only there for a moment (a key between its provider
//! and its subkeys, a copy on the stack, the plaintexts of values) is wiped or overwritten, but not locked.

use std::sync::Once;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use crate::crypto::DataKey;

/// Keep a key's pages from being swapped out. Where that is not allowed it is said once.
pub(super) fn lock(key: &DataKey) {
    static SAID: Once = Once::new();
    let (start, bytes) = key.memory();
    match region::lock(start, bytes) {
        // The pages stay locked when the key is gone: by then another key may be on them.
        Ok(locked) => std::mem::forget(locked),
        Err(error) => SAID.call_once(|| {
            tracing::warn!(%error, "keys can not be locked in memory and may be swapped out: raise LimitMEMLOCK (ulimit -l)");
        }),
    }
}

/// Keep the memory of this process out of core dumps, and from being read by other processes of the same user.
pub fn keep_out_of_dumps() {
    let no_dump = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    if let Err(error) = no_dump.and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable)) {
        tracing::warn!(%error, "a core dump of this process could hold keys");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::KeyId;

    /// Memory that this process has locked, in kB.
    fn locked() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn a_key_s_pages_are_locked() {
        let key = DataKey::new(KeyId([1; 8]), &[7; 32]);
        assert_eq!(key.memory().1 % 4096, 0);
        lock(&key);
        assert!(locked() >= 4, "{} kB", locked());
    }
}
