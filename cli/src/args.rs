//! Owns the command line: every verb, its arguments and their help texts.

pub mod channel;
pub mod configure;
pub mod delivery;
pub mod hosts;
pub mod rebuild;
pub mod sbom;
pub mod signing;
mod values;
pub mod verify;

use std::num::NonZeroU32;
use std::path::PathBuf;

use builder::fetch::Network;
use clap::{Args, Parser, Subcommand, ValueEnum};
use rebuild::Rebuild;
use schema::name::VariantName;

/// A content-addressed package store with a hermetic build farm.
#[derive(Debug, Parser)]
#[command(name = "store", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// What every verb takes.
    #[command(flatten)]
    pub global: Global,
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Arguments that every verb takes, before or after it.
#[derive(Debug, Args)]
pub struct Global {
    /// Print one JSON document on standard output instead of text
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub json: bool,
    /// The store [default: $STORE_DIR, else $XDG_DATA_HOME/store]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Everywhere")]
    pub store: Option<PathBuf>,
    /// The tree of recipes [default: found upward from the current folder]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Everywhere")]
    pub recipes: Option<PathBuf>,
    /// Say only what went wrong
    #[arg(
        short,
        long,
        global = true,
        conflicts_with = "verbose",
        help_heading = "Everywhere"
    )]
    pub quiet: bool,
    /// Say more; twice, print what builds print
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Everywhere")]
    pub verbose: u8,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Build packages, and all they depend on, from source
    Build(Build),
    /// Fetch and check the sources of packages without building them
    Fetch(Selection),
    /// List the packages in the store
    List,
    /// Show one package: its recipe, or with --resolved the bytes hashed into its store ID
    Show(Show),
    /// Print the dependency graph
    Graph(Graph),
    /// Say why package A depends on package B
    Why(Why),
    /// Say in what two artifacts, manifests, generations or packages differ
    Diff(Diff),
    /// Say which input of a package, or of what it depends on, differs from its last build
    WhyRebuilt(WhyRebuilt),
    /// Print the log of a package's last build
    Log(Named),
    /// Enter the sandbox of a package's build
    Shell(Shell),
    /// Check, start or pin recipes
    #[command(subcommand)]
    Recipe(RecipeVerb),
    /// Create, inspect, verify, extract or compare master artifacts
    #[command(subcommand)]
    Artifact(ArtifactVerb),
    /// Render a configuration into an artifact, and lay out the folder that hosts install from
    Configure(configure::Configure),
    /// Compare a store, an artifact or a host with what digests and recipes say of it, bit for bit
    Verify(verify::Verify),
    /// Remove what no garbage-collection root needs
    Gc(Gc),
    /// List, add or remove garbage-collection roots
    Roots(Roots),
    /// Look after the store's index
    #[command(subcommand)]
    Index(IndexVerb),
    /// Fill a folder with signed packages, to be taken instead of being built
    Push(delivery::Push),
    /// Make a pair of keys to sign with
    Keygen(signing::Keygen),
    /// Sign artifacts, manifests or other files, so that minisign and `store verify` can tell by whom
    Sign(signing::Sign),
    /// Attest what this store built, for others to hold against what they built
    Attest(signing::Attest),
    /// Compare what several builders attest, and name who disagrees
    Challenge(signing::Challenge),
    /// Publish a delivery as the newest release of an update channel, signed, for hosts to follow
    Publish(channel::Publish),
    /// Serve a folder to hosts over HTTP
    Serve(delivery::Serve),
    /// Install what a host's roles need from an artifact, and activate it
    Install(delivery::Install),
    /// Activate on a host what a manifest selects for its roles
    Activate(hosts::Activate),
    /// Make an earlier generation of a host active again
    Rollback(hosts::Rollback),
    /// Say all that a host lacks for an installation, and change nothing
    Preflight(hosts::Preflight),
    /// Finish or undo an activation that a loss of power interrupted, as the next boot does
    Heal(hosts::At),
    /// Print this host's address, as the configuration's script finds it
    IpDetect(hosts::IpDetect),
    /// List the generations of a host
    Generations(hosts::At),
    /// Say what is active on a host, in one digest and in full
    Status(hosts::At),
    /// Make a writable copy of a package active on a host; `store rollback` undoes it
    Override(hosts::Override),
    /// Say which of many hosts are not as a manifest says, and how
    Audit(hosts::Audit),
    /// Write the bill of materials of an artifact, of a host, or of packages
    Sbom(sbom::Sbom),
    /// Print the JSON Schema of a document
    Schema(Schema),
    /// Print the completions for a shell
    Completions(Completions),
    /// Print the manual page
    Man,
}

/// Which variant of the tree is meant.
#[derive(Debug, Default, Args)]
pub struct Variant {
    /// Lay this variant of the tree over the base
    #[arg(long = "variant", id = "variant", value_name = "NAME")]
    pub name: Option<VariantName>,
}

/// Which packages of the tree are meant.
#[derive(Debug, Args)]
pub struct Selection {
    /// Package names, or `all` for the tree's default set
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Which variant of the tree is meant.
    #[command(flatten)]
    pub variant: Variant,
    /// Never touch the network
    #[arg(long)]
    pub offline: bool,
}

impl Selection {
    /// Whether the network may be used.
    pub fn network(&self) -> Network {
        match self.offline {
            true => Network::Forbidden,
            false => Network::Allowed,
        }
    }
}

/// `store build`.
#[derive(Debug, Args)]
pub struct Build {
    /// What to build.
    #[command(flatten)]
    pub selection: Selection,
    /// How many packages may build at once [default: the number of CPUs]
    #[arg(short, long, value_name = "N", value_parser = values::at_least_one)]
    pub jobs: Option<NonZeroU32>,
    /// How many CPUs each build sees and may use [default: the recipe's `cores`, else 4]
    #[arg(long, value_name = "N", value_parser = values::at_least_one)]
    pub cores: Option<NonZeroU32>,
    /// Keep the half-built folder of a failed build, for `store shell`
    #[arg(long)]
    pub keep_failed: bool,
    /// After a failure, go on with what does not depend on it
    #[arg(long)]
    pub keep_going: bool,
    /// How to build again.
    #[command(flatten)]
    pub again: Rebuild,
    /// Say what would be built, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Where packages are taken from instead of being built.
    #[command(flatten)]
    pub caches: delivery::Caches,
}

/// One package of the tree or of the store.
#[derive(Debug, Args)]
pub struct Named {
    /// A package's name or store ID
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Which variant of the tree is meant.
    #[command(flatten)]
    pub variant: Variant,
}

/// `store show`.
#[derive(Debug, Args)]
pub struct Show {
    /// Which package.
    #[command(flatten)]
    pub named: Named,
    /// Print the resolved recipe, byte for byte what is hashed into the store ID
    #[arg(long)]
    pub resolved: bool,
}

/// `store graph`.
#[derive(Debug, Args)]
pub struct Graph {
    /// Package names [default: the tree's default set]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = GraphFormat::Dot)]
    pub format: GraphFormat,
    /// Which variant of the tree is meant.
    #[command(flatten)]
    pub variant: Variant,
}

/// How `store graph` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// The language of Graphviz.
    Dot,
    /// A drawing.
    Svg,
    /// A page with the drawing.
    Html,
}

/// `store why`.
#[derive(Debug, Args)]
pub struct Why {
    /// The package that depends
    #[arg(value_name = "A")]
    pub dependent: String,
    /// The package depended on
    #[arg(value_name = "B")]
    pub dependency: String,
    /// Which variant of the tree is meant.
    #[command(flatten)]
    pub variant: Variant,
}

/// `store diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// The older side: an artifact or a manifest.json (a file or a URL), a store ID or a package of the tree with all that
    /// it requires, or the number of a generation
    #[arg(value_name = "A")]
    pub before: String,
    /// The newer side [default: what is active on the host]
    #[arg(value_name = "B")]
    pub after: Option<String>,
    /// The host of generations, where its prefix stands [default: the folder this program lies in]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Which variant of the tree is meant.
    #[command(flatten)]
    pub variant: Variant,
}

/// `store why-rebuilt`.
#[derive(Debug, Args)]
pub struct WhyRebuilt {
    /// The package's name
    pub name: String,
    /// Compare with this package instead of the last build
    #[arg(long, value_name = "ID")]
    pub since: Option<schema::id::PackageId>,
    /// Which variant of the tree is meant.
    #[command(flatten)]
    pub variant: Variant,
}

/// `store shell`.
#[derive(Debug, Args)]
pub struct Shell {
    /// Which package.
    #[command(flatten)]
    pub named: Named,
    /// Run this instead of an interactive shell
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `store recipe …`.
#[derive(Debug, Subcommand)]
pub enum RecipeVerb {
    /// Read the whole tree and report every mistake at once
    Check {
        /// Which variant of the tree is meant.
        #[command(flatten)]
        variant: Variant,
    },
    /// Start a recipe
    New {
        /// The package's name
        name: String,
    },
    /// Fetch a recipe's sources and fill in their digests, after showing them
    Pin {
        /// The package's name
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// `store artifact …`.
#[derive(Debug, Subcommand)]
pub enum ArtifactVerb {
    /// Write the master artifact of the named packages' closures
    Create {
        /// Package names [default: the tree's default set]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Where to write it [default: NAME-VERSION-PLATFORM.tar.zst]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Which variant of the tree is meant.
        #[command(flatten)]
        variant: Variant,
    },
    /// Show what an artifact holds
    Inspect {
        /// The artifact
        file: PathBuf,
    },
    /// Check an artifact bit for bit
    Verify {
        /// The artifact: a file, or its address on a web server
        #[arg(value_name = "FILE|URL")]
        file: String,
    },
    /// Unpack an artifact, or one package's closure out of it
    Extract {
        /// The artifact
        file: PathBuf,
        /// Only this package and what it requires
        #[arg(long, value_name = "NAME")]
        package: Option<String>,
        /// The folder to unpack to
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// Say how artifact B differs from artifact A, as `store diff` does
    Diff(Diff),
}

/// `store gc`.
#[derive(Debug, Args)]
pub struct Gc {
    /// Say what would be removed, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Collect on the host whose prefix stands there [without DIR: the folder this program lies in]
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    pub root: Option<Option<PathBuf>>,
    /// How many generations of the host stay, beside the current one
    #[arg(long, value_name = "N", requires = "root", default_value_t = 3)]
    pub keep: usize,
}

/// `store roots`.
#[derive(Debug, Args)]
pub struct Roots {
    /// What to do; without it, list them
    #[command(subcommand)]
    pub verb: Option<RootsVerb>,
}

/// `store roots …`.
#[derive(Debug, Subcommand)]
pub enum RootsVerb {
    /// Keep packages and their closures under a name of yours
    Add {
        /// The root's name
        name: String,
        /// Package names or store IDs
        #[arg(required = true, value_name = "PACKAGE")]
        packages: Vec<String>,
    },
    /// No longer keep them
    Remove {
        /// The root's name
        name: String,
    },
}

/// `store index …`.
#[derive(Debug, Subcommand)]
pub enum IndexVerb {
    /// Make the index anew from the store's folders
    Rebuild,
}

/// `store schema`.
#[derive(Debug, Args)]
pub struct Schema {
    /// The document; without it, the names of all documents
    pub name: Option<String>,
}

/// `store completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn no_verb_contradicts_itself() {
        Cli::command().debug_assert();
    }
}
