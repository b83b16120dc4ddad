//! Owns how single values on the command line are read, where what the standard library says of a wrong one helps nobody.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use schema::generation::GenerationNumber;

/// A number of at least one.
///
/// # Errors
/// What is expected, in words.
pub fn at_least_one(text: &str) -> Result<NonZeroU32, &'static str> {
    text.parse()
        .map_err(|_| "a whole number of at least 1 is expected")
}

/// The number of a generation.
///
/// # Errors
/// What is expected, in words.
pub fn generation(text: &str) -> Result<GenerationNumber, &'static str> {
    text.parse()
        .map_err(|_| "the number of a generation is expected, as `store generations` lists them")
}

/// Where to listen.
///
/// # Errors
/// What is expected, in words.
pub fn listening(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "an IP address and a port are expected, such as 127.0.0.1:8080 or [::1]:8080")
}
