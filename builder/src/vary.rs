//! Owns what can be varied around a build to find out whether its output depends on it.

pub mod conditions;
pub mod search;
pub mod traces;

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::sandbox::{
    Addresses, Affinity, Clock, EntryOrder, Host, Kernel, Locale, Pace, Places, Randomness, SandboxSpec,
    Terminal, User, View,
};

/// How much later it seems to be: another year, month, weekday, hour, minute and second.
const LATER: Duration = Duration::from_secs(430 * 24 * 60 * 60 + 11 * 60 * 60 + 17 * 60 + 23);

/// One thing around a build that no output may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Axis {
    /// The time of day and the date.
    Time,
    /// `$TZ`.
    TimeZone,
    /// `$LC_ALL`, `$LANG` and `$LANGUAGE`.
    Locale,
    /// The user and its group: numbers and names.
    User,
    /// `$HOME`.
    Home,
    /// The names of the machine and of its domain.
    Host,
    /// What new files may not allow.
    Umask,
    /// Where the sources, the recipe and `$TMPDIR` are.
    BuildPath,
    /// In which order folders are listed.
    FileOrder,
    /// How many CPUs there seem to be, and on which of them the build really runs.
    Cpus,
    /// What `uname` says of the kernel.
    Kernel,
    /// Where programs lie in memory.
    Addresses,
    /// Whether the build prints to a terminal.
    Terminal,
    /// Variables that no build asks for.
    Environment,
    /// Which processes have to wait, as on a busy machine.
    Load,
    /// How many jobs the build is to run at once.
    Jobs,
    /// Random numbers.
    Random,
}

impl Axis {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Time,
        Self::TimeZone,
        Self::Locale,
        Self::User,
        Self::Home,
        Self::Host,
        Self::Umask,
        Self::BuildPath,
        Self::FileOrder,
        Self::Cpus,
        Self::Kernel,
        Self::Addresses,
        Self::Terminal,
        Self::Environment,
        Self::Load,
        Self::Jobs,
        Self::Random,
    ];

    /// The name people call it by.
    pub fn name(self) -> &'static str {
        self.texts().0
    }

    /// What is another when it is varied, for people.
    pub fn meaning(self) -> &'static str {
        self.texts().1
    }

    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::Time => ("time", "a date more than a year later"),
            Self::TimeZone => ("time-zone", "another $TZ"),
            Self::Locale => ("locale", "another $LC_ALL, and $LANG and $LANGUAGE"),
            Self::User => ("user", "other numbers and names of user and group"),
            Self::Home => ("home", "another $HOME"),
            Self::Host => ("host", "other names of machine and domain"),
            Self::Umask => ("umask", "a stricter umask"),
            Self::BuildPath => ("build-path", "sources, recipe and $TMPDIR elsewhere"),
            Self::FileOrder => ("file-order", "folders listed the other way round"),
            Self::Cpus => ("cpus", "another number of CPUs to see, and only one to run on"),
            Self::Kernel => ("kernel", "another release and version in uname"),
            Self::Addresses => ("addresses", "programs at random places in memory"),
            Self::Terminal => ("terminal", "a terminal with colours to print to"),
            Self::Environment => ("environment", "variables that nobody asks for"),
            Self::Load => ("load", "processes that wait unevenly, as on a busy machine"),
            Self::Jobs => ("jobs", "another $NUM_CORES, and no job server"),
            Self::Random => (
                "random",
                "random numbers: never the same, but while a difference is looked for",
            ),
        }
    }

    fn bit(self) -> u32 {
        1 << self as u32
    }

    /// Changes `view` along this axis.
    fn change(self, view: &mut View) {
        match self {
            Self::Time => {
                view.clock = match view.clock {
                    Clock::Held { at, step } => Clock::Held { at: at + LATER, step },
                    Clock::Real | Clock::Later(_) => Clock::Later(LATER),
                }
            }
            Self::TimeZone => view.time_zone = "VRY-13:45".to_owned(),
            Self::Locale => {
                let other = "tr_TR.UTF-8".to_owned();
                view.locale = Locale {
                    language: Some(other.clone()),
                    all: other,
                };
            }
            Self::User => {
                view.user = User {
                    id: 4242,
                    name: "varied-user".to_owned(),
                    group: "varied-group".to_owned(),
                }
            }
            Self::Home => view.home = "/nonexistent/varied-home".to_owned(),
            Self::Host => {
                view.host = Host {
                    name: "varied-host".to_owned(),
                    domain: "varied.example".to_owned(),
                }
            }
            Self::Umask => view.umask = 0o027,
            Self::BuildPath => {
                view.places = Places {
                    sources: "/pkg/varied/elsewhere/src".into(),
                    recipe: "/pkg/varied/elsewhere/build".into(),
                    temporary: "/tmp/varied".into(),
                }
            }
            Self::FileOrder => view.entry_order = EntryOrder::Reversed,
            Self::Cpus => view.affinity = Affinity::One,
            Self::Kernel => {
                view.kernel = Kernel {
                    release: "5.4.0-varied".to_owned(),
                    version: "#7 SMP PREEMPT".to_owned(),
                }
            }
            Self::Addresses => view.addresses = Addresses::Randomised,
            Self::Terminal => view.terminal = Terminal::Colours,
            Self::Environment => {
                let extra = [("A_VARIED_NAME", "varied value"), ("_VARIED", "")];
                view.extra_variables = extra
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .into();
            }
            Self::Load => view.pace = Pace::Uneven,
            // No matter of what is seen.
            Self::Jobs => {}
            Self::Random => view.randomness = Randomness::Real,
        }
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of axes that are varied together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Variation(u32);

impl Variation {
    /// Everything as usual.
    pub const NONE: Self = Self(0);

    /// All axes.
    pub fn all() -> Self {
        Axis::ALL.into_iter().collect()
    }

    /// The axes in it, in the order of [`Axis::ALL`].
    pub fn axes(self) -> impl Iterator<Item = Axis> {
        Axis::ALL.into_iter().filter(move |axis| self.has(*axis))
    }

    /// Whether that one is in it.
    pub fn has(self, axis: Axis) -> bool {
        self.0 & axis.bit() != 0
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// With that one as well.
    pub fn with(self, axis: Axis) -> Self {
        Self(self.0 | axis.bit())
    }

    /// Without that one.
    pub fn without(self, axis: Axis) -> Self {
        Self(self.0 & !axis.bit())
    }

    /// Changes `spec` along all of its axes.
    pub fn apply(self, spec: &mut SandboxSpec) {
        self.axes().for_each(|axis| axis.change(&mut spec.view));
        if self.has(Axis::Cpus) {
            spec.cores = spec.cores.saturating_add(spec.cores.get());
        }
        if self.has(Axis::Jobs) {
            spec.job_server = None;
            spec.jobs = match spec.jobs {
                NonZeroU32::MIN => NonZeroU32::MIN.saturating_add(2),
                _ => NonZeroU32::MIN,
            };
        }
    }

    /// What a build sees with all of its axes varied.
    pub fn view(self) -> View {
        let mut view = View::default();
        self.axes().for_each(|axis| axis.change(&mut view));
        view
    }
}

impl FromIterator<Axis> for Variation {
    fn from_iter<T: IntoIterator<Item = Axis>>(axes: T) -> Self {
        axes.into_iter().fold(Self::NONE, Self::with)
    }
}

/// Names, e.g. `time, host`.
impl fmt::Display for Variation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.axes().map(Axis::name).collect();
        f.write_str(&names.join(", "))
    }
}

impl Serialize for Variation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.axes().map(Axis::name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variation_is_the_set_of_its_axes() {
        assert_eq!(Variation::all().axes().collect::<Vec<_>>(), Axis::ALL);
        let two: Variation = [Axis::Random, Axis::Time].into_iter().collect();
        assert_eq!(two.to_string(), "time, random");
        assert_eq!(two.without(Axis::Time).axes().collect::<Vec<_>>(), [Axis::Random]);
        assert!(two.without(Axis::Time).without(Axis::Random).is_empty());
        assert_eq!(
            serde_json::to_value(two).unwrap(),
            serde_json::json!(["time", "random"])
        );
    }
}
