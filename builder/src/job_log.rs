//! Owns a build's log: written to disk while the build runs, its last lines kept at hand.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// How many bytes at the end of a log are kept for the message about a failure.
const TAIL: usize = 16 * 1024;

/// How many lines of a failed build's log are shown.
pub const TAIL_LINES: usize = 25;

/// The log of one build that is running.
#[derive(Debug)]
pub struct JobLog {
    path: PathBuf,
    file: File,
    tail: VecDeque<u8>,
}

impl JobLog {
    /// Begins a log at `path`.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: PathBuf) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(&path)?;
        Ok(Self {
            path,
            file,
            tail: VecDeque::with_capacity(TAIL),
        })
    }

    /// Where it is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last lines, without what is no text.
    pub fn last_lines(&self) -> String {
        let bytes: Vec<u8> = self.tail.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let printable = |line: &&str| {
            line.chars()
                .filter(|c| !c.is_control() || *c == '\t')
                .collect::<String>()
        };
        let from = lines.len().saturating_sub(TAIL_LINES);
        lines[from..].iter().map(printable).collect::<Vec<_>>().join("\n")
    }
}

impl Write for JobLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        let kept = &bytes[bytes.len().saturating_sub(TAIL)..];
        let over = (self.tail.len() + kept.len()).saturating_sub(TAIL);
        self.tail.drain(..over);
        self.tail.extend(kept);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_end_of_what_was_written_and_the_rest_is_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = JobLog::create(dir.path().join("log")).unwrap();
        for line in 0..10_000 {
            writeln!(log, "line {line} \x1b[1m").unwrap();
        }
        let lines = log.last_lines();
        assert_eq!(lines.lines().count(), TAIL_LINES);
        assert!(lines.ends_with("line 9999 [1m"), "{lines}");
        let back = std::fs::read(log.path()).unwrap();
        assert_eq!(back.iter().filter(|b| **b == b'\n').count(), 10_000);
    }
}
