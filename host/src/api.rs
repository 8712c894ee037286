//! The JSON objects that the API and `--json` share, and their conversion from the engine's types.

pub mod convert;
pub mod types;
