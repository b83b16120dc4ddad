//! `store recipe`: not built yet.
use crate::args::RecipeVerb;
use crate::commands::Context;
use crate::failure::Failure;
use std::process::ExitCode;
pub fn run(_: &Context<'_>, _: &RecipeVerb) -> Result<ExitCode, Failure> {
    Err(Failure::new("not yet"))
}
