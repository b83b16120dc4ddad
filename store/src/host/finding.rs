//! Owns the finding: one thing that keeps a set of packages from becoming active on a host.

use std::path::PathBuf;

use schema::digest::Digest;
use schema::id::PackageId;
use schema::name::RoleName;
use schema::platform::Platform;
use serde::Serialize;

use super::system::Obstacle;
use crate::activation::Conflict;

/// One thing that keeps a set of packages from becoming active. All are found before anything is changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// Two packages bring the same path.
    #[error(transparent)]
    Conflict(Conflict),
    /// A package's folder is not there.
    #[error("{package} is to be active, but {} is not there; install it first", path.display())]
    PackageAbsent {
        /// The package.
        package: PackageId,
        /// Where it belongs.
        path: PathBuf,
    },
    /// A package's folder is not that package.
    #[error("{package} cannot be used: {reason}")]
    PackageUnusable {
        /// The package.
        package: PackageId,
        /// What is wrong with it.
        reason: String,
    },
    /// A package that another requires is not among those to be active.
    #[error("{package} requires {dependency}, which is not among the packages to be active")]
    RequiredAbsent {
        /// Who requires it.
        package: PackageId,
        /// What is required.
        dependency: PackageId,
    },
    /// A package that runs on something else.
    #[error("{package} is for {found}, but {expected} is expected")]
    OtherPlatform {
        /// The package.
        package: PackageId,
        /// As the manifest says, or this machine is.
        expected: String,
        /// As the package says.
        found: String,
    },
    /// The whole set runs on something else than this machine.
    #[error("the packages are for {expected}, but this machine is {found}")]
    OtherMachine {
        /// As the manifest says.
        expected: String,
        /// What this machine is.
        found: Platform,
    },
    /// A package that belongs to another prefix.
    #[error("{package} stands at {found}, but {expected} is expected")]
    OtherPrefix {
        /// The package.
        package: PackageId,
        /// As the manifest says.
        expected: String,
        /// As the package says.
        found: String,
    },
    /// A variable that a package may not set, or not so.
    #[error("{package} sets the variable `{variable}`: {reason}")]
    Variable {
        /// The package.
        package: PackageId,
        /// The variable.
        variable: String,
        /// The rule it breaks.
        reason: String,
    },
    /// A variable that two packages set.
    #[error("the variable `{variable}` is set by both {first} and {second}")]
    VariableTwice {
        /// The variable.
        variable: String,
        /// One of them.
        first: PackageId,
        /// The other.
        second: PackageId,
    },
    /// Something in a package's facts that is no kernel setting, user or group.
    #[error("{package} asks for the {what} `{text}`: {reason}")]
    Fact {
        /// The package.
        package: PackageId,
        /// What it was to be.
        what: FactKind,
        /// As the package has it.
        text: String,
        /// The rule it breaks.
        reason: String,
    },
    /// Two packages that want the same setting or user to be different.
    #[error("{first} and {second} do not agree on the {what} `{text}`: `{one}` and `{other}`")]
    Disagreement {
        /// What about.
        what: FactKind,
        /// Its name.
        text: String,
        /// One package.
        first: PackageId,
        /// What it wants.
        one: String,
        /// Another package.
        second: PackageId,
        /// What that wants.
        other: String,
    },
    /// A unit that two packages bring, or that two folders of one bring differently.
    #[error("the unit `{unit}` is brought by both {first} and {second}")]
    UnitTwice {
        /// The unit.
        unit: String,
        /// One of them.
        first: PackageId,
        /// The other.
        second: PackageId,
    },
    /// Something among the units that is none.
    #[error("{package} brings `{unit}`: {reason}")]
    Unit {
        /// The package.
        package: PackageId,
        /// Its name.
        unit: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// A role that no package knows.
    #[error("no package knows the role `{role}`; there are {}", names(known))]
    UnknownRole {
        /// The role.
        role: RoleName,
        /// Those that some package knows.
        known: Vec<RoleName>,
    },
    /// The configuration would not be active.
    #[error("the configuration {digest} is not active on these roles")]
    NoConfiguration {
        /// The configuration's.
        digest: Digest,
    },
    /// Something that the store did not make stands where one of its links belongs.
    #[error("{} is in the way: a link to {} belongs there", path.display(), target.display())]
    InTheWay {
        /// Where.
        path: PathBuf,
        /// What belongs there.
        target: PathBuf,
    },
    /// Something about the system.
    #[error(transparent)]
    System(Obstacle),
}

/// What a package asks a host for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FactKind {
    /// A kernel setting.
    KernelSetting,
    /// A system user.
    User,
    /// A system group.
    Group,
}

impl std::fmt::Display for FactKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::KernelSetting => "kernel setting",
            Self::User => "user",
            Self::Group => "group",
        })
    }
}

/// One sentence a line.
pub(super) fn list(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    lines.join("\n")
}

fn names(roles: &[RoleName]) -> String {
    let names: Vec<String> = roles.iter().map(|role| format!("`{role}`")).collect();
    names.join(", ")
}
