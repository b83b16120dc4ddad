//! `store generations`: lists what a host has been, and can be again.

use ::schema::digest::Digest;
use ::schema::generation::{GenerationNumber, Override};
use ::schema::name::RoleName;
use serde::Serialize;
use store::host::Host;

use crate::args::hosts::At;
use crate::context::Context;
use crate::failure::{Failure, counted};
use crate::meant::host;
use crate::render::text;

#[derive(Serialize)]
struct Document {
    current: Option<GenerationNumber>,
    generations: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    generation: GenerationNumber,
    current: bool,
    #[serde(flatten)]
    content: Content,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content {
    Whole {
        root_digest: Digest,
        name: String,
        version: String,
        roles: Vec<RoleName>,
        packages: usize,
        configuration: Option<Digest>,
        overrides: Vec<Override>,
    },
    Damaged {
        problem: String,
    },
}

/// Runs the verb.
///
/// # Errors
/// When the host cannot be read.
pub fn run(context: &Context<'_>, at: &At) -> Result<(), Failure> {
    let host = host::open(context, at)?;
    let current = host.current().map_err(host::failed)?;
    let mut numbers = host.generations()?;
    // The one that is active is told of even when its folder is gone.
    numbers.extend(current.filter(|current| !numbers.contains(current)));
    numbers.sort_unstable();
    let row = |number: GenerationNumber| Row {
        generation: number,
        current: current == Some(number),
        content: content(&host, number),
    };
    let document = Document {
        current,
        generations: numbers.into_iter().map(row).collect(),
    };
    context.output.result(&document, || table(&document))?;
    Ok(())
}

fn content(host: &Host, number: GenerationNumber) -> Content {
    let read = host.generation(number).map_err(|error| error.to_string());
    let digest = |generation: &::schema::generation::Generation| {
        generation.root_digest().map_err(|error| error.to_string())
    };
    match read.and_then(|generation| Ok((digest(&generation)?, generation))) {
        Err(problem) => Content::Damaged { problem },
        Ok((root_digest, generation)) => Content::Whole {
            root_digest,
            name: generation.name,
            version: generation.version,
            roles: generation.roles,
            packages: generation.packages.len(),
            configuration: generation.configuration,
            overrides: generation.overrides,
        },
    }
}

fn table(document: &Document) -> String {
    if document.generations.is_empty() {
        return "no generations yet".to_owned();
    }
    let row = |row: &Row| {
        let mark = if row.current { "*" } else { "" };
        let [version, digest, rest] = match &row.content {
            Content::Damaged { problem } => ["?".to_owned(), "?".to_owned(), problem.clone()],
            Content::Whole {
                root_digest,
                name,
                version,
                roles,
                packages,
                overrides,
                ..
            } => {
                let mut rest = vec![counted(*packages, "package")];
                rest.extend(roles.iter().map(|role| format!("role {role}")));
                rest.extend(
                    overrides
                        .iter()
                        .map(|local| format!("override of {}", local.name)),
                );
                [
                    format!("{name} {version}"),
                    root_digest.to_hex()[..12].to_owned(),
                    rest.join(", "),
                ]
            }
        };
        [mark.to_owned(), row.generation.to_string(), version, digest, rest]
    };
    let rows: Vec<_> = document.generations.iter().map(row).collect();
    text::table(&rows)
}
