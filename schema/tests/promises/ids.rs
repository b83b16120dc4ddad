//! Owns the promises of store IDs: pinned forever, moved by everything a build can see and by nothing else.

use std::collections::{BTreeMap, BTreeSet};

use crate::trees::{SHA, validated};
use proptest::prelude::*;
use schema::digest::Digest;
use schema::graph::Graph;
use schema::id::PackageId;
use schema::resolved::{Resolved, ResolvedRecipe, resolve_all};

fn resolved(files: &[(&str, &str)]) -> Vec<Resolved> {
    let tree = validated(files).unwrap();
    resolve_all(&Graph::resolve(&tree, None).unwrap(), 1).unwrap()
}

/// These IDs were given out; a change that moves one makes every store in the world build everything again.
#[test]
fn ids_that_were_given_out_stay() {
    let info = r#"{"name": "cluster", "version": "1", "prefix": "/opt/store", "platform": "x86_64-linux",
        "source_date_epoch": 1767225600, "toolchain": ["cc"]}"#;
    let cc = format!(
        r#"{{"version": "0.14.1", "toolchain": [],
            "single_source": {{"kind": "pypi", "name": "ziglang", "version": "0.14.1", "sha256": "{SHA}"}}}}"#
    );
    let make = format!(
        r#"{{"toolchain": [], "build_requires": ["cc"], "bootstrap": [["A=1", "cc", "/pkg/extra/make.c"]],
            "sources": {{"make": {{"kind": "url", "url": "https://example.org/make.tar", "blake3": "{SHA}"}},
                         "own": {{"kind": "local", "path": "src"}}}}}}"#
    );
    let zlib = format!(
        r#"{{"version": "1.3.2", "license": "Zlib", "build_requires": ["make"],
            "single_source": {{"kind": "crate", "name": "libz-sys", "version": "1.1.31", "sha256": "{SHA}"}}}}"#
    );
    let nginx = r#"{"version": "1.28.3", "requires": ["zlib"], "build_requires": ["make"],
        "environment": {"NGINX_HOME": "/opt/store/active/nginx"}, "username": "nginx", "group": "www",
        "state_directory": true, "sysctl": {"nginx": {"net.core.somaxconn": 1024}}, "roles": ["public", "master"],
        "timeout": 600, "cores": 2, "memory": "1G", "check": false}"#;
    let files = [
        ("treeinfo.json", info),
        ("cc/buildinfo.json", &cc),
        ("make/buildinfo.json", &make),
        ("make/extra/make.c", "int main(void) { return 0; }\n"),
        ("make/src/rules.mk", "all:\n"),
        ("zlib/buildinfo.json", &zlib),
        ("zlib/build", "make install\n"),
        ("nginx/buildinfo.json", nginx),
        ("nginx/build", "make install\n"),
        ("nginx/check", "nginx -t\n"),
    ];
    let ids: Vec<_> = resolved(&files)
        .into_iter()
        .map(|package| package.id.to_string())
        .collect();
    assert_eq!(
        ids,
        [
            "cc--jkfmqyyntydibc3zbkdeu5b7iga3aumomfj5sgse7ynekbqojpaq",
            "make--oelcxe24bapiwlkqh57m2rfkcs7x6xdruzyrbt7zqfnpmdobkqba",
            "zlib--rrivkrxtsvliys3a3debgwau4n4ssxidnbaumsraox44asfoafdq",
            "nginx--mcin4bk6ej7llrlk77rd5fmgrbuyymlwugi4xb3ej2rbh7gedcua",
        ]
    );
}

#[test]
fn an_id_is_the_digest_of_the_bytes_that_are_printed() {
    let info = r#"{"name": "c", "version": "1", "prefix": "/opt/store", "platform": "x86_64-linux"}"#;
    let files = [
        ("treeinfo.json", info),
        ("x/buildinfo.json", "{}"),
        ("x/build", ""),
    ];
    let package = &resolved(&files)[0];
    assert_eq!(Digest::of(&package.bytes), *package.id.digest());
    assert_eq!(package.bytes.last(), Some(&b'}'));
    let read: ResolvedRecipe = ResolvedRecipe::parse(&package.bytes).unwrap();
    assert_eq!(read, package.recipe);
    assert_eq!(read.id().unwrap().1, package.bytes);
}

/// A tree that tests may change in one place.
#[derive(Debug, Clone)]
struct Model {
    prefix: &'static str,
    platform: &'static str,
    packages: Vec<ModelPackage>,
}

#[derive(Debug, Clone)]
struct ModelPackage {
    build: Vec<u8>,
    extra: Vec<u8>,
    digest: [u8; 32],
    /// Indices of packages before this one, and whether each is needed to run as well.
    dependencies: BTreeMap<usize, bool>,
    people: People,
}

/// What is for people and for fetching, and must move no ID.
#[derive(Debug, Clone, Default)]
struct People {
    host: String,
    mirror: Option<String>,
    description: String,
    license: String,
    homepage: String,
    limits: (u32, u32, u32),
    keys_backwards: bool,
}

impl Model {
    fn files(&self) -> Vec<(String, String)> {
        let info = format!(
            r#"{{"name": "c", "version": "1", "prefix": "{}", "platform": "{}"}}"#,
            self.prefix, self.platform
        );
        let mut files = vec![("treeinfo.json".to_owned(), info)];
        for (at, package) in self.packages.iter().enumerate() {
            files.push((format!("p{at}/buildinfo.json"), package.document()));
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            files.push((format!("p{at}/build"), text(&package.build)));
            files.push((format!("p{at}/extra/file"), text(&package.extra)));
        }
        files
    }

    fn ids(&self) -> Vec<PackageId> {
        let files = self.files();
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect();
        let mut ids: Vec<_> = resolved(&files).into_iter().map(|package| package.id).collect();
        ids.sort();
        ids
    }

    /// `changed` and every package that depends on one of them, however far up.
    fn with_all_above(&self, changed: usize) -> BTreeSet<String> {
        let mut moved = BTreeSet::from([changed]);
        for (at, package) in self.packages.iter().enumerate() {
            if package
                .dependencies
                .keys()
                .any(|dependency| moved.contains(dependency))
            {
                moved.insert(at);
            }
        }
        moved.into_iter().map(|at| format!("p{at}")).collect()
    }
}

impl ModelPackage {
    fn document(&self) -> String {
        let People {
            host,
            mirror,
            description,
            license,
            homepage,
            limits: (timeout, cores, memory),
            keys_backwards,
        } = &self.people;
        let hex = Digest::from_bytes(self.digest).to_hex();
        let mirrors = mirror
            .as_ref()
            .map(|mirror| format!("https://{mirror}/x.tar"))
            .into_iter()
            .collect::<Vec<_>>();
        let named = |runs: bool| {
            let of_kind = self.dependencies.iter().filter(|(_, needed)| **needed == runs);
            of_kind.map(|(at, _)| format!("p{at}")).collect::<Vec<_>>()
        };
        let mut fields = vec![
            ("description", serde_json::json!(description)),
            ("license", serde_json::json!(license)),
            ("homepage", serde_json::json!(homepage)),
            ("timeout", serde_json::json!(timeout)),
            ("cores", serde_json::json!(cores)),
            ("memory", serde_json::json!(memory)),
            ("requires", serde_json::json!(named(true))),
            ("build_requires", serde_json::json!(named(false))),
            (
                "single_source",
                serde_json::json!({"kind": "url", "url": format!("https://{host}/x.tar"), "urls": mirrors, "sha256": hex}),
            ),
        ];
        if *keys_backwards {
            fields.reverse();
        }
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| format!("\"{name}\": {value}"))
            .collect();
        format!("{{{}}}", fields.join(", "))
    }
}

fn models() -> impl Strategy<Value = Model> {
    let package = (
        prop::collection::vec(32u8..127, 1..20),
        prop::collection::vec(32u8..127, 1..20),
        any::<[u8; 32]>(),
        prop::collection::btree_map(0usize..8, any::<bool>(), 0..3),
    );
    prop::collection::vec(package, 2..8).prop_map(|packages| {
        let package =
            |(at, (build, extra, digest, mut dependencies)): (usize, (_, _, _, BTreeMap<usize, bool>))| {
                dependencies.retain(|dependency, _| *dependency < at);
                let people = People {
                    host: "example.org".to_owned(),
                    limits: (60, 1, 1024),
                    ..People::default()
                };
                ModelPackage {
                    build,
                    extra,
                    digest,
                    dependencies,
                    people,
                }
            };
        Model {
            prefix: "/opt/store",
            platform: "x86_64-linux",
            packages: packages.into_iter().enumerate().map(package).collect(),
        }
    })
}

/// Names of the packages whose IDs differ.
fn moved(before: &[PackageId], after: &[PackageId]) -> BTreeSet<String> {
    let pairs = before.iter().zip(after).filter(|(before, after)| before != after);
    pairs.map(|(before, _)| before.name().to_string()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_a_build_sees_moves_its_id_and_those_above(model in models(), pick: prop::sample::Index, byte: prop::sample::Index, what in 0..4) {
        let at = pick.index(model.packages.len());
        let mut changed = model.clone();
        let package = &mut changed.packages[at];
        let flip = |bytes: &mut [u8]| {
            let place = byte.index(bytes.len());
            bytes[place] = if bytes[place] == b'x' { b'y' } else { b'x' };
        };
        match what {
            0 => flip(&mut package.build),
            1 => flip(&mut package.extra),
            2 => flip(&mut package.digest),
            _ if at == 0 => package.build.push(b'x'),
            _ => {
                // Drops a dependency that is there, adds one that is not.
                let other = byte.index(at);
                if package.dependencies.remove(&other).is_none() {
                    package.dependencies.insert(other, true);
                }
            }
        }
        let above = if what == 3 { changed.with_all_above(at) } else { model.with_all_above(at) };
        prop_assert_eq!(moved(&model.ids(), &changed.ids()), above);
    }

    #[test]
    fn prefix_and_platform_move_every_id(model in models()) {
        let all: BTreeSet<_> = (0..model.packages.len()).map(|at| format!("p{at}")).collect();
        let elsewhere = Model { prefix: "/opt/other", ..model.clone() };
        prop_assert_eq!(&moved(&model.ids(), &elsewhere.ids()), &all);
        let other_machine = Model { platform: "aarch64-linux", ..model.clone() };
        prop_assert_eq!(&moved(&model.ids(), &other_machine.ids()), &all);
    }

    #[test]
    fn what_is_for_people_moves_no_id(
        model in models(),
        pick: prop::sample::Index,
        words in ("[a-z]{1,9}", "[a-zA-Z ]{0,20}", "[A-Z0-9.-]{0,9}", "https://[a-z]{1,5}"),
        mirror in prop::option::of("[a-z]{1,9}"),
        limits in (1u32..9999, 1u32..64, 1u32..9999),
        keys_backwards: bool,
    ) {
        let mut changed = model.clone();
        let at = pick.index(model.packages.len());
        let (host, description, license, homepage) = words;
        changed.packages[at].people = People { host, mirror, description, license, homepage, limits, keys_backwards };
        prop_assert_eq!(model.ids(), changed.ids());
    }
}
