//! `store why`: says by which chains of dependencies one package needs another.

use serde::Serialize;

use crate::args::Why;
use crate::commands::{Context, workshop};
use crate::failure::Failure;

#[derive(Serialize)]
struct Document {
    dependent: String,
    dependency: String,
    /// The shortest chain, from the dependent to the dependency.
    chain: Vec<Link>,
}

#[derive(Serialize)]
struct Link {
    name: String,
    id: String,
    /// Whether the link to the next package is needed at run time, too.
    at_run_time: Option<bool>,
}

/// Runs the verb.
///
/// # Errors
/// When a name is unknown, or there is no such dependency.
pub fn run(context: &Context<'_>, args: &Why) -> Result<(), Failure> {
    let workshop = workshop::open(context, args.variant.as_deref())?;
    let from = workshop::package(&workshop, &args.dependent)?;
    let to = workshop::package(&workshop, &args.dependency)?;
    let chain = workshop.chain(from, to).ok_or_else(|| {
        Failure::new(format!(
            "`{}` does not depend on `{}`",
            args.dependent, args.dependency
        ))
    })?;
    let link = |(at, package): (usize, &&builder::workshop::ResolvedPackage)| Link {
        name: package.id.name().to_string(),
        id: package.id.to_string(),
        at_run_time: chain
            .get(at + 1)
            .map(|next| package.resolved.requires.contains(&next.id)),
    };
    let document = Document {
        dependent: args.dependent.clone(),
        dependency: args.dependency.clone(),
        chain: chain.iter().enumerate().map(link).collect(),
    };
    context.output.result(&document, || {
        let line = |(depth, link): (usize, &Link)| match link.at_run_time {
            Some(true) => format!("{:indent$}{} requires", "", link.name, indent = depth * 2),
            Some(false) => format!("{:indent$}{} is built with", "", link.name, indent = depth * 2),
            None => format!("{:indent$}{}", "", link.name, indent = depth * 2),
        };
        document
            .chain
            .iter()
            .enumerate()
            .map(line)
            .collect::<Vec<_>>()
            .join("\n")
    });
    Ok(())
}
