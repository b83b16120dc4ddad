//! Owns how `bwrap` is called, and the environment of what runs in it.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::os::fd::RawFd;
use std::path::Path;

use super::error::SandboxError;
use super::layout::{Layout, Purpose, SHELL};
use super::spec::{SandboxSpec, Task};
use super::stage::{pointers, text, texts};
use super::view::Terminal;

/// One start of `bwrap`, in the form the kernel takes.
#[derive(Debug)]
pub struct Invocation {
    /// `bwrap` itself.
    pub program: CString,
    /// Point into `_texts`.
    pub arguments: Vec<*const libc::c_char>,
    /// Point into `_texts`.
    pub environment: Vec<*const libc::c_char>,
    /// What the pointers point to. The bytes of a `CString` stay where they are when it is moved.
    _texts: [Vec<CString>; 2],
}

/// The descriptors that `bwrap` is told of.
#[derive(Debug, Clone, Copy)]
pub struct OptionFds {
    /// Where it reads the filter of system calls.
    pub filter: RawFd,
    /// What it keeps open as long as anything in the sandbox lives.
    pub life: RawFd,
}

/// One command as people wrote it.
#[derive(Debug)]
struct Run {
    variables: BTreeMap<String, String>,
    words: Vec<String>,
}

/// The commands of `spec`, in order.
pub fn commands(
    bwrap: &Path,
    spec: &SandboxSpec,
    purpose: Purpose,
    layout: &Layout,
    fds: OptionFds,
) -> Result<Vec<Invocation>, SandboxError> {
    let options = options(spec, purpose, layout, fds);
    let make = |run: Run| {
        command(bwrap, &options, &run).map_err(|source| SandboxError::Setup {
            what: "pass on its arguments".to_owned(),
            source,
        })
    };
    runs(spec, purpose, layout)?.into_iter().map(make).collect()
}

fn command(bwrap: &Path, options: &[String], run: &Run) -> io::Result<Invocation> {
    let name = "bwrap".to_owned();
    let all = std::iter::once(&name).chain(options).chain(&run.words);
    let arguments = texts(all.map(String::as_str))?;
    let variables: Vec<String> = run
        .variables
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let environment = texts(variables.iter().map(String::as_str))?;
    Ok(Invocation {
        program: text(bwrap)?,
        arguments: pointers(&arguments),
        environment: pointers(&environment),
        _texts: [arguments, environment],
    })
}

/// What `bwrap` adds to the root that the warden laid out.
fn options(spec: &SandboxSpec, purpose: Purpose, layout: &Layout, fds: OptionFds) -> Vec<String> {
    let mut options: Vec<String> = [
        "--unshare-user",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup",
        "--cap-drop",
        "ALL",
        "--hostname",
        &spec.view.host.name,
    ]
    .map(str::to_owned)
    .into();
    let mut add = |words: &[&str]| options.extend(words.iter().map(|word| (*word).to_owned()));
    let inside = spec.view.user.id.to_string();
    add(&["--uid", &inside, "--gid", &inside]);
    // A shell needs the terminal; the filter keeps it from typing into it.
    if purpose == Purpose::Build {
        add(&["--new-session"]);
    }
    add(&[
        "--seccomp",
        &fds.filter.to_string(),
        "--sync-fd",
        &fds.life.to_string(),
    ]);
    // The mounts of the stage are as restricted as they are to be; this keeps `bwrap` from doing it again for each.
    add(&["--dev-bind", &layout.stage.root().to_string_lossy(), "/"]);
    add(&["--proc", "/proc"]);
    for (mask, place) in &layout.masks {
        add(&["--dev-bind", &mask.to_string_lossy(), &place.to_string_lossy()]);
    }
    let current_dir = spec.view.places.really(&spec.current_dir);
    add(&["--chdir", &current_dir.to_string_lossy(), "--"]);
    options
}

/// Each command with its environment.
fn runs(spec: &SandboxSpec, purpose: Purpose, layout: &Layout) -> Result<Vec<Run>, SandboxError> {
    let variables = variables(spec);
    match (&spec.task, purpose) {
        (_, Purpose::Shell) if layout.has_shell => Ok(vec![Run {
            variables,
            words: vec![SHELL.to_owned()],
        }]),
        (_, Purpose::Shell) => Err(SandboxError::NoShell("a shell".to_owned())),
        (Task::Script(name), _) if layout.has_shell => {
            let script = spec.view.places.recipe.join(name);
            let words = [SHELL, "-e", &script.to_string_lossy()].map(str::to_owned);
            Ok(vec![Run {
                variables,
                words: words.into(),
            }])
        }
        (Task::Script(name), _) => Err(SandboxError::NoShell(name.clone())),
        (Task::Commands(commands), _) if commands.is_empty() => Err(SandboxError::EmptyCommand),
        (Task::Commands(commands), _) => commands.iter().map(|words| step(words, &variables)).collect(),
    }
}

/// Splits leading variables off a command and replaces the two names that commands without a shell may use.
fn step(words: &[String], variables: &BTreeMap<String, String>) -> Result<Run, SandboxError> {
    let replaced = |word: &String| {
        ["PKG_PATH", "STORE_PREFIX"]
            .iter()
            .fold(word.clone(), |word, name| {
                let value = variables.get(*name).map_or("", String::as_str);
                word.replace(&format!("${name}"), value)
            })
    };
    let mut variables = variables.clone();
    let mut words = words.iter().map(replaced).peekable();
    while let Some((name, value)) = words.peek().and_then(|word| variable(word)) {
        variables.insert(name, value);
        words.next();
    }
    let words: Vec<String> = words.collect();
    match words.is_empty() {
        true => Err(SandboxError::EmptyCommand),
        false => Ok(Run { variables, words }),
    }
}

fn variable(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let allowed = name.bytes().all(|byte| letter(byte) || byte.is_ascii_digit());
    (allowed && name.bytes().next().is_some_and(letter)).then(|| (name.to_owned(), value.to_owned()))
}

/// The environment of every command; nothing of ours is passed on.
fn variables(spec: &SandboxSpec) -> BTreeMap<String, String> {
    let prefix = spec.prefix.as_str();
    let view = &spec.view;
    let variant = spec.variant.as_ref().map_or("", |variant| variant.as_str());
    let mut variables: BTreeMap<String, String> = [
        ("HOME", view.home.clone()),
        ("LC_ALL", view.locale.all.clone()),
        ("NUM_CORES", spec.jobs.to_string()),
        ("PATH", format!("{prefix}/bin")),
        ("PKG_ID", spec.package.to_string()),
        ("PKG_NAME", spec.package.name().to_string()),
        ("PKG_PATH", format!("{prefix}/packages/{}", spec.package)),
        ("PKG_VARIANT", variant.to_owned()),
        ("PKG_VERSION", spec.version.clone()),
        ("SOURCE_DATE_EPOCH", spec.source_date_epoch.to_string()),
        ("STORE_PREFIX", prefix.to_owned()),
        ("TMPDIR", view.places.temporary.display().to_string()),
        ("TZ", view.time_zone.clone()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let language = view.locale.language.iter();
    let language = language.flat_map(|it| ["LANG", "LANGUAGE"].map(|name| (name.to_owned(), it.clone())));
    variables.extend(language);
    if view.terminal == Terminal::Colours {
        let said = [("TERM", "xterm-256color"), ("COLUMNS", "137"), ("LINES", "41")];
        variables.extend(said.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    variables.extend(view.extra_variables.iter().cloned());
    if let Some(server) = &spec.job_server {
        variables.insert("MAKEFLAGS".to_owned(), server.makeflags.clone());
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step_of(words: &[&str]) -> Result<Run, SandboxError> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let given = [
            ("PKG_PATH", "/p/packages/x"),
            ("STORE_PREFIX", "/p"),
            ("TZ", "UTC"),
        ];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
        step(&words, &given.into())
    }

    #[test]
    fn leading_variables_are_the_environment_of_their_command() {
        let Run { variables, words } =
            step_of(&["A=$PKG_PATH/a", "TZ=x", "$STORE_PREFIX/bin/cc", "B=1"]).unwrap();
        assert_eq!(words, ["/p/bin/cc", "B=1"]);
        assert_eq!(variables["A"], "/p/packages/x/a");
        assert_eq!(variables["TZ"], "x");
        assert!(!variables.contains_key("B"));
    }

    #[test]
    fn a_command_is_more_than_variables() {
        assert!(matches!(step_of(&[]), Err(SandboxError::EmptyCommand)));
        assert!(matches!(step_of(&["A=1"]), Err(SandboxError::EmptyCommand)));
        // No name of a variable, so a program.
        assert_eq!(step_of(&["a/b=c"]).unwrap().words, ["a/b=c"]);
    }
}
