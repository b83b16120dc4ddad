//! Owns reading one recipe's documents: the base, its variants laid over it, and every mistake in them at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::dcos;
use crate::draft::{Draft, Node, Place};
use crate::fields::{Fields, Report, list, parsed, text};
use crate::finding::Finding;
use crate::listing::{Entry, EntryKind};
use crate::name::{PackageName, RoleName, VariantName};
use crate::path::inside;
use crate::recipe::{FileContent, Method, Recipe, RecipeFile, Requirement};
use crate::source::SourceForm;
use crate::source_parse::{FolderSource, Sources, read_sources};
use crate::tree_of_recipes::{Dialect, DocumentText};

/// What ends the name of every document of a recipe.
pub const BUILDINFO: &str = "buildinfo.json";

/// One recipe's folder as it was read.
#[derive(Debug, Clone, Default)]
pub struct RecipeText {
    /// The folder's name.
    pub folder: String,
    /// `buildinfo.json` and `<variant>.buildinfo.json`, those that are there.
    pub documents: Vec<DocumentText>,
    /// Everything else in the folder, paths relative to it, in any order.
    pub entries: Vec<Entry>,
    /// What the reader could not read.
    pub problems: Vec<Finding>,
}

/// One recipe, all its variants read; its mistakes are known, its surroundings are not.
pub struct RecipeDraft {
    pub(crate) folder: String,
    pub(crate) name: Option<PackageName>,
    pub(crate) variants: BTreeMap<Option<VariantName>, VariantDraft>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) findings: Vec<Finding>,
    /// Whether one of its documents is no JSON, so that its variants are not known.
    pub(crate) unreadable: bool,
}

pub(crate) struct VariantDraft {
    pub(crate) recipe: Recipe,
    /// The recipe's roles and where they stand.
    pub(crate) roles: Vec<(RoleName, Place)>,
    pub(crate) folders: Vec<FolderSource>,
}

const FIELDS: [&str; 20] = [
    "version",
    "description",
    "license",
    "homepage",
    "single_source",
    "sources",
    "requires",
    "build_requires",
    "toolchain",
    "environment",
    "username",
    "group",
    "state_directory",
    "sysctl",
    "roles",
    "timeout",
    "cores",
    "memory",
    "check",
    "bootstrap",
];

/// The longest time a build may be given: a week, in seconds.
const LONGEST: u64 = 7 * 24 * 3600;
const MOST_CORES: u64 = 4096;
/// The most memory a build may be given: 64 TiB, in bytes.
const MOST_MEMORY: u64 = 1 << 46;

impl RecipeDraft {
    /// Reads the documents of one recipe. Never fails: mistakes are kept as findings.
    pub fn read(recipe: RecipeText, dialect: Dialect) -> Self {
        let documents: Vec<_> = recipe.documents.into_iter().map(Arc::new).collect();
        let mut report = Report::new(None, dialect);
        let name = folder_name(&recipe.folder, &documents, &mut report);
        report.package = name.clone();
        for problem in recipe.problems {
            report.findings.push(Finding {
                package: name.clone(),
                ..problem
            });
        }
        let files = files_of(recipe.entries.iter());
        let mut drafts = BTreeMap::new();
        let mut unreadable = false;
        for document in &documents {
            let Some(variant) = variant_of(document, BUILDINFO, &mut report) else {
                continue;
            };
            match Draft::parse(document) {
                Ok(draft) => {
                    drafts.insert(variant, draft);
                }
                Err(mut finding) => {
                    unreadable = true;
                    finding.package.clone_from(&name);
                    report.findings.push(*finding);
                }
            }
        }
        let mut variants = BTreeMap::new();
        for (variant, draft) in &drafts {
            let base = if dialect == Dialect::Native {
                drafts.get(&None)
            } else {
                None
            };
            let mut fields = Fields::of_draft(draft, "a recipe", &mut report);
            if let (Some(base), Some(_)) = (base, variant) {
                fields = Fields::of_draft(base, "a recipe", &mut report).lay_over(fields);
            }
            let Some(name) = &name else {
                continue;
            };
            let reader = RecipeReader {
                name,
                folder: &recipe.folder,
                fields,
            };
            variants.insert(
                variant.clone(),
                reader.read(variant.clone(), files.clone(), &mut report),
            );
        }
        Self {
            folder: recipe.folder,
            name,
            variants,
            entries: recipe.entries,
            findings: report.findings,
            unreadable,
        }
    }

    /// Folders of the tree, relative to its root, that sources name and that lie outside this recipe's own.
    pub fn outside_folders(&self) -> impl Iterator<Item = &str> {
        let folders = self.variants.values().flat_map(|variant| &variant.folders);
        folders
            .map(|source| source.path.as_str())
            .filter(|path| inside(&self.folder, path).is_none())
    }
}

fn folder_name(folder: &str, documents: &[Arc<DocumentText>], report: &mut Report) -> Option<PackageName> {
    match folder.parse() {
        Ok(name) => Some(name),
        Err(why) => {
            let file = documents.first().map_or(folder, |document| &document.file);
            let help = "rename the recipe's folder: it gives the package its name";
            report
                .findings
                .push(Finding::of_file(file, None, format!("{why}."), help));
            None
        }
    }
}

/// Which variant a document describes, by its file's name: `x` for `x.buildinfo.json`.
pub(crate) fn variant_of(
    document: &Arc<DocumentText>,
    ending: &str,
    report: &mut Report,
) -> Option<Option<VariantName>> {
    let file = document.file.rsplit('/').next().unwrap_or_default();
    let stem = file.strip_suffix(ending)?;
    let Some(variant) = stem.strip_suffix('.') else {
        return stem.is_empty().then_some(None);
    };
    match variant.parse() {
        Ok(variant) => Some(Some(variant)),
        Err(why) => {
            let help = format!("rename the file: `<variant>.{ending}`");
            let package = report.package.clone();
            report
                .findings
                .push(Finding::of_file(&document.file, package, format!("{why}."), help));
            None
        }
    }
}

/// The files among `entries`, sorted by path bytes.
fn files_of<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<RecipeFile> {
    let file = |entry: &Entry| {
        let path = entry.path.clone();
        FileContent::of_entry(&entry.kind).map(|content| RecipeFile { path, content })
    };
    let mut files: Vec<_> = entries.filter_map(file).collect();
    files.sort_by(|one, other| one.path.as_bytes().cmp(other.path.as_bytes()));
    files
}

struct RecipeReader<'a> {
    name: &'a PackageName,
    folder: &'a str,
    fields: Fields<'a>,
}

impl RecipeReader<'_> {
    fn read(
        &self,
        variant: Option<VariantName>,
        files: Vec<RecipeFile>,
        report: &mut Report,
    ) -> VariantDraft {
        self.refuse_unknown(report);
        let earlier = report.findings.len();
        let Sources { map, folders } = read_sources(&self.fields, self.folder, report);
        let sources_are_sound = report.findings.len() == earlier;
        let fields = &self.fields;
        let roles = self.roles(report);
        let words = |field, report: &mut Report| fields.text(field, report).unwrap_or_default().to_owned();
        let mut recipe = Recipe {
            name: self.name.clone(),
            variant,
            version: self.version(report),
            description: words("description", report),
            license: words("license", report),
            homepage: words("homepage", report),
            sources: map,
            requires: self.requirements("requires", report),
            build_requires: self.requirements("build_requires", report),
            toolchain: fields
                .get("toolchain")
                .map(|_| self.requirements("toolchain", report)),
            environment: fields.text_map("environment", report, environment_variable),
            username: self.account("username", report),
            group: self.account("group", report),
            state_directory: fields.flag("state_directory", report).unwrap_or(false),
            sysctl: self.sysctl(report),
            roles: roles.iter().map(|(role, _)| role.clone()).collect(),
            timeout: fields
                .number("timeout", (1, LONGEST), report)
                .map(Duration::from_secs),
            cores: fields
                .number("cores", (1, MOST_CORES), report)
                .and_then(|cores| u32::try_from(cores).ok()),
            memory: self.memory(report),
            check: fields.flag("check", report).unwrap_or(true),
            bootstrap: self.bootstrap(report),
            method: Method::Script,
            files,
            place: fields.place().clone(),
        };
        if report.dialect == Dialect::Dcos {
            dcos::read_own_fields(fields, &recipe, report);
        } else {
            recipe.method = self.method(&recipe, sources_are_sound, report);
            self.check_paths_of_bootstrap(&recipe, sources_are_sound, report);
        }
        VariantDraft {
            recipe,
            roles,
            folders,
        }
    }

    fn refuse_unknown(&self, report: &mut Report) {
        let mut known = FIELDS.to_vec();
        if report.dialect == Dialect::Dcos {
            known.extend(dcos::RECIPE_FIELDS);
        }
        self.fields.refuse_unknown(&known, report, |field| match field {
            "name" => Some("remove it: the recipe's folder gives the package its name"),
            "docker" => Some("remove it, and name the tools the build needs in `build_requires`"),
            "build_script" => Some("remove it, and call the script `build`"),
            "version_extra" => Some("write `version`"),
            "source" => Some("write `single_source`"),
            "depends" | "dependencies" | "deps" => Some("write `requires`, or `build_requires`"),
            _ => None,
        });
    }

    fn version(&self, report: &mut Report) -> String {
        let version = self.fields.text("version", report);
        if let (Some(text), Some(node)) = (version, self.fields.get("version"))
            && !is_version(text)
        {
            report.error(
                &node.place(),
                format!("`{text}` cannot be a version."),
                "write up to 100 letters, digits and `. _ + ~ : -`, e.g. `\"1.2.13\"`",
            );
        }
        version.unwrap_or_default().to_owned()
    }

    fn requirements(&self, field: &'static str, report: &mut Report) -> Vec<Requirement> {
        read_requirements(&self.fields, field, report)
    }

    fn account(&self, field: &str, report: &mut Report) -> Option<String> {
        let name = self.fields.text(field, report)?;
        let place = self.fields.get(field)?.place();
        if !is_account(name) {
            report.error(
                &place,
                format!("`{name}` cannot be a `{field}`."),
                "write up to 32 of a-z, 0-9, `_` and `-`, starting with a letter or `_`",
            );
            return None;
        }
        Some(name.to_owned())
    }

    fn sysctl(&self, report: &mut Report) -> BTreeMap<String, BTreeMap<String, String>> {
        let mut services = BTreeMap::new();
        let Some(node) = self.fields.get("sysctl") else {
            return services;
        };
        let Some(members) = Fields::of_node(node, "sysctl", "`sysctl`", report) else {
            return services;
        };
        for (service, node) in members.entries() {
            let field = format!("sysctl.{}", service.text);
            let Some(settings) = Fields::of_node(node, &field, "a service's settings", report) else {
                continue;
            };
            let settings = settings.to_text_map(&field, report, kernel_setting);
            services.insert(service.text.to_owned(), settings);
        }
        services
    }

    fn roles(&self, report: &mut Report) -> Vec<(RoleName, Place)> {
        let mut roles: Vec<(RoleName, Place)> = Vec::new();
        for node in self.fields.list("roles", report) {
            let Some(role) = text(node, "roles", report) else {
                continue;
            };
            if let Some(role) = parsed::<RoleName>(node, role, "write a role's name, e.g. `master`", report) {
                if roles.iter().any(|(earlier, _)| *earlier == role) {
                    report.error(
                        &node.place(),
                        format!("role `{role}` is named twice."),
                        "remove one",
                    );
                } else {
                    roles.push((role, node.place()));
                }
            }
        }
        roles.sort_by(|(one, _), (other, _)| one.cmp(other));
        roles
    }

    fn memory(&self, report: &mut Report) -> Option<u64> {
        let node = self.fields.get("memory")?;
        if node.as_number().is_some() {
            return self.fields.number("memory", (1, MOST_MEMORY), report);
        }
        let amount = node.as_text().and_then(bytes_of);
        if amount.is_none() {
            let message = format!("`memory` is not an amount of memory, but {}.", node.kind());
            report.error(
                &node.place(),
                message,
                "write bytes, or e.g. `\"512M\"` or `\"2G\"`",
            );
        }
        amount
    }

    fn bootstrap(&self, report: &mut Report) -> Vec<Vec<String>> {
        let mut steps = Vec::new();
        for step in self.fields.list("bootstrap", report) {
            let arguments = list(step, "bootstrap", report);
            let arguments: Vec<_> = arguments
                .into_iter()
                .filter_map(|node| text(node, "bootstrap", report))
                .collect();
            let command = arguments.iter().find(|argument| !is_assignment(argument));
            if command.is_none_or(|command| command.is_empty()) && step.as_list().is_some() {
                report.error(
                    &step.place(),
                    "this step of `bootstrap` runs no program.",
                    "write `[\"NAME=VALUE\", …, \"program\", \"argument\", …]`",
                );
            }
            steps.push(arguments.into_iter().map(str::to_owned).collect());
        }
        steps
    }

    fn method(&self, recipe: &Recipe, sources_are_sound: bool, report: &mut Report) -> Method {
        let script = recipe.files.iter().find(|file| file.path == "build");
        if let Some(RecipeFile {
            content: FileContent::Symlink { .. },
            ..
        }) = script
        {
            report.error(
                &recipe.place,
                "`build` is a symbolic link.",
                "make it a regular file",
            );
        }
        match (self.fields.entry("bootstrap"), script) {
            (Some((key, _)), Some(_)) => {
                let message = "`bootstrap` and the file `build` exclude each other.";
                report.error(&key.place(), message, "remove one of the two");
                Method::Bootstrap
            }
            (Some(_), None) => Method::Bootstrap,
            (None, Some(_)) => Method::Script,
            (None, None) => {
                let forms: Vec<_> = recipe.sources.values().map(|source| &source.form).collect();
                let seed = matches!(forms[..], [SourceForm::Archive | SourceForm::Folder]);
                if !seed && sources_are_sound {
                    report.error(
                        &recipe.place,
                        format!("there is no `{}/build`.", self.folder),
                        "write the script; without it a recipe is a seed, whose one unpacked source is its output",
                    );
                }
                Method::Seed
            }
        }
    }

    /// Whatever `bootstrap` names below `/pkg/build`, `/pkg/extra` and `/pkg/src` must be there.
    fn check_paths_of_bootstrap(&self, recipe: &Recipe, sources_are_sound: bool, report: &mut Report) {
        let steps = self
            .fields
            .get("bootstrap")
            .and_then(|node| node.as_list())
            .into_iter()
            .flatten();
        for node in steps.filter_map(|step| step.as_list()).flatten() {
            let Some(argument) = node.as_text() else {
                continue;
            };
            for path in paths_after(argument, "/pkg/build/") {
                require_file(node, path, recipe, report);
            }
            for path in paths_after(argument, "/pkg/extra/") {
                require_file(node, &format!("extra/{path}"), recipe, report);
            }
            for path in paths_after(argument, "/pkg/src/").filter(|_| sources_are_sound) {
                let source = path.split('/').next().unwrap_or_default();
                if !recipe.sources.contains_key(source) {
                    let names = recipe.sources.keys().map(|name| name.as_str());
                    let help =
                        crate::nearest::did_you_mean(source, names, || "add it to `sources`".to_owned());
                    report.error(&node.place(), format!("there is no source `{source}`."), help);
                }
            }
        }
    }
}

/// Reads a list of dependencies: names, or objects of a name and a variant.
pub(crate) fn read_requirements(
    fields: &Fields<'_>,
    field: &'static str,
    report: &mut Report,
) -> Vec<Requirement> {
    let mut requirements: Vec<Requirement> = Vec::new();
    for node in fields.list(field, report) {
        let Some(requirement) = read_requirement(node, field, report) else {
            continue;
        };
        if requirements
            .iter()
            .any(|earlier| earlier.name == requirement.name)
        {
            let message = format!("`{}` stands twice in `{field}`.", requirement.name);
            report.error(&requirement.place, message, "remove one of the two");
        } else {
            requirements.push(requirement);
        }
    }
    requirements
}

fn read_requirement(node: Node<'_>, field: &'static str, report: &mut Report) -> Option<Requirement> {
    let help = "write the name of a recipe's folder";
    if node.as_members().is_none() {
        let name = text(node, field, report)?;
        return Some(Requirement {
            name: parsed(node, name, help, report)?,
            variant: None,
            place: node.place(),
        });
    }
    let fields = Fields::of_node(node, field, "a dependency", report)?;
    fields.refuse_unknown(&["name", "variant"], report, |_| None);
    fields.required("name", help, report)?;
    let variant = match fields.get("variant") {
        Some(node) if !node.is_null() => {
            Some(fields.parsed("variant", "write the name of a variant", report)?)
        }
        _ => None,
    };
    Some(Requirement {
        name: fields.parsed("name", help, report)?,
        variant,
        place: node.place(),
    })
}

fn require_file(node: Node<'_>, path: &str, recipe: &Recipe, report: &mut Report) {
    let path = path.trim_end_matches('/');
    let is_there = |file: &RecipeFile| file.path == path || inside(path, &file.path).is_some();
    if !path.is_empty() && !recipe.files.iter().any(is_there) {
        let message = format!("there is no file `{}/{path}`.", recipe.name);
        let names = recipe.files.iter().map(|file| file.path.as_str());
        let help = crate::nearest::did_you_mean(path, names, || "add it, or mend the path".to_owned());
        report.error(&node.place(), message, help);
    }
}

/// The paths that follow `prefix` in `argument`; those with variables or patterns in them are left out.
fn paths_after<'a>(argument: &'a str, prefix: &'static str) -> impl Iterator<Item = &'a str> {
    let ends = |c: char| c.is_whitespace() || matches!(c, ':' | ',' | ';' | '"' | '\'' | ')');
    let paths = argument.split(prefix).skip(1);
    let paths = paths.map(move |rest| rest.split(ends).next().unwrap_or_default());
    paths.filter(|path| !path.contains(['$', '*', '?', '[']))
}

/// Whether `argument` is a leading `NAME=VALUE` of a step of `bootstrap`.
pub fn is_assignment(argument: &str) -> bool {
    argument
        .split_once('=')
        .is_some_and(|(name, _)| is_variable(name))
}

fn is_variable(name: &str) -> bool {
    let starts = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.bytes().next().is_some_and(starts) && name.bytes().all(|byte| starts(byte) || byte.is_ascii_digit())
}

fn environment_variable(name: &str, value: &str) -> Result<(), String> {
    if !is_variable(name) {
        return Err("a variable's name is made of letters, digits and `_`".to_owned());
    }
    if value.contains(['\0', '\n', '\r']) {
        return Err("its value must be one line".to_owned());
    }
    Ok(())
}

fn kernel_setting(key: &str, value: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/*".contains(&byte);
    if key.is_empty() || !key.bytes().all(allowed) || value.contains(['\0', '\n', '\r']) {
        return Err("it is not a kernel setting".to_owned());
    }
    Ok(())
}

fn is_account(name: &str) -> bool {
    let starts = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    let goes_on = |byte: u8| starts(byte) || byte.is_ascii_digit() || byte == b'-';
    name.len() <= 32 && name.bytes().next().is_some_and(starts) && name.bytes().all(goes_on)
}

/// Whether `text` can be a version: it becomes part of file names and of the environment.
pub(crate) fn is_version(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._+~:-".contains(&byte);
    (1..=100).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with(['-', '.'])
}

fn bytes_of(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['K', 'M', 'G', 'T']);
    let shift = match text.get(digits.len()..)? {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    let sound = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let amount = sound.then(|| digits.parse::<u64>().ok()).flatten()?;
    amount
        .checked_mul(1 << shift)
        .filter(|bytes| (1..=MOST_MEMORY).contains(bytes))
}

/// The entries below `folder` with paths relative to it; `None` when there is no such folder.
pub(crate) fn entries_below(entries: &[Entry], folder: &str) -> Option<Vec<Entry>> {
    let below: Vec<_> = entries
        .iter()
        .filter_map(|entry| {
            let path = inside(folder, &entry.path)?.to_owned();
            let kind = entry.kind.clone();
            Some(Entry { path, kind })
        })
        .collect();
    let is_folder = |entry: &Entry| entry.path == folder && entry.kind == EntryKind::Dir;
    (!below.is_empty() || entries.iter().any(is_folder)).then_some(below)
}
