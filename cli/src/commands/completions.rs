//! `store completions`: prints what a shell needs to complete our verbs.

use clap::CommandFactory;

use crate::args::{Cli, Completions};
use crate::context::Context;
use crate::failure::Failure;

/// Runs the verb.
///
/// # Errors
/// When the script cannot be written.
pub fn run(context: &Context<'_>, args: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "store", &mut script);
    context.output.bytes(&script)
}
