//! What EC2 does at its worst, each by name.
