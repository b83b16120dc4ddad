//! Owns putting a tree together: what its documents say about each other must be true.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::draft::Place;
use crate::fields::Report;
use crate::finding::{Finding, Severity};
use crate::graph::Graph;
use crate::listing::{Entry, Listing};
use crate::name::{PackageName, RoleName, VariantName};
use crate::nearest::did_you_mean;
use crate::path::inside;
use crate::recipe_parse::{RecipeDraft, entries_below};
use crate::source::{Source, SourceDigest};
use crate::source_parse::FolderSource;
use crate::tree_of_recipes::{Dialect, Tree, TreeInfo, TreeText};
use crate::treeinfo_parse::{Mention, read_infos};

/// Makes a tree of recipes that were read one by one; `text` gives all but them.
///
/// # Errors
/// Every finding there is, sorted by file and line, when one of them is an error.
pub fn assemble(
    dialect: Dialect,
    mut drafts: Vec<RecipeDraft>,
    text: &TreeText,
) -> Result<Tree, Vec<Finding>> {
    let mut report = Report::new(None, dialect);
    report.findings.extend_from_slice(&text.problems);
    let infos = read_infos(&text.treeinfos, &mut report);
    for draft in &mut drafts {
        settle_folder_sources(draft, &text.outside);
        report.findings.append(&mut draft.findings);
    }
    let roles = draft_roles(&mut drafts);
    let mut recipes = BTreeMap::new();
    for draft in drafts {
        let Some(name) = draft.name else {
            continue;
        };
        let variants = draft.variants.into_iter().filter(|_| !draft.unreadable);
        let variants = variants.map(|(variant, read)| (variant, Arc::new(read.recipe)));
        recipes.insert(name, variants.collect::<BTreeMap<_, _>>());
    }
    let mut tree = Tree {
        dialect,
        infos: BTreeMap::new(),
        recipes,
        warnings: Vec::new(),
    };
    for (variant, draft) in infos {
        for mention in &draft.mentions {
            check_mention(mention, &tree, &draft.info, &mut report);
        }
        check_toolchain(&tree, &draft.info, &mut report);
        check_roles(&roles, &draft.info, &mut report);
        left_out(&tree, &draft.info, &mut report);
        tree.infos.insert(variant, draft.info);
    }
    for variant in tree.infos.keys() {
        report.findings.extend(
            Graph::resolve(&tree, variant.as_ref())
                .err()
                .into_iter()
                .flatten(),
        );
    }
    settle(tree, report.findings)
}

fn settle(mut tree: Tree, mut findings: Vec<Finding>) -> Result<Tree, Vec<Finding>> {
    findings.sort();
    // Variants share their base, and with it its mistakes.
    findings.dedup();
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(findings);
    }
    tree.warnings = findings;
    Ok(tree)
}

/// Roles that recipes name: package, role and where.
type NamedRoles = Vec<(PackageName, RoleName, Place)>;

fn draft_roles(drafts: &mut [RecipeDraft]) -> NamedRoles {
    let mut named = Vec::new();
    for draft in drafts {
        for read in draft.variants.values_mut() {
            let name = &read.recipe.name;
            named.extend(
                read.roles
                    .drain(..)
                    .map(|(role, place)| (name.clone(), role, place)),
            );
        }
    }
    named
}

fn check_roles(named: &NamedRoles, info: &TreeInfo, report: &mut Report) {
    if info.roles.is_empty() {
        return;
    }
    for (package, role, place) in named {
        if !info.roles.contains(role) {
            let help = did_you_mean(role.as_str(), info.roles.iter().map(|role| role.as_str()), || {
                "add it to the `roles` of `treeinfo.json`".to_owned()
            });
            report.package = Some(package.clone());
            report.error(place, format!("`{role}` is not one of the tree's roles."), help);
        }
    }
    report.package = None;
}

/// A package that `treeinfo.json` names must be there, in that variant, and not be excluded by the same file.
fn check_mention(mention: &Mention, tree: &Tree, info: &TreeInfo, report: &mut Report) {
    let Mention {
        field, name, place, ..
    } = mention;
    let Some(variants) = tree.recipes.get(name) else {
        // DC/OS's trees exclude packages that other trees bring.
        if !(tree.dialect == Dialect::Dcos && *field == "exclude") {
            let help = unknown_package_help(name, tree);
            report.error(
                place,
                format!("`{field}` names `{name}`, which is not in this tree."),
                help,
            );
        }
        return;
    };
    if *field == "variants" && !variants.is_empty() && !variants.contains_key(&mention.variant) {
        let wanted = mention
            .variant
            .as_ref()
            .map_or("base", |variant| variant.as_str());
        let message = format!("`{name}` has no variant `{wanted}`.");
        report.error(place, message, variants_help(variants));
    }
    if *field != "exclude" && info.exclude.contains(name) {
        let message = format!("`{name}` is named by `{field}` and excluded at once.");
        report.error(
            place,
            message,
            format!("remove it from `exclude` or from `{field}`"),
        );
    }
}

fn check_toolchain(tree: &Tree, info: &TreeInfo, report: &mut Report) {
    for requirement in &info.toolchain {
        if !tree.recipes.contains_key(&requirement.name) {
            let message = format!(
                "`toolchain` names `{}`, which is not in this tree.",
                requirement.name
            );
            report.error(
                &requirement.place,
                message,
                unknown_package_help(&requirement.name, tree),
            );
        }
    }
}

/// On DC/OS a package without a base variant is built only where a tree picks one of its variants.
fn left_out(tree: &Tree, info: &TreeInfo, report: &mut Report) {
    if tree.dialect == Dialect::Native || info.default.is_some() {
        return;
    }
    for (name, variants) in &tree.recipes {
        let picked = info.variants.contains_key(name) || info.exclude.contains(name);
        if picked || variants.is_empty() || variants.contains_key(&None) {
            continue;
        }
        report.package = Some(name.clone());
        report.not_hermetic(
            &info.place,
            format!("`{name}` has no base variant and none is picked, so this tree leaves it out."),
            format!(
                "add it to `exclude`, or pick a variant: {}",
                variants_help(variants)
            ),
        );
    }
    report.package = None;
}

pub(crate) fn unknown_package_help(name: &PackageName, tree: &Tree) -> String {
    did_you_mean(
        name.as_str(),
        tree.recipes.keys().map(|name| name.as_str()),
        || format!("add a recipe `{name}/buildinfo.json`, or remove the name"),
    )
}

pub(crate) fn variants_help<T>(variants: &BTreeMap<Option<VariantName>, T>) -> String {
    let names = variants
        .keys()
        .map(|variant| variant.as_ref().map_or("base", |variant| variant.as_str()));
    format!("there is {}", crate::nearest::listed(names))
}

/// Gives every source that is a folder of the tree the digest of that folder's listing.
fn settle_folder_sources(draft: &mut RecipeDraft, outside: &BTreeMap<String, Vec<Entry>>) {
    let mut report = Report::new(draft.name.clone(), Dialect::Native);
    for read in draft.variants.values_mut() {
        for folder in &read.folders {
            let entries = match inside(&draft.folder, &folder.path) {
                Some(path) => entries_below(&draft.entries, path),
                None => outside.get(&folder.path).cloned(),
            };
            let Some(entries) = entries else {
                let message = format!("there is no folder `{}`.", folder.path);
                report.error(&folder.place, message, "add it, or mend the path");
                continue;
            };
            if let Some(source) = read.recipe.sources.get_mut(&folder.name) {
                settle_digest(source, folder, entries, &mut report);
            }
        }
    }
    draft.findings.append(&mut report.findings);
}

fn settle_digest(source: &mut Source, folder: &FolderSource, mut entries: Vec<Entry>, report: &mut Report) {
    if folder.without_git {
        entries.retain(|entry| !entry.path.split('/').any(|part| part == ".git"));
    }
    let digest = match Listing::new(entries).tree_digest() {
        Ok(digest) => SourceDigest::Blake3(digest),
        Err(why) => {
            report.error(
                &folder.place,
                format!("`{}` cannot be listed: {why}.", folder.path),
                "rename its files",
            );
            return;
        }
    };
    if let Some((stated, place)) = &folder.stated
        && *stated != digest
    {
        let message = format!("`{}` has another digest: {}.", folder.path, digest.to_hex());
        report.error(
            place,
            message,
            "undo the change of the folder, or write the new digest",
        );
    }
    source.digest = Some(digest);
}
