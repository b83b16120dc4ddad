//! Owns the fields of a recipe: the type and the bounds of each.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::dcos;
use crate::draft::Place;
use crate::fields::{Fields, Report, parsed, text};
use crate::license::read_license;
use crate::method_parse::{check_bootstrap_paths, read_bootstrap, read_method};
use crate::name::{PackageName, RoleName, VariantName};
use crate::recipe::{Method, Recipe, RecipeFile};
use crate::recipe_parse::VariantDraft;
use crate::requirement_parse::read_requirements;
use crate::source_parse::{Sources, read_sources};
use crate::tree_of_recipes::Dialect;
use crate::url::is_web_page;
use crate::values::{MOST_MEMORY, bytes_of, environment_variable, is_account, is_version, kernel_setting};

/// Every field a recipe may have.
pub(crate) const FIELDS: [&str; 21] = [
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
    "expected_duration",
    "cores",
    "memory",
    "check",
    "bootstrap",
];

/// The longest time a build may be given: a week, in seconds.
const LONGEST: u64 = 7 * 24 * 3600;
const MOST_CORES: u64 = 4096;

/// Reads one variant of a recipe, whose documents are laid over each other already.
pub(crate) struct RecipeReader<'a> {
    pub(crate) name: &'a PackageName,
    pub(crate) fields: Fields<'a>,
}

impl RecipeReader<'_> {
    pub(crate) fn read(
        &self,
        variant: Option<VariantName>,
        files: Vec<RecipeFile>,
        report: &mut Report,
    ) -> VariantDraft {
        self.refuse_unknown(report);
        let earlier = report.findings.len();
        let Sources { map, folders } = read_sources(&self.fields, self.name.as_str(), report);
        let sources_are_sound = report.findings.len() == earlier;
        let fields = &self.fields;
        let roles = self.roles(report);
        let words = |field, report: &mut Report| fields.text(field, report).unwrap_or_default().to_owned();
        let mut recipe = Recipe {
            name: self.name.clone(),
            variant,
            version: self.version(report),
            description: words("description", report),
            license: read_license(fields, report),
            homepage: self.homepage(report),
            sources: map,
            requires: read_requirements(fields, "requires", report),
            build_requires: read_requirements(fields, "build_requires", report),
            toolchain: fields
                .get("toolchain")
                .map(|_| read_requirements(fields, "toolchain", report)),
            environment: fields.text_map("environment", report, environment_variable),
            username: self.account("username", report),
            group: self.account("group", report),
            state_directory: fields.flag("state_directory", report).unwrap_or(false),
            sysctl: self.sysctl(report),
            roles: roles.iter().map(|(role, _)| role.clone()).collect(),
            timeout: fields
                .number("timeout", (1, LONGEST), report)
                .map(Duration::from_secs),
            expected_duration: fields
                .number("expected_duration", (1, LONGEST), report)
                .map(Duration::from_secs),
            cores: fields
                .number("cores", (1, MOST_CORES), report)
                .and_then(|cores| u32::try_from(cores).ok()),
            memory: self.memory(report),
            check: fields.flag("check", report).unwrap_or(true),
            bootstrap: read_bootstrap(fields, report),
            method: Method::Script,
            files,
            place: fields.place().clone(),
        };
        if let (Some((key, _)), None) = (fields.entry("group"), fields.get("username")) {
            let help = "add the `username` whose group it is, or remove it";
            report.error(&key.place(), "`group` stands without `username`.", help);
        }
        if report.dialect == Dialect::Dcos {
            dcos::read_own_fields(fields, &recipe, report);
        } else {
            recipe.method = read_method(fields, &recipe, sources_are_sound, report);
            check_bootstrap_paths(fields, &recipe, sources_are_sound, report);
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

    /// Programs follow it, and bills of materials hold nothing else.
    fn homepage(&self, report: &mut Report) -> String {
        let homepage = self.fields.text("homepage", report).unwrap_or_default();
        if let Some(node) = self.fields.get("homepage")
            && !homepage.is_empty()
            && !is_web_page(homepage)
        {
            report.advice(
                &node.place(),
                format!("`{homepage}` is not the address of a web page."),
                "write an address such as `https://example.org/`: the host in lower case, spaces and the like as `%20`",
            );
        }
        homepage.to_owned()
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
}
