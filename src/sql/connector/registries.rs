//! The registries of schemas that the tables of a script name.
//!
//! Owns one client for each. Asks none. Invariant: tables with the same settings have their connections, and what was fetched, in common.

use crate::{
    error::Result,
    registry::{Registry, RegistryConfig},
};

/// Registries by their settings.
#[derive(Default)]
pub struct Registries {
    known: Vec<(RegistryConfig, Registry)>,
}

impl Registries {
    /// The registry with these settings.
    ///
    /// # Errors
    /// If a setting is wrong, or a file with keys cannot be read.
    pub fn get(&mut self, config: &RegistryConfig) -> Result<Registry> {
        if let Some((_, registry)) = self.known.iter().find(|(known, _)| known == config) {
            return Ok(registry.clone());
        }
        let registry = Registry::unasked(config)?;
        self.known.push((config.clone(), registry.clone()));
        Ok(registry)
    }

    /// All of them.
    pub fn into_all(self) -> impl Iterator<Item = Registry> {
        self.known.into_iter().map(|(_, registry)| registry)
    }
}
