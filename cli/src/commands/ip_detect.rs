//! `store ip-detect`: prints this host's address, as the configuration's script finds it.

use std::path::Path;

use serde::Serialize;
use store::host::address;

use crate::args::hosts::IpDetect;
use crate::context::Context;
use crate::failure::Failure;
use crate::meant::host;

#[derive(Serialize)]
struct Detected {
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
}

/// Runs the verb.
///
/// # Errors
/// When the configuration has no such script, or it does not print an address of this host.
pub fn run(context: &Context<'_>, args: &IpDetect) -> Result<(), Failure> {
    let host = host::open(context, &args.at)?;
    let script = host
        .active_manifest()
        .map_err(host::failed)?
        .document
        .ip_detect
        .ok_or_else(|| {
            Failure::new("the configuration of this host names no script that finds its address")
                .help("give `ip_detect: FILE` to `store configure`")
        })?;
    let address = address::detect(&host.root().join("current").join(script), host.root())?;
    if let Some(file) = &args.environment {
        address::write_environment(address, &context.world.cwd().join(file))?;
    }
    let document = Detected {
        address: address.to_string(),
        environment: args
            .environment
            .as_deref()
            .map(Path::display)
            .map(|path| path.to_string()),
    };
    context.output.result(&document, || document.address.clone())?;
    Ok(())
}
