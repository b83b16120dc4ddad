//! Owns what these tests share: a package of one static shell, and the folders of one build.

use std::fs::{self, Permissions};
use std::num::NonZeroU32;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use schema::digest::Digest;
use schema::id::PackageId;
use tempfile::TempDir;

use super::super::*;

/// One build of the package `case`.
pub struct Case {
    _dir: TempDir,
    pub spec: SandboxSpec,
    pub cancel: CancelToken,
}

pub fn id(name: &str) -> PackageId {
    PackageId::new(name.parse().unwrap(), Digest::of(name.as_bytes()))
}

impl Case {
    pub fn new() -> Self {
        let dir = TempDir::with_prefix("sandbox-").unwrap();
        let folder = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(&path).unwrap();
            path
        };
        let shell = folder("shell");
        lay_shell(&shell);
        let spec = SandboxSpec {
            prefix: "/opt/store".parse().unwrap(),
            package: id("case"),
            version: "1.0".to_owned(),
            variant: None,
            platform: "x86_64-linux".parse().unwrap(),
            source_date_epoch: 1_700_000_000,
            closure: vec![(id("shell"), shell)],
            folders: Folders {
                sources: folder("src"),
                recipe: folder("recipe"),
                output: folder("out"),
                output_access: OutputAccess::Writable,
            },
            current_dir: PathBuf::from("/pkg/src"),
            task: Task::Script("build".to_owned()),
            cores: NonZeroU32::new(3).unwrap(),
            jobs: NonZeroU32::new(3).unwrap(),
            job_server: None,
            limits: Limits {
                disk_reserve: 0,
                memory_reserve: 0,
                ..Limits::default()
            },
            view: View::default(),
        };
        Self {
            _dir: dir,
            spec,
            cancel: CancelToken::new().unwrap(),
        }
    }

    /// Runs `script`; what it printed, and how it ended.
    pub fn run(&self, script: &str) -> (String, Result<Usage, SandboxError>) {
        fs::write(self.spec.folders.recipe.join("build"), script).unwrap();
        self.run_task()
    }

    pub fn run_task(&self) -> (String, Result<Usage, SandboxError>) {
        let sandbox = Sandbox::find(None).expect("bubblewrap is installed: run ./dev setup");
        let mut log = Vec::new();
        let outcome = sandbox.run(&self.spec, &mut log, &self.cancel);
        (String::from_utf8_lossy(&log).into_owned(), outcome)
    }

    /// What `script`, which must end well, printed.
    pub fn says(&self, script: &str) -> String {
        let (log, outcome) = self.run(script);
        assert!(outcome.is_ok(), "{outcome:?}\n{log}");
        log
    }

    /// How `script`, which must not end well, ended.
    pub fn ends(&self, script: &str) -> Ending {
        match self.run(script) {
            (_, Err(SandboxError::Ended(ending))) => ending,
            (log, outcome) => panic!("{outcome:?}\n{log}"),
        }
    }

    pub fn output(&self, file: &str) -> PathBuf {
        self.spec.folders.output.join(file)
    }
}

fn lay_shell(folder: &Path) {
    let bin = folder.join("bin");
    fs::create_dir(&bin).unwrap();
    let places = ["/bin/busybox", "/usr/bin/busybox"];
    let busybox = places.iter().find(|path| Path::new(path).exists());
    let busybox = busybox.expect("busybox-static is installed: run ./dev setup");
    fs::copy(busybox, bin.join("busybox")).unwrap();
    fs::set_permissions(bin.join("busybox"), Permissions::from_mode(0o555)).unwrap();
    let applets = "sh cat ls id hostname nproc uname free ps sleep dd mkdir rm ln chmod touch env mount nc stat \
                   yes head printf true false kill find sed grep wc df test readlink mkfifo cp mknod chroot \
                   unshare seq ifconfig wget ping tr sort pwd umask ulimit uptime date od mktemp cut";
    for applet in applets.split_whitespace() {
        symlink("busybox", bin.join(applet)).unwrap();
    }
}
