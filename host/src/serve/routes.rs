//! The routes of the REST API (DESIGN section 8).

pub mod problem;
