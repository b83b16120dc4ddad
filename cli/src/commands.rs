//! Owns the verbs, one file each.

mod activate;
mod artifact;
mod attest;
mod audit;
mod build;
mod challenge;
mod completions;
mod configure;
mod diff;
mod fetch;
mod gc;
mod generations;
mod graph;
mod heal;
mod index;
mod install;
mod ip_detect;
mod keygen;
mod list;
mod log;
mod man;
mod overriding;
mod preflight;
mod publish;
mod push;
mod rebuild;
mod recipe;
mod rollback;
mod roots;
mod sbom;
mod schema;
mod serve;
mod shell;
mod show;
mod sign;
mod status;
mod verify;
mod why;
mod why_rebuilt;

use std::process::ExitCode;

use crate::args::Verb;
use crate::context::Context;
use crate::failure::{self, Failure};

/// Runs one verb.
///
/// # Errors
/// What kept the verb from doing what it was asked.
pub fn run(context: &Context<'_>, verb: Verb) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Build(args) => return build::run(context, &args),
        Verb::Verify(args) => return verify::run(context, &args),
        Verb::Artifact(verb) => return artifact::run(context, &verb),
        Verb::Diff(args) => return diff::run(context, &args),
        Verb::Shell(args) => return shell::run(context, &args),
        Verb::Status(at) => return status::run(context, &at),
        Verb::Audit(args) => return audit::run(context, &args),
        Verb::Push(args) => push::run(context, &args)?,
        Verb::Keygen(args) => keygen::run(context, &args)?,
        Verb::Publish(args) => publish::run(context, &args)?,
        Verb::Sign(args) => sign::run(context, &args)?,
        Verb::Attest(args) => return attest::run(context, &args),
        Verb::Challenge(args) => return challenge::run(context, &args),
        Verb::Serve(args) => serve::run(context, &args)?,
        Verb::Preflight(args) => return preflight::run(context, &args),
        Verb::Install(args) => install::run(context, &args)?,
        Verb::IpDetect(args) => ip_detect::run(context, &args)?,
        Verb::Activate(args) => activate::run(context, &args)?,
        Verb::Heal(at) => heal::run(context, &at)?,
        Verb::Rollback(args) => rollback::run(context, &args)?,
        Verb::Generations(at) => generations::run(context, &at)?,
        Verb::Override(args) => overriding::run(context, &args)?,
        Verb::Recipe(verb) => return recipe::run(context, &verb),
        Verb::Configure(args) => configure::run(context, &args)?,
        Verb::Fetch(args) => fetch::run(context, &args)?,
        Verb::List => list::run(context)?,
        Verb::Show(args) => show::run(context, &args)?,
        Verb::Graph(args) => graph::run(context, &args)?,
        Verb::Why(args) => why::run(context, &args)?,
        Verb::WhyRebuilt(args) => why_rebuilt::run(context, &args)?,
        Verb::Log(args) => log::run(context, &args)?,
        Verb::Gc(args) => gc::run(context, &args)?,
        Verb::Roots(args) => roots::run(context, args.verb.as_ref())?,
        Verb::Index(verb) => index::run(context, &verb)?,
        Verb::Completions(args) => completions::run(context, &args)?,
        Verb::Sbom(args) => sbom::run(context, &args)?,
        Verb::Schema(args) => schema::run(context, &args)?,
        Verb::Man => man::run(context)?,
    }
    Ok(ExitCode::from(failure::DONE))
}
