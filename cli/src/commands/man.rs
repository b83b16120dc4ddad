//! `store man`: prints the manual page, verbs included.

use clap::{Command, CommandFactory};

use crate::args::Cli;
use crate::context::Context;
use crate::failure::Failure;

/// Runs the verb.
///
/// # Errors
/// Never in practice: the page is rendered to memory.
pub fn run(context: &Context<'_>) -> Result<(), Failure> {
    let mut page = Vec::new();
    let mut command = Cli::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        render_verb(verb, &mut page)?;
    }
    context.output.bytes(&page)?;
    Ok(())
}

fn render_verb(verb: &Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    let man = clap_mangen::Man::new(verb.clone());
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_options_section(page)
}
