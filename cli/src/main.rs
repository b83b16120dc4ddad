//! The binary `store`: reads its arguments, runs one verb, and reports how it ended.

mod args;
mod building;
mod commands;
mod context;
mod failure;
mod meant;
mod render;
mod world;

use std::process::ExitCode;

use clap::Parser;

use args::Cli;
use context::Context;
use render::Output;
use world::World;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return render::misuse::show(&error),
    };
    let mut output = Output::for_machines_or_people(&cli.global);
    let run = World::look().and_then(|world| {
        output.draws = world.draws;
        commands::run(
            &Context {
                world,
                output,
                global: &cli.global,
            },
            cli.verb,
        )
    });
    run.unwrap_or_else(|failure| {
        render::failure::show(&output, &failure);
        failure.exit_code()
    })
}
