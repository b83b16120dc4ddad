//! Owns what lies where in a sandbox: turns a [`SandboxSpec`] into the stage that becomes its root.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use store::activation::{self, Activation};
use store::places::{self, PACKAGES};

use super::answers;
use super::error::SandboxError;
use super::facts;
use super::identity::Identity;
use super::spec::{OutputAccess, SandboxSpec};
use super::stage::{Access, Stage};
use super::view::{Randomness, TEMPORARY};

/// The shell of scripts, inside.
pub const SHELL: &str = "/bin/sh";

/// Top folders that a prefix may not be in.
const RESERVED: [&str; 8] = [
    "/bin", "/dev", "/etc", "/pkg", "/proc", "/sys", "/tmp", "/usr/bin",
];

/// Programs that scripts name by absolute path; here only if a package of the closure brings them.
const WELL_KNOWN: [(&str, &str); 2] = [(SHELL, "bin/sh"), ("/usr/bin/env", "bin/env")];

/// Devices that are the same everywhere.
const DEVICES: [&str; 5] = ["full", "null", "random", "urandom", "zero"];

/// Those of them that are random, and how many bytes stand in for them where they must not be.
const DICE: [&str; 2] = ["random", "urandom"];
const FIXED_DICE: usize = 1 << 20;

/// Links of `/dev` into `/proc`.
const STREAMS: [(&str, &str); 4] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// What a sandbox is for, besides what its spec says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Runs the spec's task, away from any terminal.
    Build,
    /// Runs a shell for a person at a terminal.
    Shell,
}

/// A root that is ready to be laid out.
#[derive(Debug)]
pub struct Layout {
    /// The root itself.
    pub stage: Stage,
    /// What `bwrap` lays over files of its `/proc`: what lies on the stage, and where it goes.
    pub masks: Vec<(PathBuf, PathBuf)>,
    /// Whether there is a shell.
    pub has_shell: bool,
}

impl Layout {
    /// Lays out what `spec` says. Of the machine's disk only the closure's folders are read.
    pub fn of(spec: &SandboxSpec, purpose: Purpose, identity: Identity) -> Result<Self, SandboxError> {
        let prefix = Path::new(spec.prefix.as_str());
        check_prefix(prefix)?;
        let activation = Activation::of(&spec.closure)?;
        let owner = match identity {
            Identity::Own { .. } => None,
            Identity::Lent(id) => Some(id),
        };
        let stage = Stage::new(&needed(spec), spec.limits.memory, owner);
        let mut layout = Self {
            stage: stage.map_err(|source| setup("find a place for its root", source))?,
            masks: Vec::new(),
            has_shell: activation.provides(Path::new("bin/sh")),
        };
        layout
            .lay(spec, purpose, prefix, &activation)
            .map_err(|source| setup("name its files", source))?;
        Ok(layout)
    }

    fn lay(
        &mut self,
        spec: &SandboxSpec,
        purpose: Purpose,
        prefix: &Path,
        activation: &Activation,
    ) -> io::Result<()> {
        let extra = spec.folders.recipe.join("extra").is_dir();
        for (path, mode) in folders(spec, prefix, activation, extra) {
            self.stage.folder(&path, mode)?;
        }
        if extra {
            self.stage
                .link(Path::new("/pkg/extra"), Path::new("build/extra"))?;
        }
        for (place, program) in WELL_KNOWN {
            if activation.provides(Path::new(program)) {
                self.stage.link(Path::new(place), &prefix.join(program))?;
            }
        }
        for (usual, place) in spec.view.places.moved() {
            self.stage.link(usual, place)?;
        }
        for (name, text) in facts::etc_files(&spec.view) {
            self.stage
                .file(&Path::new("/etc").join(name), text.into_bytes())?;
        }
        self.show_packages(spec, prefix)?;
        self.activate(prefix, activation)?;
        self.show_devices(spec, purpose)?;
        self.open_folders(spec, prefix)?;
        self.mask_proc(spec)
    }

    fn show_packages(&mut self, spec: &SandboxSpec, prefix: &Path) -> io::Result<()> {
        let packages = prefix.join(PACKAGES);
        for (id, folder) in &spec.closure {
            self.stage
                .bind(folder, &packages.join(id.to_string()), Access::ReadOnly)?;
        }
        self.stage
            .bind(&spec.folders.recipe, &spec.view.places.recipe, Access::ReadOnly)
    }

    fn activate(&mut self, prefix: &Path, activation: &Activation) -> io::Result<()> {
        for (path, item) in activation.items() {
            let place = prefix.join(path);
            match activation::link_target(path, item, Path::new(PACKAGES)) {
                None => self.stage.folder(&place, 0o755)?,
                Some(target) => self.stage.link(&place, &target)?,
            }
        }
        Ok(())
    }

    fn show_devices(&mut self, spec: &SandboxSpec, purpose: Purpose) -> io::Result<()> {
        let terminal = (purpose == Purpose::Shell).then_some("tty");
        for name in DEVICES.into_iter().chain(terminal) {
            let path = Path::new("/dev").join(name);
            if spec.view.randomness == Randomness::Fixed && DICE.contains(&name) {
                self.stage.file(&path, answers::fixed_bytes(0, FIXED_DICE))?;
                continue;
            }
            self.stage.file(&path, Vec::new())?;
            self.stage.bind(&path, &path, Access::Device)?;
        }
        for (path, target) in STREAMS {
            self.stage.link(Path::new(path), Path::new(target))?;
        }
        Ok(())
    }

    fn open_folders(&mut self, spec: &SandboxSpec, prefix: &Path) -> io::Result<()> {
        self.stage.open_up(Path::new(TEMPORARY))?;
        self.stage.open_up(Path::new("/dev/shm"))?;
        let folders = &spec.folders;
        self.stage
            .bind(&folders.sources, &spec.view.places.sources, Access::Writable)?;
        let output = prefix.join(places::package_path(&spec.package));
        let access = match folders.output_access {
            OutputAccess::Writable => Access::Writable,
            OutputAccess::ReadOnly => Access::ReadOnly,
        };
        self.stage.bind(&folders.output, &output, access)
    }

    fn mask_proc(&mut self, spec: &SandboxSpec) -> io::Result<()> {
        for (name, text) in facts::proc_files(spec.cores, &spec.view) {
            let mask = self.stage.mask_file(Path::new(name), text.into_bytes())?;
            self.masks.push((mask, Path::new("/proc").join(name)));
        }
        let kernel = Path::new("kernel");
        let folder = self.stage.mask_folder(kernel)?;
        self.masks.push((folder, PathBuf::from("/proc/sys/kernel")));
        for (name, text) in facts::kernel_files(&spec.view) {
            self.stage.mask_file(&kernel.join(name), text.into_bytes())?;
        }
        Ok(())
    }
}

/// What of this machine is shown, so that the stage must not hide it.
fn needed(spec: &SandboxSpec) -> Vec<&Path> {
    let folders = [&spec.folders.sources, &spec.folders.recipe, &spec.folders.output];
    let closure = spec.closure.iter().map(|(_, folder)| folder);
    closure.chain(folders).map(PathBuf::as_path).collect()
}

/// Every folder of the root but those of the activation, sorted so that each comes after the one it is in.
fn folders(
    spec: &SandboxSpec,
    prefix: &Path,
    activation: &Activation,
    extra: bool,
) -> BTreeMap<PathBuf, u32> {
    const PLAIN: u32 = 0o755;
    const SHARED: u32 = 0o1777;
    let packages = prefix.join(PACKAGES);
    let closure = spec.closure.iter().map(|(id, _)| id);
    let ids = closure
        .chain([&spec.package])
        .map(|id| packages.join(id.to_string()));
    let fixed = ["/dev", "/etc", "/proc"].map(PathBuf::from);
    let places = &spec.view.places;
    let own = [&places.sources, &places.recipe].map(PathBuf::clone);
    let extra = (!extra).then(|| PathBuf::from("/pkg/extra"));
    let parents = WELL_KNOWN
        .iter()
        .filter(|(_, program)| activation.provides(Path::new(program)))
        .filter_map(|(place, _)| Path::new(place).parent())
        .map(Path::to_owned);
    let mut folders = BTreeMap::new();
    for path in fixed
        .into_iter()
        .chain(own)
        .chain(extra)
        .chain(parents)
        .chain(ids)
    {
        for above in path.ancestors().filter(|above| above.parent().is_some()) {
            if folders.contains_key(above) {
                break;
            }
            folders.insert(above.to_owned(), PLAIN);
        }
    }
    let shared = [Path::new(TEMPORARY), Path::new("/dev/shm"), &places.temporary];
    folders.extend(shared.map(|path| (path.to_owned(), SHARED)));
    folders
}

fn check_prefix(prefix: &Path) -> Result<(), SandboxError> {
    let taken = RESERVED
        .into_iter()
        .find(|reserved| prefix.starts_with(reserved) || prefix.join("bin") == Path::new(reserved));
    match taken {
        Some(reserved) => Err(SandboxError::Prefix(prefix.display().to_string(), reserved)),
        None => Ok(()),
    }
}

fn setup(what: &str, source: io::Error) -> SandboxError {
    let what = what.to_owned();
    SandboxError::Setup { what, source }
}
