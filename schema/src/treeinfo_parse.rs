//! Owns reading `treeinfo.json` and its variants: which language the tree is in, and what it says about all packages.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::str::FromStr;
use std::sync::Arc;

use crate::dcos;
use crate::draft::{Draft, Place};
use crate::fields::{Fields, Report, parsed, text};
use crate::finding::Finding;
use crate::name::{PackageName, VariantName};
use crate::platform::{Platform, Prefix};
use crate::recipe_parse::variant_of;
use crate::requirement_parse::read_requirements;
use crate::tree_of_recipes::{Dialect, DocumentText, TreeInfo, TreeText};
use crate::values::is_version;

const TREEINFO: &str = "treeinfo.json";

/// Fields that both languages share.
const SHARED_FIELDS: [&str; 2] = ["exclude", "variants"];

/// Fields that only our own language has; one of them tells a tree is written in it.
const NATIVE_FIELDS: [&str; 8] = [
    "name",
    "version",
    "prefix",
    "platform",
    "source_date_epoch",
    "toolchain",
    "default",
    "roles",
];

/// Every field a `treeinfo.json` of our own language may have.
#[cfg(test)]
pub(crate) fn fields() -> impl Iterator<Item = &'static str> {
    NATIVE_FIELDS.into_iter().chain(SHARED_FIELDS)
}

/// When files were made, in a tree that does not say: the first moment that zip archives can express.
const DEFAULT_EPOCH: u64 = 315_532_800;
/// The last second of the year 9999.
const LAST_EPOCH: u64 = 253_402_300_799;

/// One variant's `treeinfo.json` with the places of the names in it.
pub(crate) struct InfoDraft {
    pub(crate) info: TreeInfo,
    pub(crate) mentions: Vec<Mention>,
}

/// A package named by a field of `treeinfo.json`.
pub(crate) struct Mention {
    pub(crate) field: &'static str,
    pub(crate) name: PackageName,
    pub(crate) variant: Option<VariantName>,
    pub(crate) place: Place,
}

impl Dialect {
    /// The language a tree is written in: ours when a `treeinfo.json` has one of our fields, DC/OS's when it has
    /// others; when it has none at all, or is not there, the recipes' own fields decide.
    pub fn of(tree: &TreeText) -> Self {
        let documents: Vec<_> = tree.treeinfos.iter().cloned().map(Arc::new).collect();
        let mut says_something = false;
        for document in &documents {
            let Ok(draft) = Draft::parse(document) else {
                return Self::Native;
            };
            if draft.members().any(|(key, _)| NATIVE_FIELDS.contains(&key.text)) {
                return Self::Native;
            }
            says_something |= draft.members().next().is_some();
        }
        if says_something || has_dcos_recipes(tree) {
            Self::Dcos
        } else {
            Self::Native
        }
    }
}

/// Whether a recipe has a field that only DC/OS's have.
fn has_dcos_recipes(tree: &TreeText) -> bool {
    let own = ["\"sha1\"", "\"ref_origin\"", "\"docker\"", "\"build_script\""];
    let mut documents = tree.recipes.iter().flat_map(|recipe| &recipe.documents);
    documents.any(|document| own.iter().any(|field| document.text.contains(field)))
}

/// Reads every `treeinfo.json`; those with mistakes are read as far as they make sense.
pub(crate) fn read_infos(
    treeinfos: &[DocumentText],
    report: &mut Report,
) -> BTreeMap<Option<VariantName>, InfoDraft> {
    let documents: Vec<_> = treeinfos.iter().cloned().map(Arc::new).collect();
    let mut drafts: BTreeMap<Option<VariantName>, Draft<'_>> = BTreeMap::new();
    for document in &documents {
        let Some(variant) = variant_of_treeinfo(document, report) else {
            continue;
        };
        match Draft::parse(document) {
            Ok(draft) if drafts.contains_key(&variant) => {
                let message = "this variant of `treeinfo.json` is there under two names.";
                report.error(&draft.place(), message, "keep `treeinfo.<variant>.json`");
            }
            Ok(draft) => {
                drafts.insert(variant, draft);
            }
            Err(finding) => report.findings.push(*finding),
        }
    }
    let mut infos = BTreeMap::new();
    for (variant, draft) in &drafts {
        let mut fields = Fields::of_draft(draft, "`treeinfo.json`", report);
        let base = drafts
            .get(&None)
            .filter(|_| variant.is_some() && report.dialect == Dialect::Native);
        if let Some(base) = base {
            fields = Fields::of_draft(base, "`treeinfo.json`", report).lay_over(fields);
        }
        infos.insert(variant.clone(), read_info(&fields, report));
    }
    complete(treeinfos, &mut infos, report);
    infos
}

/// A tree needs a base `treeinfo.json`; on DC/OS one without any field does.
fn complete(
    treeinfos: &[DocumentText],
    infos: &mut BTreeMap<Option<VariantName>, InfoDraft>,
    report: &mut Report,
) {
    let is_base = |document: &DocumentText| document.file == TREEINFO;
    if treeinfos.iter().any(is_base) {
        return;
    }
    if report.dialect == Dialect::Native {
        let help = "write `name`, `version`, `prefix`, `platform` and `toolchain` into it";
        report.findings.push(Finding::of_file(
            TREEINFO,
            None,
            "there is no `treeinfo.json`.",
            help,
        ));
        return;
    }
    let nothing = Arc::new(DocumentText {
        file: TREEINFO.to_owned(),
        text: String::new(),
    });
    if let Ok(draft) = Draft::parse(&nothing) {
        let fields = Fields::of_draft(&draft, "`treeinfo.json`", report);
        infos.insert(None, read_info(&fields, report));
    }
}

/// `x` for `treeinfo.x.json` and for `x.treeinfo.json`.
fn variant_of_treeinfo(document: &Arc<DocumentText>, report: &mut Report) -> Option<Option<VariantName>> {
    let file = document.file.as_str();
    let own = file
        .strip_prefix("treeinfo.")
        .and_then(|rest| rest.strip_suffix(".json"));
    let Some(variant) = own else {
        return variant_of(document, TREEINFO, report);
    };
    match variant.parse() {
        Ok(variant) => Some(Some(variant)),
        Err(why) => {
            let help = "rename the file: `treeinfo.<variant>.json`";
            report
                .findings
                .push(Finding::of_file(file, None, format!("{why}."), help));
            None
        }
    }
}

fn read_info(fields: &Fields<'_>, report: &mut Report) -> InfoDraft {
    let mut known = NATIVE_FIELDS.to_vec();
    known.extend(SHARED_FIELDS);
    if report.dialect == Dialect::Dcos {
        known.extend(dcos::TREE_FIELDS);
    }
    fields.refuse_unknown(&known, report, |field| match field {
        "core_package_list" => Some("write `default`"),
        "bootstrap_package_list" => Some("remove it: a host activates what its roles ask for"),
        "packages" => Some("remove it: every folder with a `buildinfo.json` is a package"),
        _ => None,
    });
    let mut mentions = Vec::new();
    let exclude = names(fields, "exclude", &mut mentions, report);
    let default_field = if report.dialect == Dialect::Dcos {
        "core_package_list"
    } else {
        "default"
    };
    let default = names(fields, default_field, &mut mentions, report);
    let listed = fields.get(default_field).is_some();
    // On DC/OS an empty list means the same as none.
    let default = (listed && !(report.dialect == Dialect::Dcos && default.is_empty())).then_some(default);
    let info = TreeInfo {
        name: String::new(),
        version: String::new(),
        prefix: Prefix::placeholder(),
        platform: Platform::X86_64Linux,
        source_date_epoch: fields
            .number("source_date_epoch", (0, LAST_EPOCH), report)
            .unwrap_or(DEFAULT_EPOCH),
        toolchain: read_requirements(fields, "toolchain", report),
        default,
        exclude: exclude.into_iter().collect(),
        roles: roles(fields, report),
        variants: variants(fields, &mut mentions, report),
        bootstrap_packages: names(fields, "bootstrap_package_list", &mut mentions, report),
        place: fields.place().clone(),
    };
    let info = match report.dialect {
        Dialect::Native => distribution(info, fields, report),
        Dialect::Dcos => {
            dcos::report_missing_distribution(fields.place(), report);
            dcos::name_distribution(info)
        }
    };
    InfoDraft { info, mentions }
}

fn distribution(mut info: TreeInfo, fields: &Fields<'_>, report: &mut Report) -> TreeInfo {
    let help = "name the distribution, e.g. `\"name\": \"cluster\"`";
    if let Some(name) = required::<PackageName>(fields, "name", help, report) {
        info.name = name.to_string();
    }
    if let Some(node) = fields.required("version", "write e.g. `\"version\": \"2026.1\"`", report)
        && let Some(version) = text(node, "version", report)
    {
        if !is_version(version) {
            let help = "write letters, digits and `. _ + ~ : -`, e.g. `\"2026.1\"`";
            report.error(&node.place(), format!("`{version}` cannot be a version."), help);
        }
        info.version = version.to_owned();
    }
    let help = "say where the store stands on hosts, e.g. `\"prefix\": \"/opt/store\"`";
    if let Some(prefix) = required(fields, "prefix", help, report) {
        info.prefix = prefix;
    }
    let help = "write `\"platform\": \"x86_64-linux\"` or `\"aarch64-linux\"`";
    if let Some(platform) = required(fields, "platform", help, report) {
        info.platform = platform;
    }
    info
}

fn required<T>(fields: &Fields<'_>, field: &'static str, help: &str, report: &mut Report) -> Option<T>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    fields.required(field, help, report)?;
    fields.parsed(field, help, report)
}

fn names(
    fields: &Fields<'_>,
    field: &'static str,
    mentions: &mut Vec<Mention>,
    report: &mut Report,
) -> Vec<PackageName> {
    let mut names: Vec<PackageName> = Vec::new();
    let mut seen = HashSet::new();
    for node in fields.list(field, report) {
        let help = "write the name of a recipe's folder";
        let Some(name) = text(node, field, report) else {
            continue;
        };
        let Some(name) = parsed::<PackageName>(node, name, help, report) else {
            continue;
        };
        if !seen.insert(name.clone()) {
            report.error(
                &node.place(),
                format!("`{name}` stands twice in `{field}`."),
                "remove one of the two",
            );
            continue;
        }
        mentions.push(Mention {
            field,
            name: name.clone(),
            variant: None,
            place: node.place(),
        });
        names.push(name);
    }
    names
}

fn roles(fields: &Fields<'_>, report: &mut Report) -> BTreeSet<crate::name::RoleName> {
    let nodes = fields.list("roles", report);
    let role = |node| {
        let role = text(node, "roles", report)?;
        parsed(node, role, "write a role's name, e.g. `master`", report)
    };
    nodes.into_iter().filter_map(role).collect()
}

fn variants(
    fields: &Fields<'_>,
    mentions: &mut Vec<Mention>,
    report: &mut Report,
) -> BTreeMap<PackageName, Option<VariantName>> {
    let mut variants = BTreeMap::new();
    let Some(node) = fields.get("variants") else {
        return variants;
    };
    let Some(members) = Fields::of_node(node, "variants", "`variants`", report) else {
        return variants;
    };
    for (key, node) in members.entries() {
        let name = match key.text.parse::<PackageName>() {
            Ok(name) => name,
            Err(why) => {
                report.error(
                    &key.place(),
                    format!("{why}."),
                    "write the name of a recipe's folder",
                );
                continue;
            }
        };
        let variant = if node.is_null() {
            None
        } else {
            let help = "write the name of one of its variants, or `null` for the base";
            let spelled = text(node, "variants", report);
            let Some(variant) = spelled.and_then(|spelled| parsed(node, spelled, help, report)) else {
                continue;
            };
            Some(variant)
        };
        mentions.push(Mention {
            field: "variants",
            name: name.clone(),
            variant: variant.clone(),
            place: key.place(),
        });
        variants.insert(name, variant);
    }
    variants
}
