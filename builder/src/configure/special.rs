//! Owns the rendered texts that are no files of the package: the variables, and when a host is healthy.

use std::collections::BTreeMap;

use schema::finding::Finding;
use schema::manifest::Health;
use schema::tree_of_recipes::DocumentText;
use schema::values::environment_variable;

use super::document::finding;

/// Reads `KEY=VALUE` lines; empty ones and those that begin with `#` say nothing.
///
/// # Errors
/// Every line that is none, with its number in the rendered text.
pub fn environment(rendered: &DocumentText) -> Result<BTreeMap<String, String>, Vec<Finding>> {
    let mut variables = BTreeMap::new();
    let mut findings = Vec::new();
    let mut start = 0;
    for line in rendered.text.split_inclusive('\n') {
        let span = start..start + line.trim_end().len();
        start += line.len();
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let refused = match line.split_once('=') {
            None => Some("`KEY=VALUE` is expected".to_owned()),
            Some((key, value)) => match environment_variable(key, value) {
                Err(why) => Some(why),
                Ok(()) if variables.insert(key.to_owned(), value.to_owned()).is_some() => {
                    Some("it is set twice".to_owned())
                }
                Ok(()) => None,
            },
        };
        if let Some(why) = refused {
            let message = format!("the rendered line `{line}` sets no variable: {why}.");
            findings.push(finding(
                rendered,
                span,
                message,
                "mend the template, or the input in it",
            ));
        }
    }
    if findings.is_empty() {
        Ok(variables)
    } else {
        Err(findings)
    }
}

/// Reads when a host is healthy.
///
/// # Errors
/// When it is not JSON of that shape.
pub fn health(rendered: &DocumentText) -> Result<Health, Vec<Finding>> {
    let parsed: Result<Health, _> = serde_json::from_str(&rendered.text);
    match parsed {
        Ok(mut health) => {
            health.units.sort();
            health.units.dedup();
            Ok(health)
        }
        Err(error) => {
            let line = error.line().saturating_sub(1);
            let at: usize = rendered.text.split_inclusive('\n').take(line).map(str::len).sum();
            let message = format!("the rendered text does not say when a host is healthy: {error}.");
            let help =
                "write {\"units\": [\"NAME.service\"], \"command\": \"bin/NAME\", \"deadline_seconds\": 30}";
            Err(vec![finding(rendered, at..at, message, help)])
        }
    }
}
