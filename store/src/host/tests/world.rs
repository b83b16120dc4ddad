//! Owns what the tests of a host's switch share: a host laid out by hand, and a system that fails or dies on demand.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs;

use schema::about::About;
use schema::manifest::{FrameRange, Health, SelectedPackage};
use schema::name::RoleName;
use schema::platform::Platform;
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;

use crate::facts::RESOLVED_RECIPE;
use crate::fixture::recipe;
use crate::host::activate::{Activated, activate};
use crate::host::heal::{Healed, heal};
use crate::host::layout::Change;
use crate::host::system::{Obstacle, System, SystemError, Unhealthy};
use crate::host::*;

/// A host whose packages are laid out by hand, with the manifest that selects them.
pub(super) struct World {
    pub(super) host: Host,
    pub(super) manifest: ActiveManifest,
    _dir: TempDir,
}

/// A package with these files, whose resolved recipe has these fields beside those that all need.
pub(super) struct Sketch<'a> {
    pub(super) name: &'a str,
    pub(super) files: &'a [(&'a str, &'a str)],
    pub(super) fields: Value,
}

/// The generation of that number.
pub(super) fn nth(number: u64) -> GenerationNumber {
    number.try_into().unwrap()
}

pub(super) fn package<'a>(name: &'a str, files: &'a [(&'a str, &'a str)]) -> Sketch<'a> {
    let fields = json!({});
    Sketch { name, files, fields }
}

impl World {
    pub(super) fn new(packages: &[Sketch<'_>]) -> Self {
        let dir = TempDir::new().unwrap();
        let host = Host::create(&dir.path().join("opt/store")).unwrap();
        let manifest = ActiveManifest {
            format: 1,
            name: "test".to_owned(),
            version: "1".to_owned(),
            prefix: "/opt/store".to_owned(),
            platform: Platform::here().unwrap().to_string(),
            source_date_epoch: 1,
            packages: Vec::new(),
            configuration: None,
            health: None,
            ip_detect: None,
            secrets: Vec::new(),
            installer: None,
        };
        let mut world = Self {
            host,
            manifest,
            _dir: dir,
        };
        world.select(packages);
        world
    }

    /// Replaces what the manifest selects.
    pub(super) fn select(&mut self, packages: &[Sketch<'_>]) {
        let mut selected: Vec<_> = packages.iter().map(|sketch| self.lay(sketch)).collect();
        selected.sort_by(|a, b| a.id.cmp(&b.id));
        self.manifest.packages = selected;
    }

    pub(super) fn lay(&self, sketch: &Sketch<'_>) -> SelectedPackage {
        // Other content comes from another recipe.
        let content = format!("{:?}", sketch.files);
        let mut fields =
            json!({ "platform": self.manifest.platform, "source_date_epoch": 1, "bootstrap": [[content]] });
        let own = sketch.fields.as_object().unwrap().clone();
        fields.as_object_mut().unwrap().extend(own);
        let (id, bytes) = recipe(sketch.name, &fields);
        let folder = self.host.package(&id);
        if !folder.exists() {
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join(RESOLVED_RECIPE), bytes).unwrap();
            for (path, content) in sketch.files {
                let path = folder.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
        }
        let nowhere = FrameRange {
            offset: 0,
            length: 1,
            blake3: Digest::of(b""),
        };
        SelectedPackage {
            tree: Digest::of(id.to_string().as_bytes()),
            id,
            version: "1".to_owned(),
            size: 1,
            requires: Vec::new(),
            roles: Vec::new(),
            selected: true,
            about: About::default(),
            listing: nowhere,
            archive: nowhere,
        }
    }

    pub(super) fn manifest(&self) -> Manifest {
        Manifest::parse(self.manifest.to_bytes().unwrap()).unwrap()
    }

    pub(super) fn activate(&self, system: &dyn System) -> Result<Activated, HostError> {
        let lock = self.host.lock()?;
        let plan = plan::of_manifest(&self.host, self.manifest(), &BTreeSet::<RoleName>::new(), system)?;
        activate(&self.host, &lock, &plan, system)
    }

    pub(super) fn rollback(&self, system: &dyn System) -> Result<Activated, HostError> {
        let lock = self.host.lock()?;
        let plan = rollback::plan(&self.host, None, system)?;
        activate(&self.host, &lock, &plan, system)
    }

    pub(super) fn heal(&self, system: &dyn System) -> Result<Healed, HostError> {
        heal(&self.host, &self.host.lock()?, system)
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        match self.activate(&Recorder::default()) {
            Err(HostError::Findings(findings)) => findings,
            other => panic!("{other:?}"),
        }
    }
}

/// A system that remembers what was asked of it, and fails or dies where it is told to.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) did: RefCell<Vec<String>>,
    pub(super) fails_at: Option<&'static str>,
    pub(super) dies_at: Option<&'static str>,
    pub(super) sick: Cell<bool>,
    pub(super) obstacles: Vec<Obstacle>,
}

impl Recorder {
    pub(super) fn step(&self, name: &'static str, change: &Change) -> Result<(), SystemError> {
        if self.dies_at == Some(name) {
            std::panic::panic_any("died");
        }
        let spelled = |number: Option<GenerationNumber>| number.map_or(0, u64::from);
        let from = spelled(change.from.as_ref().and_then(|from| from.number));
        let to = spelled(change.to.number);
        let current = fs::read_link(change.root.join(CURRENT)).unwrap_or_default();
        let at = current.file_name().map_or("0", |name| name.to_str().unwrap());
        let said = format!("{name} {from}>{to} at {at}");
        self.did.borrow_mut().push(said);
        match self.fails_at == Some(name) {
            true => Err(SystemError::Failed {
                action: name.to_owned(),
                reason: "the test says so".to_owned(),
            }),
            false => Ok(()),
        }
    }

    pub(super) fn did(&self) -> Vec<String> {
        self.did.take()
    }
}

impl System for Recorder {
    fn check(&self, _: &Change) -> Result<Vec<Obstacle>, SystemError> {
        Ok(self.obstacles.clone())
    }

    fn prepare(&self, change: &Change) -> Result<(), SystemError> {
        self.step("prepare", change)
    }

    fn stop(&self, change: &Change) -> Result<(), SystemError> {
        self.step("stop", change)
    }

    fn start(&self, change: &Change) -> Result<(), SystemError> {
        self.step("start", change)
    }

    fn healthy(&self, _: &Health, _: &Change) -> Result<(), Unhealthy> {
        match self.sick.get() {
            true => Err(Unhealthy {
                reason: "a.service is not active".to_owned(),
                waited: Duration::from_secs(1),
            }),
            false => Ok(()),
        }
    }
}

/// Runs `command` with a system that is killed at `step`.
pub(super) fn killed_at(step: &'static str, command: impl FnOnce(&Recorder)) {
    let system = Recorder {
        dies_at: Some(step),
        ..Recorder::default()
    };
    let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| command(&system)));
    assert!(died.is_err(), "nothing came to {step}");
}
