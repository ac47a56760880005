//! An operator at work.

use super::moving::Places;
use crate::{
    base::clock::Clock,
    core::identity::{Origin, PlatformViewer},
    db::Gate,
    features::billing::Engine,
};

/// A platform administrator at work. Every transaction of his in the directory looks at his session.
#[derive(Clone, Copy)]
pub struct Operator<'a> {
    /// Opens his transactions: those of many tenants are no single one's.
    pub gate: &'a Gate,
    /// Who he is.
    pub viewer: &'a PlatformViewer,
    /// What time it is.
    pub clock: &'a Clock,
    /// Where the request came from.
    pub origin: &'a Origin,
    /// Bills.
    pub billing: &'a Engine,
    /// Where tenants may be.
    pub places: &'a Places,
}
