//! Connections, TLS, limits, credentials and the audit of calls: everything about HTTP that is not a route.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;

use super::Service;
use crate::config::Api;
use crate::error::{Error, Result};

/// A server that is bound to its address.
#[derive(Debug)]
pub struct Server {
    service: Arc<Service>,
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
}

impl Server {
    /// Binds the address.
    ///
    /// # Errors
    /// When it is in use.
    pub fn bind(service: Arc<Service>, api: &Api, router: Router) -> Result<Self> {
        let fail = |e: &std::io::Error| Error::io(format!("listen on {}", api.listen), e);
        let listener = TcpListener::bind(api.listen).map_err(|e| fail(&e))?;
        listener.set_nonblocking(true).map_err(|e| fail(&e))?;
        let address = listener.local_addr().map_err(|e| fail(&e))?;
        Ok(Self {
            service,
            listener,
            address,
            router,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the service ends.
    pub async fn serve(self) {
        let mut ending = self.service.ending.clone();
        let Ok(listener) = tokio::net::TcpListener::from_std(self.listener) else {
            return;
        };
        let _ = axum::serve(listener, self.router)
            .with_graceful_shutdown(async move {
                let _ = ending.wait_for(|ending| *ending).await;
            })
            .await;
    }
}
