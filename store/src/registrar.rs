//! Owns the thread that registers placed packages, so that one wait for the disk serves all that finished meanwhile.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{Scope, ScopedJoinHandle};

use crate::publish::{self, Placed, PublishError};
use crate::store::Store;

/// Takes placed packages and registers them in the background. What is submitted before another is registered no
/// later than that, so dependencies may be built on as soon as they are placed.
#[derive(Debug)]
pub struct Registrar<'scope> {
    sender: Sender<Placed>,
    thread: ScopedJoinHandle<'scope, Result<(), PublishError>>,
}

impl<'scope> Registrar<'scope> {
    /// Starts the thread within `scope`.
    pub fn start<'env>(scope: &'scope Scope<'scope, 'env>, store: &'env Store) -> Self {
        let (sender, receiver) = mpsc::channel();
        let thread = scope.spawn(move || register_all(store, &receiver));
        Self { sender, thread }
    }

    /// Registers `placed` soon.
    ///
    /// # Errors
    /// Gives `placed` back when nothing is registered any more; [`Registrar::finish`] says why.
    pub fn submit(&self, placed: Placed) -> Result<(), Box<Placed>> {
        self.sender.send(placed).map_err(|refused| Box::new(refused.0))
    }

    /// Waits until everything submitted is registered.
    ///
    /// # Errors
    /// The first failure; nothing after it was registered.
    pub fn finish(self) -> Result<(), PublishError> {
        drop(self.sender);
        match self.thread.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn register_all(store: &Store, receiver: &Receiver<Placed>) -> Result<(), PublishError> {
    while let Ok(first) = receiver.recv() {
        let batch = std::iter::once(first).chain(receiver.try_iter()).collect();
        publish::register(store, batch)?;
    }
    Ok(())
}
