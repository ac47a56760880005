//! A loader that counts its batches.

use std::{collections::HashMap, hash::Hash};

use async_graphql::dataloader::{DataLoader, HashMapCache, Loader};

use crate::core::telemetry;

/// A loader with its request's cache.
pub type Cached<L> = DataLoader<Counted<L>, HashMapCache>;

/// A loader that counts its batches.
pub struct Counted<L> {
    pub(super) loader: L,
    pub(super) name: &'static str,
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static, L: Loader<K>> Loader<K> for Counted<L> {
    type Value = L::Value;
    type Error = L::Error;

    async fn load(&self, keys: &[K]) -> Result<HashMap<K, L::Value>, L::Error> {
        telemetry::note_batch(self.name, keys.len());
        self.loader.load(keys).await
    }
}
