//! Owns the tests of what ends a build, and of what a good end is.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use super::super::*;
use super::fixture::Case;

#[test]
fn what_a_build_writes_is_ours_when_it_is_done() {
    let case = Case::new();
    case.says("mkdir $PKG_PATH/a; echo 1 > $PKG_PATH/a/b; ln -s nowhere $PKG_PATH/c");
    assert_eq!(fs::read_to_string(case.output("a/b")).unwrap(), "1\n");
    for file in ["", "a", "a/b", "c"] {
        let owner = fs::symlink_metadata(case.output(file)).unwrap().uid();
        assert_eq!(owner, nix::unistd::geteuid().as_raw(), "{file}");
    }
}

#[test]
fn a_failure_carries_its_exit_code() {
    let failed = |code| Ending::Failed { step: 0, code };
    assert_eq!(Case::new().ends("exit 7"), failed(7));
    assert_eq!(Case::new().ends("false; true"), failed(1));
    assert_eq!(Case::new().ends("kill -9 $$"), failed(137));
}

#[test]
fn commands_run_one_after_the_other_until_one_fails() {
    let mut case = Case::new();
    let commands = [
        &["A=$PKG_PATH", "sh", "-c", "echo $A > $0", "$PKG_PATH/1"][..],
        &["$STORE_PREFIX/bin/touch", "$PKG_PATH/2"],
        &["false"],
        &["touch", "$PKG_PATH/4"],
    ];
    let owned = |words: &&[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    case.spec.task = Task::Commands(commands.iter().map(owned).collect());
    let (log, outcome) = case.run_task();
    let Err(SandboxError::Ended(ending)) = outcome else {
        panic!("{outcome:?}\n{log}");
    };
    assert_eq!(ending, Ending::Failed { step: 2, code: 1 });
    let text = fs::read_to_string(case.output("1")).unwrap();
    assert!(text.starts_with("/opt/store/packages/case--"), "{text}");
    assert!(case.output("2").exists());
    assert!(!case.output("4").exists());
}

#[test]
fn too_long_is_an_end() {
    let mut case = Case::new();
    case.spec.limits.time = Duration::from_millis(200);
    assert_eq!(
        case.ends("sleep 1000"),
        Ending::TimeLimit(Duration::from_millis(200))
    );
}

#[test]
fn a_cancelled_build_ends() {
    let case = Case::new();
    let cancel = case.cancel.clone();
    let other = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        cancel.cancel();
    });
    assert_eq!(case.ends("sleep 1000"), Ending::Cancelled);
    other.join().unwrap();
}

#[test]
fn too_much_memory_is_an_end() {
    let mut case = Case::new();
    case.spec.limits.memory = 64 << 20;
    let ending = case.ends("x=x; while true; do x=$x$x; done");
    assert!(matches!(ending, Ending::MemoryLimit { .. }), "{ending:?}");
}

#[test]
fn too_many_processes_are_an_end() {
    let mut case = Case::new();
    case.spec.limits.processes = 50;
    let ending = case.ends("while true; do sleep 1000 & done");
    assert!(matches!(ending, Ending::ProcessLimit { .. }), "{ending:?}");
}

#[test]
fn too_much_output_is_an_end() {
    let mut case = Case::new();
    case.spec.limits.output_bytes = 8 << 20;
    let one_file = "dd if=/dev/zero of=$PKG_PATH/x bs=1M count=100; sleep 1000";
    assert!(matches!(
        case.ends(one_file),
        Ending::OutputLimit { used: None, .. }
    ));
    let many = "for i in $(seq 100); do dd if=/dev/zero of=$PKG_PATH/$i bs=1M count=1; done; sleep 1000";
    assert!(matches!(
        case.ends(many),
        Ending::OutputLimit { used: Some(_), .. }
    ));
}

#[test]
fn a_full_disk_is_an_end() {
    let mut case = Case::new();
    case.spec.limits.disk_reserve = 1 << 60;
    assert!(matches!(case.ends("sleep 1000"), Ending::DiskFull { .. }));
}

#[test]
fn too_long_a_log_is_cut_and_an_end() {
    let mut case = Case::new();
    case.spec.limits.log_bytes = 100_000;
    let (log, outcome) = case.run("yes");
    assert_eq!(log.len(), 100_000);
    let ended = matches!(
        outcome,
        Err(SandboxError::Ended(Ending::LogLimit { limit: 100_000 }))
    );
    assert!(ended, "{outcome:?}");
}

#[test]
fn what_is_left_running_is_named() {
    let ending = Case::new().ends("sleep 1000 & true");
    assert_eq!(ending, Ending::BackgroundProcess(vec!["sleep".to_owned()]));
}

#[test]
fn what_ends_soon_after_the_script_is_not_left_running() {
    let started = Instant::now();
    Case::new().says("sleep 0.1 & true");
    assert!(started.elapsed() >= Duration::from_millis(100));
}

#[test]
fn a_missing_program_is_named() {
    let mut case = Case::new();
    case.spec.task = Task::Commands(vec![vec!["no-such-program".to_owned()]]);
    let (log, outcome) = case.run_task();
    let Err(SandboxError::Start(words)) = outcome else {
        panic!("{outcome:?}\n{log}");
    };
    assert!(words.contains("no-such-program"), "{words}");
}

#[test]
fn a_script_needs_a_shell_in_the_closure() {
    let mut case = Case::new();
    case.spec.closure.clear();
    assert!(matches!(case.run("true").1, Err(SandboxError::NoShell(_))));
}
