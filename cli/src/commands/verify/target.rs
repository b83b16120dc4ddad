//! Owns what `store verify` is asked to verify, and which of its options make sense for that.

use std::fmt;
use std::path::Path;

use builder::fetch::medium::is_address;

use crate::args::verify::Verify;
use crate::failure::Failure;
use crate::meant::file_name;

/// What is verified, decided once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// The store, or packages of it.
    Store,
    /// Packages of the store or of the tree, by building them again.
    Builds,
    /// The host whose prefix stands there, or the one this program lies in.
    Host(Option<&'a Path>),
    /// The artifact at that path or address.
    Artifact(&'a str),
    /// A document at that path or address, by its signature.
    Document(&'a str),
    /// A folder that is served.
    Served(&'a Path),
}

/// Tells whether a file is verified by its signature alone.
pub type IsPlain<'a> = dyn Fn(&str) -> Result<bool, Failure> + 'a;

impl<'a> Target<'a> {
    /// What `args` ask for, from the folder `cwd`; `is_plain` tells whether a file is verified by its signature alone.
    ///
    /// # Errors
    /// When nothing is there that could be verified, or options are given that it does not take.
    pub fn of(args: &'a Verify, cwd: &Path, is_plain: &IsPlain<'_>) -> Result<Self, Failure> {
        let target = Self::named(args, cwd, is_plain)?;
        let Some(choice) = Choice::given(args).find(|choice| !target.takes(*choice, args)) else {
            return Ok(target);
        };
        match args.what.as_slice() {
            // Whoever asks who signed it meant a file, not the package of that name.
            [text] if choice == Choice::Signer && target == Self::Store && file_name::is_meant(text) => {
                Err(file_name::absent(text))
            }
            _ => Err(choice.refused(target)),
        }
    }

    fn named(args: &'a Verify, cwd: &Path, is_plain: &IsPlain<'_>) -> Result<Self, Failure> {
        let packages = match (&args.root, args.again.rebuild) {
            (Some(root), _) => Self::Host(root.as_deref()),
            (None, true) => Self::Builds,
            (None, false) => Self::Store,
        };
        match (args.what.as_slice(), packages) {
            ([place], Self::Store | Self::Builds) => {
                Self::at(place, cwd, is_plain).map(|at| at.unwrap_or(packages))
            }
            (places, _) => match places.iter().find(|place| is_place(place, cwd)) {
                None => Ok(packages),
                Some(place) => Err(only_names(place, packages)),
            },
        }
    }

    /// What is at `place`; nothing when that can only be the name of a package.
    fn at(place: &'a str, cwd: &Path, is_plain: &IsPlain<'_>) -> Result<Option<Self>, Failure> {
        let path = cwd.join(place);
        if is_address(place) || path.is_file() {
            return Ok(Some(match is_plain(place)? {
                true => Self::Document(place),
                false => Self::Artifact(place),
            }));
        }
        match (place.contains('/'), path.is_dir()) {
            (false, _) => Ok(None),
            (true, true) => Ok(Some(Self::Served(Path::new(place)))),
            (true, false) => Err(file_name::absent(place)
                .help("packages are verified by their names, as `store list` prints them")),
        }
    }

    fn takes(self, choice: Choice, args: &Verify) -> bool {
        match (choice, self) {
            (Choice::Signer, target) => {
                matches!(target, Self::Artifact(_) | Self::Document(_) | Self::Served(_))
            }
            (Choice::Rebuild, target) => target == Self::Builds,
            (Choice::Repair, target) => matches!(target, Self::Store | Self::Host(_)),
            (Choice::From | Choice::Resume, target) => {
                matches!(target, Self::Store | Self::Host(_) | Self::Artifact(_))
            }
            (Choice::Variant, target) => match target {
                Self::Builds => true,
                Self::Store => args.repair,
                _ => false,
            },
            (Choice::Cache, target) => matches!(target, Self::Store | Self::Host(_)),
            (Choice::CacheKey, Self::Store | Self::Host(_)) => !args.caches.caches.is_empty(),
            (Choice::CacheKey, target) => matches!(target, Self::Served(_)),
        }
    }
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store => f.write_str("a store"),
            Self::Builds => f.write_str("packages that are built again"),
            Self::Host(_) => f.write_str("a host"),
            Self::Artifact(place) => write!(f, "the artifact {place}"),
            Self::Document(place) => write!(f, "the document {place}"),
            Self::Served(folder) => write!(f, "the folder {}", folder.display()),
        }
    }
}

/// Whether `text` names something else than a package.
fn is_place(text: &str, cwd: &Path) -> bool {
    is_address(text) || text.contains('/') || (file_name::is_meant(text) && cwd.join(text).is_file())
}

fn only_names(place: &str, packages: Target<'_>) -> Failure {
    match packages {
        Target::Host(_) => Failure::misuse(format!("`{place}` is not a package of a host"))
            .help("with --root, only packages are named; leave --root out to verify a file or a folder"),
        _ => Failure::misuse(format!("`{place}` is verified by itself"))
            .help("name one file, address or folder at a time; only packages can be named together"),
    }
}

/// An option that not everything can be verified with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// `--key` or `--policy`.
    Signer,
    /// `--rebuild`.
    Rebuild,
    /// `--repair`.
    Repair,
    /// `--from`.
    From,
    /// `--resume`.
    Resume,
    /// `--variant`.
    Variant,
    /// `--cache`.
    Cache,
    /// `--cache-key`.
    CacheKey,
}

impl Choice {
    /// Those that `args` make.
    fn given(args: &Verify) -> impl Iterator<Item = Self> {
        let (signer, caches) = (&args.trusted, &args.caches);
        let all = [
            (Self::Signer, !signer.keys.is_empty() || signer.policy.is_some()),
            (Self::Rebuild, args.again.rebuild),
            (Self::Repair, args.repair),
            (Self::From, args.from.is_some()),
            (Self::Resume, args.resume),
            (Self::Variant, args.variant.name.is_some()),
            (Self::Cache, !caches.caches.is_empty()),
            (Self::CacheKey, !caches.keys.is_empty()),
        ];
        all.into_iter()
            .filter_map(|(choice, is_given)| is_given.then_some(choice))
    }

    /// Why it is not taken for `target`, and what to do instead.
    fn refused(self, target: Target<'_>) -> Failure {
        let option = match self {
            Self::Signer => "--key and --policy",
            Self::Rebuild => "--rebuild",
            Self::Repair => "--repair",
            Self::From => "--from",
            Self::Resume => "--resume",
            Self::Variant => "--variant",
            Self::Cache => "--cache",
            Self::CacheKey => "--cache-key",
        };
        let help = match (self, target) {
            (Self::Signer, _) => "name the artifact or the document that is signed, a file or its address",
            (Self::Rebuild, _) => "only packages are built again, by their names",
            (Self::Repair, Target::Builds) => {
                "what differs when it is built again is no damage; leave one of them out"
            }
            (Self::Repair, _) => {
                "create it again, or fetch it again; `--from` says which bytes of an artifact differ from a sound one"
            }
            (Self::From, _) => "an artifact is compared with stores, hosts and artifacts",
            (Self::Resume, _) => "it is verified anew each time",
            (Self::Variant, _) => "--variant says what --rebuild and the --repair of a store build",
            (Self::Cache | Self::CacheKey, Target::Store | Target::Host(_)) => {
                "--cache and --cache-key together say who has sound packages"
            }
            (Self::Cache | Self::CacheKey, _) => {
                "--cache-key is for a binary cache, by its folder, or for --cache beside a store or a host"
            }
        };
        Failure::misuse(format!("{target} cannot be verified with {option}")).help(help)
    }
}
