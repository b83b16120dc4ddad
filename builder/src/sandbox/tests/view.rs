//! Owns the tests of what a build sees.

use std::fs;
use std::time::Duration;

use super::super::*;
use super::fixture::Case;

#[test]
fn a_build_has_the_same_name_kernel_and_processors_everywhere() {
    let said = Case::new()
        .says("id -u; id -g; hostname; uname -srm; nproc; grep -c processor /proc/cpuinfo; pwd; umask");
    assert_eq!(
        said,
        "1000\n1000\nstore\nLinux 6.6.0 x86_64\n3\n3\n/pkg/src\n0022\n"
    );
}

/// What `script` says where everything is as usual, and where `change` has been made.
fn both(script: &str, change: impl FnOnce(&mut SandboxSpec)) -> [String; 2] {
    let mut case = Case::new();
    fs::write(case.spec.folders.sources.join("a"), "").unwrap();
    fs::write(case.spec.folders.sources.join("b"), "").unwrap();
    let usual = case.says(script);
    change(&mut case.spec);
    [usual, case.says(script)]
}

#[test]
fn the_time_of_day_is_what_the_view_says() {
    let year = Duration::from_secs(366 * 24 * 60 * 60);
    let script = "date +%Y; date +%s";
    let [usual, later] = both(script, |spec| spec.view.clock = Clock::Later(year));
    let numbers = |text: &str| -> Vec<u64> { text.lines().map(|line| line.parse().unwrap()).collect() };
    let (usual, later) = (numbers(&usual), numbers(&later));
    assert!(later[0] > usual[0], "{later:?}");
    assert!(later[1] >= usual[1] + year.as_secs(), "{later:?}");

    let [_, held] = both("date +%s; sleep 1.1; date +%s", |spec| {
        let at = Duration::from_secs(2_000_000_000);
        let step = Duration::from_secs(60 * 60);
        spec.view.clock = Clock::Held { at, step };
    });
    assert_eq!(held, "2000000000\n2000000000\n");
}

#[test]
fn random_numbers_can_be_the_same_for_all() {
    let script = "head -c 8 /dev/urandom | od -x; mktemp -u; mktemp -u";
    let fix = |spec: &mut SandboxSpec| spec.view.randomness = Randomness::Fixed;
    let [usual, fixed] = both(script, fix);
    let [other, again] = both(script, fix);
    assert_ne!(usual, other);
    assert_eq!(fixed, again);
}

#[test]
fn so_can_those_that_the_kernel_gives_each_process() {
    // The shell opens its own memory, and reads where the bytes are from its own auxiliary vector.
    let script = "exec 3</proc/self/mem 4</proc/self/auxv
        at=$(od -An -v -tu8 -w16 <&4 | while read key value; do if [ $key = 25 ]; then echo $value; fi; done)
        dd bs=1 skip=$at count=16 <&3 2>/dev/null | od -An -tx8";
    let fix = |spec: &mut SandboxSpec| spec.view.randomness = Randomness::Fixed;
    let [usual, fixed] = both(script, fix);
    let [other, again] = both(script, fix);
    assert_eq!(usual.split_whitespace().count(), 2, "{usual}");
    assert_ne!(usual, other);
    assert_eq!(fixed, again);
}

#[test]
fn folders_can_be_listed_the_other_way_round() {
    let [usual, reversed] = both("find . -type f", |spec| {
        spec.view.entry_order = EntryOrder::Reversed;
    });
    let turned: Vec<&str> = reversed.lines().rev().collect();
    assert_eq!(usual.lines().collect::<Vec<_>>(), turned);
    assert_eq!(turned.len(), 2);
}

#[test]
fn a_build_can_be_somebody_somewhere_else() {
    let script = "id -u; id -g; id -un; id -gn; hostname; uname -rv; pwd; umask; echo $HOME $TZ $LC_ALL $LANG $X; \
                  echo $TMPDIR; touch $TMPDIR/x; cd /pkg/src; pwd -P; cat $0 | head -c 8; ls -d /pkg/build/build";
    let [_, varied] = both(script, |spec| {
        spec.view = View {
            user: User {
                id: 4000,
                name: "ada".to_owned(),
                group: "crew".to_owned(),
            },
            host: Host {
                name: "elsewhere".to_owned(),
                domain: "example".to_owned(),
            },
            kernel: Kernel {
                release: "5.1".to_owned(),
                version: "#2".to_owned(),
            },
            umask: 0o077,
            home: "/nowhere".to_owned(),
            time_zone: "X-9".to_owned(),
            locale: Locale {
                all: "tr".to_owned(),
                language: Some("tr".to_owned()),
            },
            extra_variables: vec![("X".to_owned(), "y".to_owned())],
            places: Places {
                sources: "/pkg/other/sources".into(),
                recipe: "/pkg/other/recipe".into(),
                temporary: "/tmp/other".into(),
            },
            ..View::default()
        };
    });
    assert_eq!(
        varied,
        "4000\n4000\nada\ncrew\nelsewhere\n5.1 #2\n/pkg/other/sources\n0077\n/nowhere X-9 tr tr y\n/tmp/other\n\
         /pkg/other/sources\nid -u; i/pkg/build/build\n"
    );
}

#[test]
fn programs_lie_where_the_view_says() {
    let script = "for i in 1 2 3 4; do grep stack /proc/self/maps; done | cut -d ' ' -f 1 | sort -u | wc -l";
    let [fixed, randomised] = both(script, |spec| spec.view.addresses = Addresses::Randomised);
    assert_eq!(fixed, "1\n");
    assert_ne!(randomised, "1\n");
}

#[test]
fn a_build_can_print_to_a_terminal() {
    let script = "if test -t 1; then echo $TERM; fi; echo end";
    let [usual, terminal] = both(script, |spec| spec.view.terminal = Terminal::Colours);
    assert_eq!((&*usual, &*terminal), ("end\n", "xterm-256color\nend\n"));
}

#[test]
fn a_build_can_be_kept_on_one_cpu() {
    let script = "grep Cpus_allowed: /proc/self/status; nproc";
    let [_, one] = both(script, |spec| spec.view.affinity = Affinity::One);
    let mask = one.lines().next().unwrap().split_whitespace().last().unwrap();
    let bits: u32 = mask
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .map(u32::count_ones)
        .sum();
    assert_eq!(bits, 1, "{one}");
    assert!(one.ends_with("\n3\n"), "{one}");
}

#[test]
fn an_uneven_pace_changes_who_is_first() {
    let script = "rm -f log; for i in $(seq 10 39); do (sleep 0.0$i; echo $i >> log) & done; wait; cat log";
    let [_, uneven] = both(script, |spec| spec.view.pace = Pace::Uneven);
    let order: Vec<&str> = uneven.lines().collect();
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted.len(), 30);
    assert_ne!(order, sorted);
}
