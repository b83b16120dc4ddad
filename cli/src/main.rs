//! The binary `store`: arguments in, messages out.

fn main() {}
