//! Tests of the scheduler with an executor that only pretends.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use proptest::prelude::*;
use schema::digest::Digest;
use schema::graph::Selection;
use schema::id::PackageId;

use super::*;
use crate::executor::{Made, Stage};
use crate::observer::Silent;
use crate::plan::Present;
use crate::workshop::Workshop;

/// Pretends to build, and checks at each step that all it needs is done.
#[derive(Default)]
struct Pretence {
    fails: HashSet<String>,
    done: Mutex<HashSet<PackageId>>,
    running: Mutex<usize>,
    most: Mutex<usize>,
    order: Mutex<Vec<String>>,
    raise: Option<&'static Interrupt>,
}

impl Executor for Pretence {
    fn fetch(&self, _: &Step) -> Result<(), StepError> {
        Ok(())
    }

    fn build(&self, step: &Step) -> Result<Done, StepError> {
        let name = step.package.id.name().to_string();
        {
            let done = self.done.lock().unwrap();
            assert!(
                step.package.dependencies().all(|id| done.contains(id)),
                "{name} began too early"
            );
        }
        self.order.lock().unwrap().push(name.clone());
        let running = {
            let mut running = self.running.lock().unwrap();
            *running += 1;
            *running
        };
        let mut most = self.most.lock().unwrap();
        *most = running.max(*most);
        drop(most);
        std::thread::yield_now();
        *self.running.lock().unwrap() -= 1;
        if let Some(interrupt) = self.raise {
            interrupt.raise();
        }
        if self.fails.contains(&name) {
            return Err(StepError::of_machine(Stage::Build, "it was told to"));
        }
        self.done.lock().unwrap().insert(step.package.id.clone());
        Ok(Done::Built(Made {
            tree: Digest::of(b""),
            size: 0,
            took: Duration::ZERO,
        }))
    }
}

/// A tree of recipes in which package `N` requires the packages that `needs[N]` names.
fn workshop(needs: &[Vec<usize>]) -> (tempfile::TempDir, Workshop) {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &Path, text: String| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        &dir.path().join("treeinfo.json"),
        r#"{"name":"t","version":"1","prefix":"/opt/store","platform":"x86_64-linux","source_date_epoch":1,"toolchain":[]}"#
            .to_owned(),
    );
    for (at, needs) in needs.iter().enumerate() {
        let requires: Vec<String> = needs.iter().map(|need| format!("\"p{need}\"")).collect();
        let folder = dir.path().join(format!("p{at}"));
        let text = format!(r#"{{"version":"1","requires":[{}]}}"#, requires.join(","));
        write(&folder.join("buildinfo.json"), text);
        write(&folder.join("build"), String::new());
    }
    let workshop = Workshop::open(dir.path(), None).unwrap();
    (dir, workshop)
}

fn plan(workshop: &Workshop, present: &Present) -> Plan {
    let all = workshop.select(&Selection::All).unwrap();
    let all: Vec<PackageId> = all.iter().map(|package| package.id.clone()).collect();
    Plan::new(workshop.packages(), &all, present)
}

fn run(plan: &Plan, executor: &Pretence, jobs: usize, on_failure: OnFailure, interrupt: &Interrupt) -> Built {
    let jobs = NonZeroUsize::new(jobs).unwrap();
    let run = Run {
        executor,
        job_server: &JobServer::new(jobs).unwrap(),
        jobs,
        on_failure,
        interrupt,
        observer: &Silent,
    };
    run.plan(plan)
}

fn names(ids: impl IntoIterator<Item = PackageId>) -> Vec<String> {
    let mut names: Vec<String> = ids.into_iter().map(|id| id.name().to_string()).collect();
    names.sort();
    names
}

/// Acyclic needs of up to twelve packages: each needs only earlier ones.
fn needs() -> impl Strategy<Value = Vec<Vec<usize>>> {
    prop::collection::vec(prop::collection::btree_set(0usize..12, 0..4), 1..12).prop_map(|raw| {
        let earlier = |(at, set): (usize, std::collections::BTreeSet<usize>)| {
            set.into_iter().filter(|need| *need < at).collect()
        };
        raw.into_iter().enumerate().map(earlier).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn everything_is_built_once_after_what_it_needs_and_never_too_much_at_once(
        needs in needs(), jobs in 1usize..5,
    ) {
        let (_dir, workshop) = workshop(&needs);
        let executor = Pretence::default();
        let built = run(&plan(&workshop, &Present::default()), &executor, jobs, OnFailure::Stop, &Interrupt::new().unwrap());
        prop_assert!(built.failed.is_empty() && built.skipped.is_empty());
        prop_assert_eq!(built.done.len(), needs.len());
        prop_assert!(*executor.most.lock().unwrap() <= jobs);
    }

    #[test]
    fn going_on_after_a_failure_leaves_out_exactly_what_depends_on_it(needs in needs(), fails in 0usize..12) {
        let fails = fails % needs.len();
        let (_dir, workshop) = workshop(&needs);
        let executor = Pretence {
            fails: HashSet::from([format!("p{fails}")]),
            ..Pretence::default()
        };
        let built = run(&plan(&workshop, &Present::default()), &executor, 2, OnFailure::KeepGoing, &Interrupt::new().unwrap());
        let mut above = HashSet::from([fails]);
        for (at, needs) in needs.iter().enumerate() {
            if needs.iter().any(|need| above.contains(need)) {
                above.insert(at);
            }
        }
        above.remove(&fails);
        let mut expected: Vec<String> = above.iter().map(|at| format!("p{at}")).collect();
        expected.sort();
        prop_assert_eq!(names(built.skipped), expected);
        prop_assert_eq!(names(built.failed.into_iter().map(|(id, _)| id)), [format!("p{fails}")]);
    }
}

#[test]
fn the_longest_remaining_path_goes_first() {
    // p0 alone; p1 <- p2 <- p3: with one job, p1 and p2 must not wait for p0, which comes before its equal p3.
    let (_dir, workshop) = workshop(&[vec![], vec![], vec![1], vec![2]]);
    let executor = Pretence::default();
    run(
        &plan(&workshop, &Present::default()),
        &executor,
        1,
        OnFailure::Stop,
        &Interrupt::new().unwrap(),
    );
    assert_eq!(executor.order.into_inner().unwrap(), ["p1", "p2", "p0", "p3"]);
}

#[test]
fn what_is_present_and_what_only_that_needed_is_no_part_of_the_plan() {
    let (_dir, workshop) = workshop(&[vec![], vec![0], vec![1], vec![1]]);
    let id = |at: usize| {
        workshop
            .packages()
            .iter()
            .find(|p| p.id.name().as_str() == format!("p{at}"))
            .unwrap()
            .id
            .clone()
    };
    let present = Present {
        packages: [0, 1, 2].map(id).into(),
        ..Present::default()
    };
    let plan = plan(&workshop, &present);
    assert_eq!(
        names(plan.steps().iter().map(|step| step.package.id.clone())),
        ["p3"]
    );
    assert!(plan.steps()[0].needs.is_empty());
}

#[test]
fn an_interrupt_lets_what_runs_finish_and_starts_nothing_more() {
    let (_dir, workshop) = workshop(&[vec![], vec![0], vec![1]]);
    let interrupt: &'static Interrupt = Box::leak(Box::new(Interrupt::new().unwrap()));
    let executor = Pretence {
        raise: Some(interrupt),
        ..Pretence::default()
    };
    let built = run(
        &plan(&workshop, &Present::default()),
        &executor,
        1,
        OnFailure::Stop,
        interrupt,
    );
    assert!(built.interrupted);
    assert_eq!((built.done.len(), built.skipped.len()), (1, 2));
}
