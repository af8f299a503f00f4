use std::fmt;

/// A project that can't be run, with the file and line of what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {why}")]
pub struct ReadError {
    /// Its path in the project.
    pub file: String,
    /// 1-based.
    pub line: usize,
    /// What is wrong.
    pub why: String,
}

/// A line of a file of the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: String,
    /// 1-based.
    pub(crate) line: usize,
}

impl Place {
    pub(crate) fn new(file: &str, line: usize) -> Self {
        Self { file: file.to_owned(), line }
    }

    pub(crate) fn error(&self, why: impl Into<String>) -> ReadError {
        ReadError { file: self.file.clone(), line: self.line, why: why.into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}
