//! The files that a policy is made of.

use std::io;
use std::path::{Path, PathBuf};

use crate::policy::PolicySource;

/// Why the policy files can not be read.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// A file or directory can not be read.
    #[error("policy {}: {source}", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A directory without policy files: most likely not the one that is meant.
    #[error("policy {}: the directory holds no *.yaml or *.yml file", path.display())]
    Empty {
        /// The directory.
        path: PathBuf,
    },
}

/// Read policy files: each path is a file, or a directory whose `*.yaml` and `*.yml` files (hidden ones left out) are
/// read in the order of their names.
///
/// # Errors
/// Anything that can not be read: a part of a policy is no policy.
pub fn read_policies(paths: &[PathBuf]) -> Result<Vec<PolicySource>, PolicyFileError> {
    let mut sources = Vec::new();
    for path in paths {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| PolicyFileError::Unreadable { path, source }
        };
        let files = if std::fs::metadata(path).map_err(unreadable(path))?.is_dir() {
            let files = policy_files(path).map_err(unreadable(path))?;
            if files.is_empty() {
                return Err(PolicyFileError::Empty { path: path.clone() });
            }
            files
        } else {
            vec![path.clone()]
        };
        for file in files {
            let text = std::fs::read_to_string(&file).map_err(unreadable(&file))?;
            sources.push(PolicySource { path: file.display().to_string(), text });
        }
    }
    Ok(sources)
}

fn policy_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if is_policy_file(&path) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a file of a policy directory is part of the policy, by its name.
pub(super) fn is_policy_file(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let extension = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    extension && !hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_its_visible_yaml_files_in_the_order_of_their_names() {
        let directory = std::env::temp_dir().join(format!("pgveil-policies-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&directory).unwrap();
        for (name, text) in
            [("b.yml", "2"), ("a.yaml", "1"), (".a.yaml.swp", "x"), (".c.yaml", "x"), ("notes.txt", "x")]
        {
            std::fs::write(directory.join(name), text).unwrap();
        }
        let texts: Vec<_> =
            read_policies(std::slice::from_ref(&directory)).unwrap().into_iter().map(|source| source.text).collect();
        assert_eq!(texts, ["1", "2"]);
        for name in ["a.yaml", "b.yml"] {
            std::fs::remove_file(directory.join(name)).unwrap();
        }
        assert!(matches!(read_policies(std::slice::from_ref(&directory)), Err(PolicyFileError::Empty { .. })));
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(matches!(read_policies(&[directory]), Err(PolicyFileError::Unreadable { .. })));
    }
}
