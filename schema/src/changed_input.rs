//! Owns how two resolved recipes differ: which input was added, removed or changed.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::id::PackageId;
use crate::name::{PackageName, SourceName};
use crate::recipe::FileContent;
use crate::resolved::{ResolvedRecipe, ResolvedSource};

/// The members of a resolved recipe that are compared part by part; all others are compared whole.
const IN_PARTS: [&str; 4] = ["files", "sources", "requires", "build_requires"];

/// The members that the program and the tree decide, not a recipe.
const OF_WHOLE_TREE: [&str; 5] = ["format", "platform", "prefix", "sandbox", "source_date_epoch"];

/// One input of a build that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(tag = "input", rename_all = "snake_case")]
pub enum ChangedInput {
    /// A member that is one value, such as `version`.
    Field {
        /// Its name in `buildinfo.full.json`.
        name: String,
        /// What it was and is; what is left out in the document is `null`.
        change: Change<Value>,
    },
    /// A source.
    Source {
        /// Its name in the recipe.
        name: SourceName,
        /// What it was and is.
        change: Change<ResolvedSource>,
    },
    /// A file of the recipe's folder, such as `build`.
    File {
        /// Relative to that folder.
        path: String,
        /// What it was and is.
        change: Change<FileContent>,
    },
    /// A package that is required or built with.
    Dependency {
        /// Its name.
        name: PackageName,
        /// What it is needed for.
        need: Need,
        /// Which one it was and is.
        change: Change<PackageId>,
    },
}

/// What a dependency is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// To run.
    Requires,
    /// To build.
    BuildRequires,
}

/// What became of one thing.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Change<T> {
    /// `None` when it was not there.
    pub old: Option<T>,
    /// `None` when it is gone.
    pub new: Option<T>,
}

impl ChangedInput {
    /// Whether it is the same for every package of a tree, so that it changes for all of them at once.
    pub fn is_of_whole_tree(&self) -> bool {
        matches!(self, Self::Field { name, .. } if OF_WHOLE_TREE.contains(&name.as_str()))
    }
}

/// Every input in which `new` differs from `old`: its own first, then the packages it depends on.
///
/// # Errors
/// When one of them has no JSON form.
pub fn between(old: &ResolvedRecipe, new: &ResolvedRecipe) -> serde_json::Result<Vec<ChangedInput>> {
    let mut found = fields(old, new)?;
    let sources = changes(old.sources.clone(), new.sources.clone());
    found.extend(sources.map(|(name, change)| ChangedInput::Source { name, change }));
    let files = |recipe: &ResolvedRecipe| -> BTreeMap<String, FileContent> {
        let files = recipe.files.iter();
        files
            .map(|file| (file.path.clone(), file.content.clone()))
            .collect()
    };
    found.extend(changes(files(old), files(new)).map(|(path, change)| ChangedInput::File { path, change }));
    for (need, old, new) in [
        (Need::Requires, &old.requires, &new.requires),
        (Need::BuildRequires, &old.build_requires, &new.build_requires),
    ] {
        let dependencies = changes(by_name(old), by_name(new));
        found.extend(dependencies.map(|(name, change)| ChangedInput::Dependency { name, need, change }));
    }
    Ok(found)
}

/// Whatever a resolved recipe may hold one day is compared, without a word about it here.
fn fields(old: &ResolvedRecipe, new: &ResolvedRecipe) -> serde_json::Result<Vec<ChangedInput>> {
    let values = |recipe: &ResolvedRecipe| -> serde_json::Result<BTreeMap<String, Value>> {
        let mut values: BTreeMap<String, Value> = serde_json::from_value(serde_json::to_value(recipe)?)?;
        values.retain(|name, _| !IN_PARTS.contains(&name.as_str()));
        Ok(values)
    };
    let changes = changes(values(old)?, values(new)?);
    Ok(changes
        .map(|(name, change)| ChangedInput::Field { name, change })
        .collect())
}

/// No build sees two packages of one name: resolving a tree of recipes refuses two variants of one package side by side.
fn by_name(ids: &[PackageId]) -> BTreeMap<PackageName, PackageId> {
    ids.iter().map(|id| (id.name().clone(), id.clone())).collect()
}

fn changes<K: Ord + Clone, T: PartialEq>(
    mut old: BTreeMap<K, T>,
    mut new: BTreeMap<K, T>,
) -> impl Iterator<Item = (K, Change<T>)> {
    let keys: BTreeSet<K> = old.keys().chain(new.keys()).cloned().collect();
    keys.into_iter().filter_map(move |key| {
        let (old, new) = (old.remove(&key), new.remove(&key));
        (old != new).then_some((key, Change { old, new }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use serde_json::json;

    fn recipe(changed: &Value) -> ResolvedRecipe {
        let mut document = json!({
            "format": 1, "sandbox": 1, "name": "curl", "version": "8", "variant": null,
            "platform": "x86_64-linux", "prefix": "/opt/store", "source_date_epoch": 1,
            "files": [], "bootstrap": [], "sources": {}, "requires": [], "build_requires": [],
            "environment": {}, "username": null, "group": null, "state_directory": false,
            "sysctl": {}, "roles": [], "check": false,
        });
        for (name, value) in changed.as_object().unwrap() {
            document[name] = value.clone();
        }
        serde_json::from_value(document).unwrap()
    }

    fn id(name: &str, text: &str) -> String {
        format!("{name}--{}", Digest::of(text.as_bytes()).to_base32())
    }

    fn found(old: &Value, new: &Value) -> Value {
        serde_json::to_value(between(&recipe(old), &recipe(new)).unwrap()).unwrap()
    }

    #[test]
    fn what_is_the_same_has_no_changed_input() {
        let same = json!({ "requires": [id("zlib", "1")], "roles": ["master"] });
        assert_eq!(found(&same, &same), json!([]));
    }

    #[test]
    fn what_no_recipe_decides_changes_for_all() {
        let changed = between(
            &recipe(&json!({})),
            &recipe(&json!({ "sandbox": 2, "prefix": "/else" })),
        )
        .unwrap();
        assert_eq!(changed.len(), 2);
        assert!(changed.iter().all(ChangedInput::is_of_whole_tree));
    }

    #[test]
    fn every_kind_of_input_is_compared_and_a_packages_own_come_first() {
        let file = |text: &str| json!([{ "path": "build", "type": "file", "executable": true, "blake3": Digest::of(text.as_bytes()) }]);
        let old =
            json!({ "version": "8", "files": file("a"), "requires": [id("zlib", "1"), id("zstd", "1")] });
        let new = json!({ "version": "9", "files": file("b"), "requires": [id("zlib", "2")],
            "build_requires": [id("zstd", "1")], "local": null });
        let found = found(&old, &new);
        let kinds: Vec<&str> = found
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["input"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, ["field", "file", "dependency", "dependency", "dependency"]);
        assert_eq!(
            found[0],
            json!({ "input": "field", "name": "version", "change": { "old": "8", "new": "9" } })
        );
        assert!(!between(&recipe(&old), &recipe(&new)).unwrap()[0].is_of_whole_tree());
        assert_eq!(found[3]["name"], "zstd");
        assert_eq!(found[3]["change"], json!({ "old": id("zstd", "1"), "new": null }));
        assert_eq!(found[4]["need"], "build_requires");
    }
}
