//! The open connections, and who gives way when there are too many.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinSet};

use super::connection::Link;

/// How often a listener that is full looks whether somebody has become idle.
const RETRY: Duration = Duration::from_millis(50);

/// The tasks of the open connections. Dropping it ends them all.
#[derive(Debug)]
pub(super) struct Pool {
    tasks: JoinSet<()>,
    links: HashMap<Id, (AbortHandle, Arc<Link>)>,
    most: usize,
}

impl Pool {
    pub(super) fn new(most: usize) -> Self {
        Self {
            tasks: JoinSet::new(),
            links: HashMap::new(),
            most,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Starts serving a connection.
    pub(super) fn spawn(&mut self, link: Arc<Link>, connection: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(connection);
        self.links.insert(task.id(), (task, link));
    }

    /// Waits for the end of one of them; for ever when there is none.
    pub(super) async fn reap(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => {
                self.links.remove(&id);
            }
            Some(Err(error)) => {
                self.links.remove(&error.id());
                if error.is_panic() {
                    tracing::error!("a connection's task panicked, which is a bug");
                }
            }
            None => std::future::pending().await,
        }
    }

    /// Returns when there is room for one more. Where there is none, an idle connection is ended: first of those
    /// that never showed a valid credential, the oldest first. When all are being answered, it waits.
    pub(super) async fn room(&mut self) {
        let mut gives_way = false;
        while self.tasks.len() >= self.most {
            gives_way = gives_way || self.end_idle();
            // Whoever ends makes room, not only the one that was chosen.
            if tokio::time::timeout(RETRY, self.reap()).await.is_ok() {
                gives_way = false;
            }
        }
    }

    /// Ends one idle connection, if there is one.
    pub(super) fn end_idle(&self) -> bool {
        let idle = self
            .links
            .values()
            .filter_map(|(task, link)| Some((link.dispensable()?, task, link)));
        let Some((_, task, link)) = idle.min_by_key(|(order, ..)| *order) else {
            return false;
        };
        tracing::debug!("the idle connection with {} gives way to a new one", link.peer);
        task.abort();
        true
    }

    /// Ends all that wait for a request, or for the rest of one's header.
    pub(super) fn end_all_idle(&self) {
        for (task, link) in self.links.values() {
            if link.dispensable().is_some() {
                task.abort();
            }
        }
    }
}
