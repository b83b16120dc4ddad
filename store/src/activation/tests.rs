//! Owns the tests of activation: what is reached through a prefix, on which roles, and which packages do not go together.

use super::*;
use schema::digest::Digest;
use std::collections::BTreeSet;
use tempfile::TempDir;

struct World {
    dir: TempDir,
    packages: Vec<(PackageId, PathBuf)>,
}

impl World {
    fn new(packages: &[(&str, &[&str])]) -> Self {
        let dir = TempDir::new().unwrap();
        let lay = |(name, files): &(&str, &[&str])| {
            let id = PackageId::new(name.parse().unwrap(), Digest::of(name.as_bytes()));
            let folder = dir.path().join("packages").join(id.to_string());
            fs::create_dir_all(&folder).unwrap();
            for file in *files {
                let file = folder.join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, name).unwrap();
            }
            (id, folder)
        };
        let packages = packages.iter().map(lay).collect();
        Self { dir, packages }
    }

    fn contents(&self) -> Vec<(PackageId, Content)> {
        let packages = self.packages.iter();
        let contents = packages.map(|(id, folder)| (id.clone(), Content::of_folder(folder.clone())));
        contents.collect()
    }

    fn written(&self, dest: &str, packages: &str) -> PathBuf {
        let dest = self.dir.path().join(dest);
        fs::create_dir_all(&dest).unwrap();
        let activation = Activation::of(&self.packages).unwrap();
        activation.write(&dest, Path::new(packages)).unwrap();
        dest
    }
}

#[test]
fn every_file_is_reached_through_the_prefix_and_through_a_generation() {
    let world = World::new(&[
        ("a", &["bin/a", "share/man/man1/a.1", "lib/x/deep/a", "other/a"]),
        ("b", &["bin/b", "share/man/man1/b.1", "lib/x/b"]),
        ("c", &["etc/c"]),
    ]);
    for (dest, packages) in [("", "packages"), ("generations/7", "../../packages")] {
        let dest = world.written(dest, packages);
        let files = [
            ("bin/a", "a"),
            ("bin/b", "b"),
            ("share/man/man1/a.1", "a"),
            ("share/man/man1/b.1", "b"),
            ("lib/x/deep/a", "a"),
            ("lib/x/b", "b"),
            ("etc/c", "c"),
            ("active/a/other/a", "a"),
        ];
        for (file, content) in files {
            assert_eq!(fs::read_to_string(dest.join(file)).unwrap(), content, "{file}");
        }
        assert!(!dest.join("other").exists());
    }
}

#[test]
fn what_one_package_brings_alone_is_one_link() {
    let world = World::new(&[("a", &["bin/a", "lib/x/1", "lib/y"]), ("b", &["lib/x2/1"])]);
    let activation = Activation::of(&world.packages).unwrap();
    let paths: BTreeSet<_> = activation
        .items()
        .map(|(path, _)| path.to_str().unwrap())
        .collect();
    let expected = [
        "active", "active/a", "active/b", "bin", "lib", "lib/x", "lib/x2", "lib/y",
    ];
    assert_eq!(paths, BTreeSet::from(expected));
}

#[test]
fn every_path_that_two_bring_is_named_with_both() {
    let world = World::new(&[("a", &["bin/tool", "lib/z/x"]), ("b", &["bin/tool", "lib/z"])]);
    let Err(ActivationError::Conflicts(conflicts)) = Activation::of(&world.packages) else {
        panic!("two packages bring the same path");
    };
    let (a, b) = (&world.packages[0].0, &world.packages[1].0);
    let named: Vec<_> = conflicts.iter().map(|c| c.path.to_str().unwrap()).collect();
    assert_eq!(named, ["bin/tool", "lib/z"]);
    assert!(conflicts.iter().all(|c| (&c.first, &c.second) == (a, b)));
}

#[test]
fn two_packages_of_one_name_conflict() {
    let mut world = World::new(&[("a", &["x"])]);
    let again = PackageId::new("a".parse().unwrap(), Digest::of(b"again"));
    world.packages.push((again, world.packages[0].1.clone()));
    assert!(matches!(
        Activation::of(&world.packages),
        Err(ActivationError::Conflicts(_))
    ));
}

#[test]
fn what_is_provided_is_known_before_anything_is_written() {
    let world = World::new(&[("a", &["bin/sh", "lib/x/1"]), ("b", &["lib/x/2"])]);
    symlink("sh", world.packages[0].1.join("bin/dash")).unwrap();
    let activation = Activation::of(&world.packages).unwrap();
    for path in ["bin", "bin/sh", "bin/dash", "lib/x", "lib/x/2", "active/a/bin/sh"] {
        assert!(activation.provides(Path::new(path)), "{path}");
    }
    for path in ["bin/ksh", "lib/x/3", "share", "x", "active/c"] {
        assert!(!activation.provides(Path::new(path)), "{path}");
    }
}

#[test]
fn a_host_sees_the_folders_of_its_roles_and_no_others() {
    let world = World::new(&[
        (
            "a",
            &[
                "bin/a",
                "bin_master/m",
                "bin_agent/g",
                "x.target.wants_master/a.service",
            ],
        ),
        (
            "b",
            &["etc_master/b", "x.target.wants/b.service", "usr_master/no"],
        ),
    ]);
    let laid = |roles: &[&str]| {
        let roles = roles.iter().map(|role| role.parse().unwrap()).collect();
        let activation = Activation::for_host(world.contents(), &roles).unwrap();
        let dest = world.dir.path().join(format!("generations-of-{roles:?}"));
        fs::create_dir(&dest).unwrap();
        activation.write(&dest, Path::new("../packages")).unwrap();
        dest
    };
    let (master, none) = (laid(&["master"]), laid(&[]));
    let units = "systemd/x.target.wants";
    for path in ["bin/a", "bin/m", "etc/b", "include", "share"] {
        assert!(master.join(path).exists(), "{path}");
    }
    assert_eq!(
        fs::read_to_string(master.join(units).join("a.service")).unwrap(),
        "a"
    );
    assert!(!master.join("bin/g").exists() && !master.join("usr").exists());
    assert!(none.join("bin/a").exists() && none.join(units).join("b.service").exists());
    for path in ["bin/m", "etc/b", &format!("{units}/a.service")] {
        assert!(!none.join(path).exists(), "{path}");
    }
}

#[test]
fn what_a_role_adds_conflicts_as_anything_else() {
    let world = World::new(&[("a", &["bin/x"]), ("b", &["bin_master/x"])]);
    let on = |role: &str| Activation::for_host(world.contents(), &BTreeSet::from([role.parse().unwrap()]));
    assert!(matches!(on("master"), Err(ActivationError::Conflicts(_))));
    assert!(on("agent").is_ok());
}

#[test]
fn a_listing_says_what_its_folder_held() {
    let world = World::new(&[
        (
            "a",
            &[
                "bin/a",
                "lib/x/deep/a",
                "etc_master/a",
                "x.target.wants/a.service",
            ],
        ),
        ("b", &["bin/b", "lib/x/b", "other"]),
    ]);
    let listed = |(id, folder): &(PackageId, PathBuf)| {
        let listing = crate::listing::of(folder).unwrap().listing;
        (id.clone(), Content::of_listing(folder.clone(), &listing))
    };
    let listed: Vec<_> = world.packages.iter().map(listed).collect();
    let roles = BTreeSet::from(["master".parse().unwrap()]);
    let items = |contents| {
        let activation = Activation::for_host(contents, &roles).unwrap();
        let items = activation
            .items()
            .map(|(path, item)| (path.to_owned(), item.clone()));
        items.collect::<Vec<_>>()
    };
    let expected = items(world.contents());
    assert_eq!(items(listed.clone()), expected);
    for (_, folder) in &world.packages {
        fs::remove_dir_all(folder).unwrap();
    }
    assert_eq!(items(listed), expected);
}
