//! `store configure`: renders a configuration into an artifact and lays out the folder that hosts install from.

use ::schema::delivery::DeliveryIndex;
use builder::attest::{Attester, BuilderUri};
use builder::configure::{self, ConfigureError, Configured, Request};
use serde::Serialize;
use store::keys::SigningKey;

use crate::args::configure::Configure;
use crate::context::Context;
use crate::failure::{Failure, counted};
use crate::meant::workshop;
use crate::render::text;

#[derive(Serialize)]
struct Document<'a> {
    output: String,
    configuration: Package,
    /// The configuration that the artifact held before, when it is another one.
    replaced: Option<Package>,
    /// Whether the folder changed.
    changed: bool,
    index: &'a DeliveryIndex,
}

#[derive(Serialize)]
struct Package {
    name: String,
    id: String,
}

impl Package {
    fn of(id: &::schema::id::PackageId) -> Self {
        Self {
            name: id.name().to_string(),
            id: id.to_string(),
        }
    }
}

/// Runs the verb.
///
/// # Errors
/// Every mistake in the inputs at once, or what cannot be read or written.
pub fn run(context: &Context<'_>, args: &Configure) -> Result<(), Failure> {
    let recipes = workshop::root(context)?;
    let cwd = context.world.cwd();
    let name = args.config.to_string_lossy();
    let key = args.key.as_ref().map(|key| SigningKey::read(&cwd.join(key)));
    let key = key.transpose()?;
    let builder = args.builder.clone().or(key.as_ref().map(BuilderUri::of_key));
    let request = Request {
        recipes: &recipes,
        inputs: &cwd.join(&args.config),
        inputs_name: &name,
        artifact: &cwd.join(&args.artifact),
        output: &cwd.join(&args.output),
        url: args.url.as_deref(),
        attester: key
            .as_ref()
            .zip(builder.as_ref())
            .map(|(key, builder)| Attester { key, builder }),
    };
    let configured = configure::configure(&request).map_err(|error| failure(error, &request))?;
    let document = Document {
        output: args.output.display().to_string(),
        configuration: Package::of(&configured.id),
        replaced: configured.replaced.as_ref().map(Package::of),
        changed: configured.changed,
        index: &configured.index,
    };
    context
        .output
        .result(&document, || told(&document, &configured))?;
    Ok(())
}

fn told(document: &Document<'_>, configured: &Configured) -> String {
    if !configured.changed {
        return format!("{} holds {} already", document.output, configured.id);
    }
    let files = &configured.index.files;
    let size = files.iter().map(|file| file.size).sum();
    let made = format!(
        "{}: {}, {}",
        document.output,
        counted(files.len(), "file"),
        text::size(size)
    );
    match &configured.replaced {
        Some(replaced) => format!("{made}, with {} in place of {replaced}", configured.id),
        None => format!("{made}, with {}", configured.id),
    }
}

fn failure(error: ConfigureError, request: &Request<'_>) -> Failure {
    match error {
        ConfigureError::Mistakes(mistakes) => {
            let mut texts = mistakes.texts;
            // The inputs lie where the user stands, the rest in the tree of recipes.
            if let Ok(text) = std::fs::read_to_string(request.inputs) {
                texts.entry(request.inputs_name.to_owned()).or_insert(text);
            }
            let message = match mistakes.findings.len() {
                1 => "there is 1 mistake in the configuration".to_owned(),
                count => format!("there are {count} mistakes in the configuration"),
            };
            Failure::new(message)
                .findings(mistakes.findings)
                .in_tree(request.recipes)
                .with_texts(texts)
        }
        ConfigureError::NoSchema(_) => Failure::from(error)
            .help("describe the inputs in config/schema.json, and put templates into config/templates"),
        error => error.into(),
    }
}
