//! Owns the configuration package: its files, and what the manifest says because of it.

use std::collections::BTreeMap;
use std::path::Path;

use schema::digest::Digest;
use schema::finding::Finding;
use schema::manifest::ActiveManifest;
use schema::name::PackageName;
use schema::platform::{Platform, Prefix};
use schema::recipe::{FileContent, RecipeFile};
use schema::resolved::{self, ResolvedRecipe};
use schema::tree_of_recipes::DocumentText;
use serde_json::{Value, json};
use store::artifact::append::{Configuration, ContentFile};

use super::inputs::{IP_DETECT, Inputs, STORE};
use super::templates::{self, ENVIRONMENT, HEALTH, Template};
use super::{ConfigureError, Request, document, read_small, special};

/// Where the script that prints a host's address lies.
const IP_DETECT_PATH: &str = "bin/ip-detect";

/// The version of every configuration package. Not the distribution's: a new release whose rendered files are the same
/// has the same configuration, and its hosts have no reason to restart anything.
const VERSION: &str = "1";

/// What a manifest says of the distribution, checked.
pub(super) struct Facts {
    pub(super) name: PackageName,
    pub(super) prefix: Prefix,
    pub(super) platform: Platform,
    pub(super) source_date_epoch: u64,
}

impl Facts {
    pub(super) fn of(manifest: &ActiveManifest) -> Result<Self, ConfigureError> {
        let unfit = |error: &dyn std::error::Error| ConfigureError::Unfit(error.to_string());
        let name = format!("{}-config", manifest.name);
        Ok(Self {
            name: name.parse().map_err(|error| unfit(&error))?,
            prefix: manifest.prefix.parse().map_err(|error| unfit(&error))?,
            platform: manifest.platform.parse().map_err(|error| unfit(&error))?,
            source_date_epoch: manifest.source_date_epoch,
        })
    }
}

/// Renders everything.
pub(super) fn render(
    request: &Request<'_>,
    facts: &Facts,
    manifest: &ActiveManifest,
    inputs: Inputs,
    templates: &[Template],
) -> Result<Configuration, ConfigureError> {
    let context = context(facts, manifest, &inputs);
    let texts = templates::render(templates, &context).map_err(ConfigureError::findings)?;
    let mut made = Made::default();
    for (template, text) in templates.iter().zip(texts) {
        made.take(template, text);
    }
    if let Some((path, span)) = &inputs.ip_detect {
        let script = ip_detect(request, path, span.clone())?;
        if made.files.iter().any(|file| file.path == IP_DETECT_PATH) {
            let file = format!("{}/{IP_DETECT_PATH}", super::TEMPLATES);
            let message = format!("`{IP_DETECT_PATH}` is the place of the script that `{IP_DETECT}` names.");
            made.findings
                .push(Finding::of_file(file, None, message, "remove the template"));
        }
        made.files.push(script);
    }
    made.findings.extend(made.lame_command());
    if !made.findings.is_empty() {
        return Err(ConfigureError::mistakes(made.findings, made.texts));
    }
    Ok(Configuration {
        recipe: recipe(facts, &made),
        files: made.files,
        health: made.health,
        ip_detect: inputs.ip_detect.map(|_| IP_DETECT_PATH.to_owned()),
        secrets: inputs.secrets,
    })
}

/// What came out of the templates.
#[derive(Default)]
struct Made {
    files: Vec<ContentFile>,
    environment: BTreeMap<String, String>,
    health: Option<schema::manifest::Health>,
    findings: Vec<Finding>,
    texts: BTreeMap<String, String>,
}

impl Made {
    /// A command that hosts could not run would be found at the end of each one's deadline.
    fn lame_command(&self) -> Option<Finding> {
        let command = self.health.as_ref()?.command.as_ref()?;
        let file = self.files.iter().find(|file| file.path == *command)?;
        let template = format!("{}/{}", super::TEMPLATES, file.path);
        let message = format!("`{command}` is the command of `{HEALTH}`, but it may not be run.");
        let lame = Finding::of_file(template, None, message, "make the template executable");
        (!file.executable).then_some(lame)
    }

    fn take(&mut self, template: &Template, text: String) {
        let rendered = DocumentText {
            file: format!("{} (rendered)", template.text.file),
            text,
        };
        let taken = match template.path.as_str() {
            ENVIRONMENT => special::environment(&rendered).map(|environment| self.environment = environment),
            HEALTH => special::health(&rendered).map(|health| self.health = Some(health)),
            path => {
                self.files.push(ContentFile {
                    path: path.to_owned(),
                    executable: template.executable,
                    bytes: rendered.text.into_bytes(),
                });
                return;
            }
        };
        if let Err(findings) = taken {
            self.findings.extend(findings);
            self.texts.insert(rendered.file, rendered.text);
        }
    }
}

/// All that templates see: the inputs, and `store`.
fn context(facts: &Facts, manifest: &ActiveManifest, inputs: &Inputs) -> Value {
    let mut context = inputs.values.clone();
    let previous = manifest.configuration_package().map(|package| &package.id);
    let packages = manifest
        .packages
        .iter()
        .filter(|package| Some(&package.id) != previous);
    let packages = packages.map(|package| {
        let id = package.id.to_string();
        let path = format!("{}/packages/{id}", manifest.prefix);
        let facts = json!({"id": id, "version": package.version, "path": path});
        (package.id.name().to_string(), facts)
    });
    let store = json!({
        "prefix": manifest.prefix,
        "platform": manifest.platform,
        "name": manifest.name,
        "version": manifest.version,
        "packages": packages.collect::<serde_json::Map<_, _>>(),
    });
    if let Some(values) = context.as_object_mut() {
        values.insert(STORE.to_owned(), store);
        if inputs.ip_detect.is_some() {
            // Where the script lies here is nothing that hosts should see.
            let path = format!("{}/{IP_DETECT_PATH}", facts.prefix);
            values.insert(IP_DETECT.to_owned(), Value::String(path));
        }
    }
    context
}

fn ip_detect(
    request: &Request<'_>,
    path: &str,
    span: std::ops::Range<usize>,
) -> Result<ContentFile, ConfigureError> {
    let folder = request.inputs.parent().unwrap_or(Path::new(""));
    let read = read_small(&folder.join(path), path);
    let refused = match &read {
        Ok(bytes) if bytes.starts_with(b"#!") => None,
        Ok(_) => Some(format!("`{path}` does not begin with `#!`.")),
        Err(error) => Some(format!("`{IP_DETECT}` names no script: {error}.")),
    };
    match (read, refused) {
        (Ok(bytes), None) => Ok(ContentFile {
            path: IP_DETECT_PATH.to_owned(),
            executable: true,
            bytes,
        }),
        (_, refused) => {
            let text = super::read_document(request.inputs, request.inputs_name)?;
            let help = "write a path relative to the configuration file; the script begins like `#!/bin/sh`";
            let finding = document::finding(&text, span, refused.unwrap_or_default(), help);
            Err(ConfigureError::findings(vec![finding]))
        }
    }
}

/// What the package's ID is the digest of: the rendered files, and nothing of how they came to be.
fn recipe(facts: &Facts, made: &Made) -> ResolvedRecipe {
    let file = |file: &ContentFile| RecipeFile {
        path: file.path.clone(),
        content: FileContent::File {
            executable: file.executable,
            blake3: Digest::of(&file.bytes),
        },
    };
    let mut files: Vec<RecipeFile> = made.files.iter().map(file).collect();
    files.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
    ResolvedRecipe {
        format: resolved::FORMAT,
        // Nothing was run, so no sandbox had a say.
        sandbox: resolved::RENDERED,
        name: facts.name.clone(),
        version: VERSION.to_owned(),
        variant: None,
        platform: facts.platform,
        prefix: facts.prefix.clone(),
        source_date_epoch: facts.source_date_epoch,
        files,
        bootstrap: Vec::new(),
        sources: BTreeMap::new(),
        requires: Vec::new(),
        build_requires: Vec::new(),
        environment: made.environment.clone(),
        username: None,
        group: None,
        state_directory: false,
        sysctl: BTreeMap::new(),
        roles: Vec::new(),
        check: false,
        local: None,
    }
}
