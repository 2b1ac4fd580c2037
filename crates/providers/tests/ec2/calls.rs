//! How many requests a look at a large cluster takes.
