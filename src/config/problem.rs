//! What is wrong with the configuration, and where.

use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; 0 if the whole file is meant.
    pub line: usize,
    /// The column, from 1; 0 if the whole file is meant.
    pub column: usize,
    /// The path of the key, such as `room_lists[0].levels[1].rooms`; empty if no key is meant.
    pub key: String,
    /// What is wrong and what would be right, in words.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}", self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::Problem;

    #[test]
    fn a_problem_reads_as_file_line_column_key_and_message() {
        let mut problem = Problem {
            file: "config.yaml".into(),
            line: 3,
            column: 5,
            key: "homeserver.url".into(),
            message: "is missing".into(),
        };
        assert_eq!(problem.to_string(), "config.yaml:3:5: homeserver.url: is missing");
        problem.line = 0;
        problem.key = String::new();
        problem.message = "cannot be read".into();
        assert_eq!(problem.to_string(), "config.yaml: cannot be read");
    }
}
