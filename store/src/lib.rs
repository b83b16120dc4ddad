//! Content on disk: the store's folders, their index, archives, closures and verification. Never knows how a package came to be.
