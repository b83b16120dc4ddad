//! Owns how a recipe's output comes about: by its script, by the steps of `bootstrap`, or as its one source.

use crate::draft::Node;
use crate::fields::{Fields, Report, list, text};
use crate::nearest::did_you_mean;
use crate::path::inside;
use crate::recipe::{FileContent, Method, Recipe, RecipeFile, is_assignment};
use crate::source::SourceForm;

/// The argument vectors of `bootstrap`, each of which must run something.
pub(crate) fn read_bootstrap(fields: &Fields<'_>, report: &mut Report) -> Vec<Vec<String>> {
    let mut steps = Vec::new();
    for step in fields.list("bootstrap", report) {
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

/// Which of the three ways it is. `sources_are_sound` is false when `recipe.sources` lacks some that had mistakes.
pub(crate) fn read_method(
    fields: &Fields<'_>,
    recipe: &Recipe,
    sources_are_sound: bool,
    report: &mut Report,
) -> Method {
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
    match (fields.entry("bootstrap"), script) {
        (Some((key, node)), _) if node.as_list().is_some_and(|mut steps| steps.next().is_none()) => {
            report.error(
                &key.place(),
                "`bootstrap` has no steps.",
                "remove it, or write its steps",
            );
            Method::Bootstrap
        }
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
                        format!("there is no `{}/build`.", recipe.name),
                        "write the script; without it a recipe is a seed, whose one unpacked source is its output",
                    );
            }
            Method::Seed
        }
    }
}

/// Whatever `bootstrap` names below `/pkg/build`, `/pkg/extra` and `/pkg/src` must be there.
pub(crate) fn check_bootstrap_paths(
    fields: &Fields<'_>,
    recipe: &Recipe,
    sources_are_sound: bool,
    report: &mut Report,
) {
    let steps = fields
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
                let help = did_you_mean(source, names, || "add it to `sources`".to_owned());
                report.error(&node.place(), format!("there is no source `{source}`."), help);
            }
        }
    }
}

fn require_file(node: Node<'_>, path: &str, recipe: &Recipe, report: &mut Report) {
    let path = path.trim_end_matches('/');
    let is_there = |file: &RecipeFile| file.path == path || inside(path, &file.path).is_some();
    if !path.is_empty() && !recipe.files.iter().any(is_there) {
        let message = format!("there is no file `{}/{path}`.", recipe.name);
        let names = recipe.files.iter().map(|file| file.path.as_str());
        let help = did_you_mean(path, names, || "add it, or mend the path".to_owned());
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
