//! The JSON objects that the API and `--json` share, and their conversion from the engine's types.

pub mod answers;
pub mod convert;
pub mod types;
