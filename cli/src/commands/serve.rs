//! `store serve`: gives the files of a folder to whoever asks over HTTP, until a signal ends it.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ::schema::timestamp::Timestamp;
use builder::serve::{self, ServeObserver, Served, Server, Stopped};
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::args::delivery::Serve;
use crate::context::Context;
use crate::failure::Failure;
use crate::render::Output;

#[derive(Serialize)]
struct Document {
    folder: String,
    url: String,
    /// How many files and connections may be open at once.
    open_files: u64,
}

/// Writes one line for each request.
struct Log {
    output: Output,
    clock: fn() -> Duration,
}

impl ServeObserver for Log {
    fn served(&self, served: &Served) {
        let Served {
            peer,
            line,
            status,
            sent,
            length,
            range,
            took,
        } = served;
        let range = range.as_deref().unwrap_or("-");
        let time = Timestamp::from_unix((self.clock)().as_secs());
        let took = took.as_secs_f64();
        self.output.note(&format!(
            "{time} {peer} \"{line}\" {status} {sent}/{length} \"{range}\" {took:.3}s"
        ));
    }

    fn refused(&self, error: &io::Error) {
        self.output
            .complain(&format!("warning: cannot accept a connection: {error}"));
    }
}

/// Runs the verb.
///
/// # Errors
/// When the folder cannot be served there.
pub fn run(context: &Context<'_>, args: &Serve) -> Result<(), Failure> {
    let folder = context.world.cwd().join(&args.folder);
    let open_files = serve::raise_open_files();
    let server = Server::new(&folder, args.listen, context.world.cpus)?;
    let stopper = server.stopper();
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        // The second signal ends the process as if nobody caught it.
        for (count, signal) in signals.forever().enumerate() {
            stopper.stop();
            if count > 0 {
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        }
    });
    let document = Document {
        folder: folder.display().to_string(),
        url: format!("http://{}/", server.address()),
        open_files,
    };
    context.output.result(&document, || {
        format!("serving {} at {}", document.folder, document.url)
    })?;
    let log = Log {
        output: context.output,
        clock: context.world.clock(),
    };
    match server.run(Arc::new(log)) {
        Stopped::Clean => {}
        Stopped::CutOff => context
            .output
            .complain("warning: some answers took too long and were cut off"),
    }
    Ok(())
}
