//! `store completions`: prints what a shell needs to complete our verbs.

use clap::CommandFactory;

use crate::args::{Cli, Completions};
use crate::context::Context;

/// Runs the verb.
pub fn run(context: &Context<'_>, args: &Completions) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "store", &mut script);
    context.output.bytes(&script);
}
