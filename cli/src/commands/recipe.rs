//! `store recipe`: checks, starts and pins recipes.

use std::collections::BTreeSet;
use std::process::ExitCode;

use ::schema::finding::{Finding, Severity};
use ::schema::graph::Graph;
use ::schema::name::VariantName;
use ::schema::tree_of_recipes::{Dialect, Tree};
use builder::fetch::{Network, Silent};
use builder::pin::{Pin, PinError, Pinning};
use builder::tree_reader::{self, ReadTreeError};
use serde::Serialize;

use crate::args::{RecipeVerb, Variant};
use crate::context::Context;
use crate::failure::{self, Failure, counted};
use crate::meant::workshop;
use crate::render;

#[derive(Serialize)]
struct Checked {
    packages: Vec<Package>,
    variants: Vec<String>,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct Package {
    name: String,
    variants: Vec<String>,
}

/// Runs the verb.
///
/// # Errors
/// When a tree or recipe cannot be read or written.
pub fn run(context: &Context<'_>, verb: &RecipeVerb) -> Result<ExitCode, Failure> {
    match verb {
        RecipeVerb::Check { variant } => check(context, variant),
        RecipeVerb::New { name } => start(context, name),
        RecipeVerb::Pin { name, yes } => pin(context, name, *yes),
    }
}

fn check(context: &Context<'_>, variant: &Variant) -> Result<ExitCode, Failure> {
    let root = workshop::root(context)?;
    let (tree, mut findings) = match tree_reader::read(&root) {
        Ok(tree) => (Some(tree), Vec::new()),
        Err(ReadTreeError::Findings(findings)) => (None, findings),
        Err(error) => return Err(error.into()),
    };
    if let Some(tree) = &tree {
        findings.extend(tree.warnings.iter().cloned());
        findings.extend(resolve_all(tree, variant.name.as_ref()));
    }
    findings.sort();
    findings.dedup();
    let sound = findings
        .iter()
        .all(|finding| finding.severity == Severity::Warning);
    let document = Checked {
        packages: tree.iter().flat_map(packages).collect(),
        variants: tree
            .iter()
            .flat_map(|tree| tree.infos.keys().flatten().map(ToString::to_string))
            .collect(),
        findings,
    };
    if !context.wants_json() && !document.findings.is_empty() {
        let located = Failure::new("")
            .findings(document.findings.clone())
            .in_tree(&root);
        context.output.drawn(&render::failure::findings(&located));
    }
    let dialect = tree.as_ref().map(|tree| tree.dialect);
    context.output.result(&document, || summary(&document, dialect))?;
    Ok(ExitCode::from(if sound {
        failure::DONE
    } else {
        failure::FAILED
    }))
}

/// What keeps the base, or any variant, from becoming a graph.
fn resolve_all(tree: &Tree, asked: Option<&VariantName>) -> BTreeSet<Finding> {
    let variants: Vec<Option<&VariantName>> = match asked {
        Some(variant) => vec![Some(variant)],
        None => tree.infos.keys().map(Option::as_ref).collect(),
    };
    variants
        .into_iter()
        .filter_map(|variant| Graph::resolve(tree, variant).err())
        .flatten()
        .collect()
}

fn packages(tree: &Tree) -> Vec<Package> {
    let package =
        |(name, variants): (&::schema::name::PackageName, &std::collections::BTreeMap<_, _>)| Package {
            name: name.to_string(),
            variants: variants
                .keys()
                .flatten()
                .map(|variant: &VariantName| variant.to_string())
                .collect(),
        };
    tree.recipes.iter().map(package).collect()
}

fn summary(document: &Checked, dialect: Option<Dialect>) -> String {
    let count = |severity| {
        document
            .findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let packages = counted(document.packages.len(), "package");
    let mut out = match (errors, document.packages.is_empty()) {
        (0, _) => packages,
        (_, true) => counted(errors, "mistake"),
        (_, false) => format!("{packages}, {}", counted(errors, "mistake")),
    };
    if !document.variants.is_empty() {
        out.push_str(&format!(", {}", counted(document.variants.len(), "variant")));
    }
    if warnings > 0 {
        let concerned: BTreeSet<_> = document
            .findings
            .iter()
            .filter(|finding| finding.severity == Severity::Warning)
            .filter_map(|finding| finding.package.as_ref())
            .collect();
        let things = counted(warnings, "thing");
        let why = match dialect {
            Some(Dialect::Dcos) => "to change before they can be built hermetically",
            _ => "better said otherwise",
        };
        let packages = counted(concerned.len(), "package");
        out.push_str(&format!("; {things} in {packages} {why}"));
    }
    out
}

#[derive(Serialize)]
struct Started {
    name: String,
    folder: String,
}

fn start(context: &Context<'_>, name: &str) -> Result<ExitCode, Failure> {
    let name = name
        .parse()
        .map_err(|error: ::schema::name::NameError| Failure::misuse(error.to_string()))?;
    let folder = builder::starter::start(&workshop::root(context)?, &name)?;
    let document = Started {
        name: name.to_string(),
        folder: folder.display().to_string(),
    };
    context.output.result(&document, || {
        format!(
            "{}: fill in the source, let `store recipe pin {}` add its digest, and write `build`",
            document.folder, document.name
        )
    })?;
    Ok(ExitCode::from(failure::DONE))
}

#[derive(Serialize)]
struct Pinned {
    name: String,
    file: String,
    sources: Vec<PinnedSource>,
    written: bool,
}

#[derive(Serialize)]
struct PinnedSource {
    source: String,
    algorithm: &'static str,
    digest: String,
    from: String,
}

fn pin(context: &Context<'_>, name: &str, yes: bool) -> Result<ExitCode, Failure> {
    let name = name
        .parse()
        .map_err(|error: ::schema::name::NameError| Failure::misuse(error.to_string()))?;
    let root = workshop::root(context)?;
    let pinning = Pinning::open(&root, &name)?;
    let store = context.store_or_new()?;
    let fetcher = context.fetcher(Network::Allowed)?;
    let pins = pinning
        .find(&name, &store, &fetcher, &Silent)
        .map_err(|error| match error {
            PinError::Findings(findings) => Failure::new("the recipe has other mistakes")
                .findings(findings)
                .in_tree(&root),
            error => error.into(),
        })?;
    for pin in &pins {
        let digest = pin.digest.to_hex();
        context.output.note(&format!(
            "{}: {} {digest}\n  of {}",
            pin.source,
            pin.digest.algorithm(),
            pin.from
        ));
    }
    let agreed = pins.is_empty() || yes || context.world.agrees("write these digests?");
    if agreed && !pins.is_empty() {
        pinning.write(&pins)?;
    }
    let document = Pinned {
        name: name.to_string(),
        file: pinning.path().display().to_string(),
        sources: pins.iter().map(pinned).collect(),
        written: agreed && !pins.is_empty(),
    };
    context
        .output
        .result(&document, || match (document.written, pins.is_empty()) {
            (true, _) => format!("{} written", document.file),
            (false, true) => "every source has its digest".to_owned(),
            (false, false) => "nothing written; --yes writes without asking".to_owned(),
        })?;
    Ok(ExitCode::from(if agreed {
        failure::DONE
    } else {
        failure::FAILED
    }))
}

fn pinned(pin: &Pin) -> PinnedSource {
    PinnedSource {
        source: pin.source.to_string(),
        algorithm: pin.digest.algorithm(),
        digest: pin.digest.to_hex(),
        from: pin.from.clone(),
    }
}
