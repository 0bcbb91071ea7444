//! Notices when files of the policy change.
//!
//! Directories are watched, not files: editors and orchestrators put a new file in the old one's place, and Kubernetes
//! swaps a symbolic link named `..data`. An event is only a hint: whoever gets it reads the files and compares.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::files::is_policy_file;

/// Watch these policy files and directories; `changed` is told of each event that may concern them. Ends when the
/// watcher is dropped.
///
/// # Errors
/// The operating system has no watch left, or a path is not there.
pub(super) fn watch(paths: &[PathBuf], changed: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let mut absolute = Vec::with_capacity(paths.len());
    for path in paths {
        absolute.push(std::path::absolute(path)?);
    }
    let watched = absolute.clone();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| concerns(&watched, &event)) {
            changed.notify_one();
        }
    })?;
    for path in &absolute {
        if path.is_dir() {
            watcher.watch(path, RecursiveMode::NonRecursive)?;
        }
        if let Some(parent) = path.parent() {
            watcher.watch(parent, RecursiveMode::NonRecursive)?;
        }
    }
    Ok(watcher)
}

/// Parents of policy paths can be busy places (a log beside the policy): most events there do not matter.
fn concerns(watched: &[PathBuf], event: &Event) -> bool {
    if matches!(event.kind, EventKind::Access(_)) {
        return false;
    }
    let matters = |path: &PathBuf| {
        let inside = path.parent().is_some_and(|parent| watched.iter().any(|known| known == parent));
        let swapped = path.file_name().is_some_and(is_swap_link);
        watched.contains(path) || swapped || (inside && is_policy_file(path))
    };
    // Without paths the event says that events were lost.
    event.paths.is_empty() || event.paths.iter().any(matters)
}

fn is_swap_link(name: &OsStr) -> bool {
    Path::new(name) == Path::new("..data")
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, CreateKind, ModifyKind};

    use super::*;

    #[test]
    fn only_events_on_the_policy_s_files_matter() {
        let watched = [PathBuf::from("/etc/pgveil/policies"), PathBuf::from("/srv/extra.yaml")];
        let create = EventKind::Create(CreateKind::File);
        let modify = EventKind::Modify(ModifyKind::Any);
        for (kind, path, expected) in [
            (create, "/etc/pgveil/policies/shop.yaml", true),
            (modify, "/srv/extra.yaml", true),
            (create, "/etc/pgveil/policies/..data", true),
            (modify, "/etc/pgveil/policies", true),
            (EventKind::Access(AccessKind::Any), "/etc/pgveil/policies/shop.yaml", false),
            (modify, "/etc/pgveil/access.jsonl", false),
            (create, "/etc/pgveil/policies/.shop.yaml.swp", false),
            (create, "/srv/other.yaml", false),
        ] {
            assert_eq!(concerns(&watched, &Event::new(kind).add_path(path.into())), expected, "{kind:?} {path}");
        }
    }
}
