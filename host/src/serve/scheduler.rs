//! Starts what is due.
