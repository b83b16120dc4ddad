//! Owns the templates of `config/templates/`: reading them, where they may lie, and rendering them.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use schema::finding::Finding;
use schema::name::RoleName;
use schema::nearest::nearest;
use schema::tree_of_recipes::DocumentText;
use serde_json::Value;
use store::activation::FOLDERS;
use store::handed_on::is_secret_key;

use super::document::finding;
use super::{ConfigureError, TEMPLATES};

/// The template that says when a host is healthy.
pub const HEALTH: &str = "health.json";

/// The template whose lines are variables for services and shells.
pub const ENVIRONMENT: &str = "environment";

/// The end of the name of a folder of units.
const WANTS: &str = ".target.wants";

/// The longest template, in bytes.
const LONGEST: u64 = 4 << 20;

/// How deep folders of templates may nest.
const DEEPEST: usize = 32;

/// What is wrong with a secret key among templates: what is made of them lies open on every host.
const HOLDS_KEY: &str = "is a secret key, which anybody on the hosts could read";

/// What to do about one.
const OUTSIDE: &str = "bring it to the hosts by other means, and name its file; if anybody else has had this one, make a new one";

/// One template as it was read.
pub(super) struct Template {
    /// Where its text will lie in the package.
    pub(super) path: String,
    pub(super) executable: bool,
    /// Its text, under the name findings call it by.
    pub(super) text: DocumentText,
}

/// The place on hosts that a file of a package is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// `etc`, or `multi-user.target.wants`.
    pub(super) folder: String,
    /// The role it is for; `None` is all.
    pub(super) role: Option<RoleName>,
    /// What follows the folder.
    pub(super) rest: String,
}

/// Reads every template below `recipes/config/templates`, sorted by path; a folder that is not there holds none.
///
/// # Errors
/// All files that can be no templates, or the folder that cannot be read.
pub(super) fn read(recipes: &Path) -> Result<Vec<Template>, ConfigureError> {
    let mut templates = Vec::new();
    let mut findings = Vec::new();
    let folder = recipes.join(TEMPLATES);
    collect(&folder, "", 0, &mut templates, &mut findings)?;
    templates.sort_by(|a, b| a.path.cmp(&b.path));
    if findings.is_empty() {
        Ok(templates)
    } else {
        Err(ConfigureError::findings(findings))
    }
}

fn collect(
    folder: &Path,
    above: &str,
    depth: usize,
    templates: &mut Vec<Template>,
    findings: &mut Vec<Finding>,
) -> Result<(), ConfigureError> {
    let cannot = |source| ConfigureError::unreadable(folder, source);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && above.is_empty() => return Ok(()),
        entries => entries.map_err(cannot)?,
    };
    for entry in entries {
        let entry = entry.map_err(cannot)?;
        let name = entry.file_name();
        let path = format!("{above}{}", name.to_string_lossy());
        let file = format!("{TEMPLATES}/{path}");
        let mut refuse = |message: &str, help: &str| {
            findings.push(Finding::of_file(
                &file,
                None,
                format!("`{file}` {message}."),
                help,
            ));
        };
        let metadata = entry.metadata().map_err(cannot)?;
        if name
            .to_str()
            .is_none_or(|name| name.contains(|c: char| c.is_control() || c == '\\'))
        {
            refuse("has a name that no file of a package may have", "rename it");
        } else if metadata.is_dir() {
            if depth < DEEPEST {
                collect(&entry.path(), &format!("{path}/"), depth + 1, templates, findings)?;
            } else {
                refuse("is nested too deeply", "move it up");
            }
        } else if !metadata.is_file() {
            refuse(
                "is neither a file nor a folder",
                "put a file here; links are not followed",
            );
        } else if metadata.len() > LONGEST {
            refuse("is longer than 4 MiB", "let a package bring what is so large");
        } else {
            match fs::read(entry.path()).map(String::from_utf8) {
                Err(source) => return Err(ConfigureError::unreadable(&entry.path(), source)),
                Ok(Ok(text)) if is_secret_key(text.as_bytes()) => refuse(HOLDS_KEY, OUTSIDE),
                Ok(Err(_)) => refuse("is not UTF-8", "let a package bring what is not text"),
                Ok(Ok(text)) => templates.push(Template {
                    path,
                    executable: metadata.permissions().mode() & 0o100 != 0,
                    text: DocumentText { file, text },
                }),
            }
        }
    }
    Ok(())
}

impl Place {
    /// The place of the file at `path` of a package; `None` when hosts do not activate it.
    pub(super) fn of(path: &str) -> Option<Self> {
        let (top, rest) = path.split_once('/')?;
        let (folder, role) = match top.split_once(WANTS) {
            Some((target, "")) if !target.is_empty() => (top, None),
            Some((target, behind)) if !target.is_empty() => (
                &top[..target.len() + WANTS.len()],
                Some(behind.strip_prefix('_')?),
            ),
            _ => match top.split_once('_') {
                Some((folder, role)) => (folder, Some(role)),
                None => (top, None),
            },
        };
        if !FOLDERS.contains(&folder) && !folder.ends_with(WANTS) {
            return None;
        }
        Some(Self {
            folder: folder.to_owned(),
            role: role.map(str::parse).transpose().ok()?,
            rest: rest.to_owned(),
        })
    }
}

/// What is wrong with where the templates lie.
pub(super) fn check_places(templates: &[Template]) -> Vec<Finding> {
    let is_special = |template: &&Template| template.path != HEALTH && template.path != ENVIRONMENT;
    let misplaced = |template: &Template| {
        if Place::of(&template.path).is_some() {
            return None;
        }
        let path = &template.path;
        let top = path.split(['/', '_']).next().unwrap_or_default();
        let known = FOLDERS.into_iter().chain([HEALTH, ENVIRONMENT]);
        let help = match nearest(top, known) {
            Some(near) if near != top => format!("did you mean `{near}`?"),
            _ => format!(
                "put it below `{}`, `TARGET{WANTS}`, or one of these with `_ROLE` behind; or call it `{HEALTH}` or `{ENVIRONMENT}`",
                FOLDERS.join("`, `")
            ),
        };
        let message = format!("hosts have no place for `{path}`.");
        Some(Finding::of_file(&template.text.file, None, message, help))
    };
    templates
        .iter()
        .filter(is_special)
        .filter_map(misplaced)
        .collect()
}

/// The texts of `templates`, in their order; `context` is all they see.
///
/// # Errors
/// The first mistake of each template that has one.
pub(super) fn render(templates: &[Template], context: &Value) -> Result<Vec<String>, Vec<Finding>> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(syntax());
    environment.set_debug(true);
    // By default the ending of a name would decide how values are spelled.
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    let values = minijinja::Value::from(Serde(context));
    let mut findings = Vec::new();
    for template in templates {
        if let Err(error) = environment.add_template(&template.path, &template.text.text) {
            findings.push(explain(template, &error, context));
        }
    }
    let mut texts = Vec::new();
    for template in templates {
        let rendered = match environment.get_template(&template.path) {
            Ok(parsed) => parsed.render(&values),
            // It could not be parsed, which was told.
            Err(_) => continue,
        };
        match rendered {
            Ok(text) if is_secret_key(text.as_bytes()) => {
                let file = &template.text.file;
                let message = format!("what is rendered of `{file}` {HOLDS_KEY}.");
                findings.push(Finding::of_file(file, None, message, OUTSIDE));
            }
            Ok(text) => texts.push(text),
            Err(error) => {
                let named = error
                    .name()
                    .and_then(|name| templates.iter().find(|other| other.path == name));
                findings.push(explain(named.unwrap_or(template), &error, context));
            }
        }
    }
    if findings.is_empty() {
        Ok(texts)
    } else {
        Err(findings)
    }
}

/// A line that holds nothing but a statement leaves nothing behind, and a file ends as its template does.
fn syntax() -> SyntaxConfig {
    let mut builder = SyntaxConfig::builder();
    builder
        .keep_trailing_newline(true)
        .trim_blocks(true)
        .lstrip_blocks(true);
    // The delimiters are the default ones, which do not contradict each other.
    builder.build().unwrap_or_default()
}

fn explain(template: &Template, error: &minijinja::Error, context: &Value) -> Finding {
    let text = &template.text.text;
    let line_start = error.line().and_then(|line| {
        let before: usize = text
            .split_inclusive('\n')
            .take(line.saturating_sub(1))
            .map(str::len)
            .sum();
        Some(before..before + text.get(before..)?.lines().next().unwrap_or_default().len())
    });
    let span = error.range().or(line_start).unwrap_or(0..0);
    let expression = text.get(span.clone()).unwrap_or_default().trim();
    let (message, help) = match error.kind() {
        ErrorKind::UndefinedError => {
            let message = format!("`{expression}` is not defined.");
            (message, defined(expression, context))
        }
        kind => {
            let detail = error
                .detail()
                .map(|detail| format!(": {detail}"))
                .unwrap_or_default();
            (format!("this cannot be rendered: {kind}{detail}."), String::new())
        }
    };
    finding(&template.text, span, message, help)
}

/// What is defined, for whoever wrote `expression`, which is not.
fn defined(expression: &str, context: &Value) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let path = expression
        .split(|c| !is_word(c))
        .find(|part| !part.is_empty())
        .unwrap_or_default();
    let mut at = context;
    for part in path.split('.') {
        match at.get(part) {
            Some(inner) => at = inner,
            None => {
                let names: Vec<&str> = at
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, _)| name.as_str())
                    .collect();
                return match nearest(part, names.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if names.is_empty() => String::new(),
                    None => format!(
                        "defined here: {}; `{{% if … is defined %}}` asks for an input that may be absent",
                        names.join(", ")
                    ),
                };
            }
        }
    }
    String::new()
}
