//! `store status`: says what is active on a host, in one digest and in full.

use std::process::ExitCode;

use ::schema::status::{ActiveStatus, StatusReport};
use store::host::status;

use crate::args::hosts::At;
use crate::context::Context;
use crate::failure::{self, Failure};
use crate::meant::host;
use crate::render::text;

/// Runs the verb. The exit code says whether all could be told.
///
/// # Errors
/// When there is no host.
pub fn run(context: &Context<'_>, at: &At) -> Result<ExitCode, Failure> {
    let host = host::open(context, at)?;
    let report = status::report(&host, &context.world.host_name()).map_err(host::failed)?;
    context.output.result(&report, || summary(&report))?;
    Ok(ExitCode::from(match report.problems.as_slice() {
        [] => failure::DONE,
        _ => failure::FAILED,
    }))
}

fn summary(report: &StatusReport) -> String {
    let mut out = match &report.active {
        None => "nothing is active\n".to_owned(),
        Some(active) => of_active(active),
    };
    if let Some(pending) = &report.pending {
        let from = pending
            .from
            .map_or_else(|| "nothing".to_owned(), |from| format!("generation {from}"));
        out.push_str(&format!(
            "an activation from {from} to generation {} is not finished: see `store heal`\n",
            pending.to
        ));
    }
    for problem in &report.problems {
        out.push_str(&format!("problem: {problem}\n"));
    }
    out
}

fn of_active(active: &ActiveStatus) -> String {
    let roles: Vec<&str> = active.roles.iter().map(|role| role.as_str()).collect();
    let none = || "none".to_owned();
    let row = |what: &str, text: String| [what.to_owned(), text];
    let mut out = text::table(&[
        row("root digest", active.root_digest.to_hex()),
        row("generation", active.generation.to_string()),
        row("version", format!("{} {}", active.name, active.version)),
        row(
            "roles",
            if roles.is_empty() {
                none()
            } else {
                roles.join(", ")
            },
        ),
        row(
            "configuration",
            active.configuration.map_or_else(none, |digest| digest.to_hex()),
        ),
        row("packages", active.packages.len().to_string()),
    ]);
    for package in &active.packages {
        out.push_str(&format!("  {}\n", package.id));
    }
    for local in &active.overrides {
        out.push_str(&format!("override {} of {}\n", local.id, local.of));
        for path in &local.changed {
            out.push_str(&format!("  changed {path}\n"));
        }
    }
    out
}
