//! Owns the tests of hosts.
