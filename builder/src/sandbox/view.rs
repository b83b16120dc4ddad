//! Owns what a build sees of its surroundings besides its packages: the same everywhere, unless it is varied on purpose.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything around a build that has no part in its recipe. The default is the sandbox's profile; anything else is
/// for finding out what an output wrongly depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The time of day.
    pub clock: Clock,
    /// Random numbers.
    pub randomness: Randomness,
    /// `$TZ`.
    pub time_zone: String,
    /// `$LC_ALL`, and more variables of the same meaning.
    pub locale: Locale,
    /// Whom the build sees itself as.
    pub user: User,
    /// `$HOME`, which does not exist.
    pub home: String,
    /// The machine's name.
    pub host: Host,
    /// What new files may not allow.
    pub umask: u32,
    /// Where the folders of a build are.
    pub places: Places,
    /// In which order folders are listed.
    pub entry_order: EntryOrder,
    /// The CPUs a build really runs on.
    pub affinity: Affinity,
    /// What the kernel says of itself.
    pub kernel: Kernel,
    /// Where programs lie in memory.
    pub addresses: Addresses,
    /// What the build prints to.
    pub terminal: Terminal,
    /// Variables that no build asks for.
    pub extra_variables: Vec<(String, String)>,
    /// How fast processes come to their turn.
    pub pace: Pace,
}

/// The time of day in a sandbox. Clocks that count from the machine's start are never touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The machine's.
    Real,
    /// The machine's, later by so much.
    Later(Duration),
    /// Stands still for `step` at a time, so that two builds can be given the same time.
    Held {
        /// Time since 1970 at the beginning.
        at: Duration,
        /// How long it stands still before it jumps on by as much. Not zero.
        step: Duration,
    },
}

/// Random numbers in a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Randomness {
    /// The kernel's.
    Real,
    /// The same for every build.
    Fixed,
}

/// The variables that choose a language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locale {
    /// `$LC_ALL`.
    pub all: String,
    /// `$LANG` and `$LANGUAGE`, where they are set at all.
    pub language: Option<String>,
}

/// A user and its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The number of both.
    pub id: u32,
    /// The user's name.
    pub name: String,
    /// The group's name.
    pub group: String,
}

/// The names of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// What `hostname` prints.
    pub name: String,
    /// What `domainname` prints.
    pub domain: String,
}

/// The folders of a build, as paths inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The sources. Where this is not [`SOURCES`], that is a link to it.
    pub sources: PathBuf,
    /// The recipe's folder. Where this is not [`RECIPE`], that is a link to it.
    pub recipe: PathBuf,
    /// `$TMPDIR`: `/tmp` or below.
    pub temporary: PathBuf,
}

/// In which order folders are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryOrder {
    /// As the file system has it.
    AsItIs,
    /// What each call lists, last first.
    Reversed,
}

/// The CPUs a build really runs on; how many it sees is another matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affinity {
    /// All that we may use.
    All,
    /// One of them.
    One,
}

/// What `uname` and `/proc` say of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// What `uname -r` prints.
    pub release: String,
    /// What `uname -v` prints.
    pub version: String,
}

/// Where programs lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// At the same place each time.
    Fixed,
    /// Anywhere.
    Randomised,
}

/// What a build prints to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    /// A pipe.
    None,
    /// A terminal that knows colours.
    Colours,
}

/// How fast processes come to their turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As the machine has it.
    AsItIs,
    /// As on a machine that has too much to do: a process may wait before it runs a program, one longer than another.
    Uneven,
}

/// The recipe's folder, inside.
pub const RECIPE: &str = "/pkg/build";

/// The sources, inside.
pub const SOURCES: &str = "/pkg/src";

/// The folder for passing files, inside.
pub const TEMPORARY: &str = "/tmp";

impl Default for View {
    fn default() -> Self {
        Self {
            clock: Clock::Real,
            randomness: Randomness::Real,
            time_zone: "UTC".to_owned(),
            locale: Locale {
                all: "C.UTF-8".to_owned(),
                language: None,
            },
            user: User {
                id: 1000,
                name: "builder".to_owned(),
                group: "builder".to_owned(),
            },
            home: "/homeless".to_owned(),
            host: Host {
                name: "store".to_owned(),
                domain: "(none)".to_owned(),
            },
            umask: 0o022,
            places: Places::default(),
            entry_order: EntryOrder::AsItIs,
            affinity: Affinity::All,
            kernel: Kernel {
                release: "6.6.0".to_owned(),
                version: "#1 SMP".to_owned(),
            },
            addresses: Addresses::Fixed,
            terminal: Terminal::None,
            extra_variables: Vec::new(),
            pace: Pace::AsItIs,
        }
    }
}

impl Default for Places {
    fn default() -> Self {
        Self {
            sources: SOURCES.into(),
            recipe: RECIPE.into(),
            temporary: TEMPORARY.into(),
        }
    }
}

impl Places {
    /// Each of our own folders that is elsewhere: where it is looked for, and where it is.
    pub fn moved(&self) -> impl Iterator<Item = (&'static Path, &Path)> {
        [(SOURCES, &self.sources), (RECIPE, &self.recipe)]
            .into_iter()
            .map(|(usual, place)| (Path::new(usual), place.as_path()))
            .filter(|(usual, place)| usual != place)
    }

    /// Where `path`, given as if everything were at its usual place, really is.
    pub fn really(&self, path: &Path) -> PathBuf {
        let moved = self.moved().find_map(|(usual, place)| {
            let below = path.strip_prefix(usual).ok()?;
            // Collected, since joining nothing would end the path with a slash.
            Some(place.join(below).components().collect())
        });
        moved.unwrap_or_else(|| path.to_owned())
    }
}
