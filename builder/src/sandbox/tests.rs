//! Owns the tests that run real sandboxes on this machine, with the static shell that `./dev setup` installs.

mod fixture;
mod limits;
mod view;
