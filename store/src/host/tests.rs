//! Owns the tests of a host's switch: what is done in which order, what comes of a failure at each step, and findings.

mod world;

use std::fs;
use std::path::{Path, PathBuf};

use schema::manifest::{Health, SelectedPackage};
use serde_json::json;
use tempfile::TempDir;

use super::activate::Outcome;
use super::heal::Healed;
use super::system::Obstacle;
use super::*;
use crate::facts::RESOLVED_RECIPE;
use world::{Recorder, World, killed_at, nth, package};

fn two_generations() -> World {
    let mut world = World::new(&[package("a", &[("bin/a", "one")])]);
    world.activate(&Recorder::default()).unwrap();
    world.select(&[package("a", &[("bin/a", "two")])]);
    world.manifest.health = Some(Health {
        units: Vec::new(),
        command: None,
        deadline_seconds: 1,
    });
    world
}

fn read(world: &World, path: &str) -> String {
    fs::read_to_string(world.host.root().join(path)).unwrap()
}

#[test]
fn units_are_stopped_before_the_swap_and_started_after_it() {
    let world = two_generations();
    let system = Recorder::default();
    assert_eq!(world.activate(&system).unwrap().outcome, Outcome::Switched);
    assert_eq!(
        system.did(),
        ["prepare 1>2 at 1", "stop 1>2 at 1", "start 1>2 at 2"]
    );
    assert_eq!(world.activate(&system).unwrap().outcome, Outcome::AlreadyActive);
    assert_eq!(system.did(), [] as [&str; 0]);
    world.rollback(&system).unwrap();
    assert_eq!(
        system.did(),
        ["prepare 2>1 at 2", "stop 2>1 at 2", "start 2>1 at 1"]
    );
}

#[test]
fn a_failure_at_any_step_leaves_the_old_generation_active() {
    for (step, did) in [
        ("prepare", &["prepare 1>2 at 1"][..]),
        ("stop", &["prepare 1>2 at 1", "stop 1>2 at 1", "stop 2>1 at 1"]),
    ] {
        let world = two_generations();
        let system = Recorder {
            fails_at: Some(step),
            ..Recorder::default()
        };
        assert!(
            matches!(world.activate(&system), Err(HostError::Switch(_))),
            "{step}"
        );
        assert_eq!(system.did(), did);
        assert_eq!(world.host.current().unwrap(), Some(nth(1)), "{step}");
        world.heal(&Recorder::default()).unwrap();
        assert_eq!(world.host.pending().unwrap(), None);
        assert_eq!(read(&world, "bin/a"), "one");
    }
}

#[test]
fn a_host_that_does_not_become_healthy_is_where_it_was_and_says_why() {
    let world = two_generations();
    let system = Recorder::default();
    system.sick.set(true);
    let error = world.activate(&system).unwrap_err().to_string();
    assert!(
        error.contains("rolled back to generation 1") && error.contains("a.service"),
        "{error}"
    );
    assert_eq!(system.did()[3..], ["stop 2>1 at 2", "start 2>1 at 1"]);
    assert_eq!(
        (world.host.current().unwrap(), world.host.pending().unwrap()),
        (Some(nth(1)), None)
    );
    system.sick.set(false);
    world.activate(&system).unwrap();
    assert_eq!(world.host.current().unwrap(), Some(nth(2)));
}

#[test]
fn a_first_activation_that_is_not_healthy_leaves_nothing_active() {
    let mut world = World::new(&[package("a", &[("bin/a", "one")])]);
    world.manifest.health = two_generations().manifest.health;
    let system = Recorder::default();
    system.sick.set(true);
    let error = world.activate(&system).unwrap_err().to_string();
    assert!(error.contains("nothing is active again"), "{error}");
    assert_eq!(
        (world.host.current().unwrap(), world.host.pending().unwrap()),
        (None, None)
    );
    assert!(
        verify::host(&world.host, &system::Detached, &crate::verify::Run::new(&()))
            .unwrap()
            .generation
            .is_none()
    );
}

#[test]
fn what_a_kill_interrupts_the_same_command_finishes() {
    for (step, here) in [("prepare", 1), ("stop", 1), ("start", 2)] {
        let world = two_generations();
        killed_at(step, |system| drop(world.activate(system)));
        assert_eq!(world.host.current().unwrap(), Some(nth(here)), "{step}");
        world.activate(&Recorder::default()).unwrap();
        assert_eq!(
            (world.host.current().unwrap(), world.host.pending().unwrap()),
            (Some(nth(2)), None)
        );
        assert_eq!(world.host.generations().unwrap(), [nth(1), nth(2)], "{step}");
        killed_at(step, |system| drop(world.rollback(system)));
        world.rollback(&Recorder::default()).unwrap();
        assert_eq!(
            (world.host.current().unwrap(), world.host.pending().unwrap()),
            (Some(nth(1)), None)
        );
    }
}

#[test]
fn what_a_power_cut_interrupts_is_finished_or_undone_at_boot() {
    let world = two_generations();
    assert_eq!(world.heal(&Recorder::default()).unwrap(), Healed::NothingToDo);
    killed_at("stop", |system| drop(world.activate(system)));
    let system = Recorder::default();
    let undone = Healed::Undone {
        generation: Some(nth(1)),
    };
    assert_eq!(world.heal(&system).unwrap(), undone);
    assert_eq!(system.did(), ["start 2>1 at 1"]);
    killed_at("start", |system| drop(world.activate(system)));
    assert_eq!(
        world.heal(&system).unwrap(),
        Healed::Finished { generation: nth(2) }
    );
    assert_eq!(system.did(), ["prepare 1>2 at 2", "start 1>2 at 2"]);
    world.rollback(&Recorder::default()).unwrap();
    killed_at("start", |system| drop(world.activate(system)));
    system.sick.set(true);
    assert!(
        world
            .heal(&system)
            .unwrap_err()
            .to_string()
            .contains("rolled back to generation 1")
    );
    assert_eq!(
        (world.host.current().unwrap(), world.host.pending().unwrap()),
        (Some(nth(1)), None)
    );
}

#[test]
fn a_generation_that_a_power_cut_damaged_is_left_at_boot() {
    let world = two_generations();
    killed_at("start", |system| drop(world.activate(system)));
    fs::remove_file(world.host.generation_folder(nth(2)).join("generation.json")).unwrap();
    let said = world.heal(&Recorder::default()).unwrap_err().to_string();
    assert!(said.contains("rolled back to generation 1"), "{said}");
    assert_eq!(
        (world.host.current().unwrap(), world.host.pending().unwrap()),
        (Some(nth(1)), None)
    );
    assert_eq!(read(&world, "bin/a"), "one");
}

#[test]
fn another_set_leaves_an_interrupted_one_behind() {
    let mut world = two_generations();
    killed_at("start", |system| drop(world.activate(system)));
    world.select(&[package("b", &[("bin/b", "three")])]);
    let system = Recorder::default();
    world.activate(&system).unwrap();
    assert_eq!(
        system.did(),
        [
            "start 1>2 at 2",
            "prepare 2>3 at 2",
            "stop 2>3 at 2",
            "start 2>3 at 3"
        ]
    );
    assert_eq!(
        (world.host.current().unwrap(), world.host.pending().unwrap()),
        (Some(nth(3)), None)
    );
}

#[test]
fn going_back_undoes_the_last_activation_however_often_it_is_run() {
    let mut world = two_generations();
    let quiet = Recorder::default();
    world.activate(&quiet).unwrap();
    world.select(&[package("c", &[])]);
    world.activate(&quiet).unwrap();
    for _ in 0..2 {
        world.rollback(&quiet).unwrap();
        assert_eq!(world.host.current().unwrap(), Some(nth(2)));
    }
    let lock = world.host.lock().unwrap();
    let first = rollback::plan(&world.host, Some(nth(1)), &quiet).unwrap();
    super::activate::activate(&world.host, &lock, &first, &quiet).unwrap();
    drop(lock);
    world.rollback(&quiet).unwrap();
    assert_eq!(world.host.current().unwrap(), Some(nth(1)), "never forward");
}

#[test]
fn a_number_that_was_active_is_never_used_again() {
    let mut world = two_generations();
    world.activate(&Recorder::default()).unwrap();
    world.rollback(&Recorder::default()).unwrap();
    fs::remove_dir_all(world.host.generation_folder(nth(2))).unwrap();
    world.select(&[package("c", &[])]);
    assert_eq!(world.activate(&Recorder::default()).unwrap().generation, nth(3));
    // Where somebody used up the numbers, nothing is written over what has the last one.
    let greatest = nth((1 << 53) - 1);
    fs::create_dir(world.host.generation_folder(greatest)).unwrap();
    world.select(&[package("d", &[])]);
    let refused = world.activate(&Recorder::default());
    assert!(matches!(refused, Err(HostError::NoNumberLeft(last)) if last == greatest));
    assert_eq!(world.host.current().unwrap(), Some(nth(3)));
}

#[test]
fn what_killed_commands_left_is_swept_and_never_a_difference() {
    let world = two_generations();
    let left = [
        "generations/.new-9",
        "generations/.partial-1",
        "packages/.partial-x",
        "channel/.partial-look.1.0",
    ];
    for path in left {
        fs::create_dir_all(world.host.root().join(path).join("deep")).unwrap();
    }
    fs::write(world.host.root().join(".partial-current"), "").unwrap();
    let looking = crate::work::WorkArea::partial(&world.host.root().join("channel"), "look").unwrap();
    let differences = verify::host(&world.host, &system::Detached, &crate::verify::Run::new(&()))
        .unwrap()
        .differences;
    assert!(
        !differences
            .iter()
            .any(|difference| difference.path.contains("/.")),
        "{differences:?}"
    );
    drop(world.host.lock().unwrap());
    for path in left.iter().copied().chain([".partial-current"]) {
        assert!(
            fs::symlink_metadata(world.host.root().join(path)).is_err(),
            "{path}"
        );
    }
    assert!(looking.path().exists(), "its process lives");
}

/// Collects all but one generation as soon as packages are looked at.
struct Collecting<'a>(&'a Host);

impl crate::verify::VerifyObserver for Collecting<'_> {
    fn begin(&self, _: usize, _: u64) {
        let lock = self.0.lock().unwrap();
        collect::collect(self.0, &lock, 1, crate::gc::Collecting::Remove).unwrap();
    }
    fn read(&self, _: u64) {}
    fn verified(&self, _: &PackageId, _: &[crate::verify::Difference]) {}
}

#[test]
fn what_is_collected_while_a_host_is_verified_is_no_difference() {
    let world = two_generations();
    world.activate(&Recorder::default()).unwrap();
    let old = world.host.generation(nth(1)).unwrap().packages[0].id.clone();
    let observer = Collecting(&world.host);
    let run = crate::verify::Run::new(&observer);
    let found = verify::host(&world.host, &system::Detached, &run).unwrap();
    assert!(!world.host.package(&old).exists());
    let about = |it: &&crate::verify::Difference| {
        it.path.starts_with("generations/1") || it.package.as_ref().is_some_and(|package| package.id == old)
    };
    assert_eq!(found.differences.iter().find(about), None);
}

#[test]
fn every_finding_is_told_at_once() {
    let mut one = package(
        "one",
        &[
            ("bin/x", ""),
            ("a.target.wants/x.service", ""),
            ("a.target.wants/y", ""),
        ],
    );
    one.fields = json!({
        "platform": "aarch64-linux", "prefix": "/opt/other", "username": "web", "group": "web",
        "environment": {"PATH": "/bin", "LD_LIBRARY_PATH": "/lib", "SAME": "1"},
        "sysctl": {"s": {"k": "1"}}, "requires": [PackageId::new("gone".parse().unwrap(), Digest::of(b""))],
    });
    let mut two = package(
        "two",
        &[
            ("a.target.wants/store-heal.service", ""),
            ("b.target.wants/x.service", "other"),
        ],
    );
    two.fields = json!({
        "username": "web", "group": "www", "environment": {"SAME": "1"}, "sysctl": {"s": {"k": "2"}},
    });
    let mut world = World::new(&[one, two, package("three", &[]), package("four", &[])]);
    let folder = |name: &str| {
        let named = |package: &&SelectedPackage| package.id.name().as_str() == name;
        world
            .host
            .package(&world.manifest.packages.iter().find(named).unwrap().id)
    };
    fs::remove_dir_all(folder("three")).unwrap();
    fs::write(folder("four").join(RESOLVED_RECIPE), "{}").unwrap();
    fs::create_dir(world.host.root().join("bin")).unwrap();
    world.manifest.configuration = Some(*world.manifest.packages[0].id.digest());
    let found = world.findings();
    let has = |is: fn(&Finding) -> bool| {
        assert_eq!(
            found.iter().filter(|finding| is(finding)).count(),
            1,
            "{found:#?}"
        )
    };
    has(|finding| matches!(finding, Finding::PackageAbsent { .. }));
    has(|finding| matches!(finding, Finding::PackageUnusable { .. }));
    has(|finding| matches!(finding, Finding::RequiredAbsent { .. }));
    has(|finding| matches!(finding, Finding::OtherPlatform { .. }));
    has(|finding| matches!(finding, Finding::OtherPrefix { .. }));
    has(|finding| matches!(finding, Finding::Variable { variable, .. } if variable == "PATH"));
    has(|finding| matches!(finding, Finding::Variable { variable, .. } if variable == "LD_LIBRARY_PATH"));
    has(|finding| matches!(finding, Finding::VariableTwice { .. }));
    has(|finding| matches!(finding, Finding::Disagreement { text, .. } if text == "k"));
    has(|finding| matches!(finding, Finding::Disagreement { text, .. } if text == "web"));
    has(|finding| matches!(finding, Finding::UnitTwice { .. }));
    has(|finding| matches!(finding, Finding::Unit { unit, .. } if unit == "y"));
    has(|finding| matches!(finding, Finding::Unit { unit, .. } if unit == "store-heal.service"));
    has(|finding| matches!(finding, Finding::InTheWay { path, .. } if path.ends_with("bin")));
    assert!(world.host.generations().unwrap().is_empty() && world.host.current().unwrap().is_none());
}

#[test]
fn what_the_system_finds_is_told_before_anything_changes() {
    let world = two_generations();
    let system = Recorder {
        obstacles: vec![Obstacle::InTheWay {
            path: PathBuf::from("/etc/systemd/system/a.service"),
        }],
        ..Recorder::default()
    };
    assert!(matches!(world.activate(&system), Err(HostError::Findings(_))));
    assert_eq!(system.did(), [] as [&str; 0]);
    assert_eq!(world.host.generations().unwrap(), [nth(1)]);
}

#[test]
fn folders_that_are_something_else_are_refused() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("photo.jpg"), "").unwrap();
    assert!(matches!(Host::create(&root), Err(RootError::Foreign { .. })));
    assert!(matches!(Host::open(&root), Err(RootError::NoHost(_))));
    assert!(matches!(Host::create(Path::new("/")), Err(RootError::Slash)));
    std::os::unix::fs::symlink(&root, dir.path().join("link")).unwrap();
    assert!(matches!(
        Host::create(&dir.path().join("link/")),
        Err(RootError::Symlink { .. })
    ));
    fs::remove_file(root.join("photo.jpg")).unwrap();
    fs::write(root.join(".partial-manifest.json"), "").unwrap();
    let host = Host::create(&root).unwrap();
    let lock = host.lock().unwrap();
    assert!(matches!(host.lock(), Err(HostError::Busy(_))));
    drop(lock);
    assert!(host.lock().is_ok());
}
