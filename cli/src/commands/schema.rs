//! `store schema`: prints the JSON Schema of a document.

use crate::args::Schema;
use crate::context::Context;
use crate::failure::Failure;
use ::schema::json_schema;

/// Runs the verb.
///
/// # Errors
/// When there is no document of that name.
pub fn run(context: &Context<'_>, args: &Schema) -> Result<(), Failure> {
    let names = json_schema::names();
    let Some(name) = &args.name else {
        context.output.result(&names, || names.join("\n"))?;
        return Ok(());
    };
    let schema = json_schema::schema(name).ok_or_else(|| {
        Failure::misuse(format!("there is no document called `{name}`"))
            .help(format!("the documents are: {}", names.join(", ")))
    })?;
    let text = serde_json::to_string_pretty(&schema)?;
    context.output.bytes(format!("{text}\n").as_bytes())?;
    Ok(())
}
