//! Stands for the server in a build without the cargo feature `page`.
//!
//! Knows nothing. Invariant: there is never such a server; the configuration refuses an address to listen on before one is asked for.

use super::settings::Settings;
use crate::{
    error::{Error, Result},
    observe::{history::History, metrics::Metrics, queries::QueryBoard, status::Status},
};
use std::{net::SocketAddr, sync::Arc};

/// A server that cannot be.
pub enum Server {}

impl Server {
    /// Refuses.
    ///
    /// # Errors
    /// [`Error::Config`], always.
    pub fn start(_: &Settings, _: Arc<Metrics>, _: Arc<Status>, _: Arc<History>) -> Result<Server> {
        Err(Error::Config("this program was built without the cargo feature `page`".into()))
    }

    /// Refuses.
    ///
    /// # Errors
    /// [`Error::Config`], always.
    pub fn for_queries(_: &Settings, _: QueryBoard) -> Result<Server> {
        Err(Error::Config("this program was built without the cargo feature `page`".into()))
    }

    /// Never called.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        match *self {}
    }

    /// Never called.
    #[must_use]
    pub fn url(&self) -> String {
        match *self {}
    }
}
