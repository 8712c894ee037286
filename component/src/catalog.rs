//! The catalog: `backup_history.json` (rows) and `.catalog.json` (ids, tombstones), loaded, checked and
//! published durably. Also names: which are valid and which is free.
//!
//! Only writing operations clean up after an interrupted run; reading never changes anything.

mod record;
mod store;

pub use record::{Record, Status};
pub use store::Catalog;
