//! What a clone does.
