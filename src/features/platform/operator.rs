//! The context of an operator's request.

use super::moving::Places;
use crate::{
    base::clock::Clock,
    core::identity::{Origin, PlatformViewer},
    db::Gate,
    features::billing::Engine,
};

/// A platform administrator's request. Each of its transactions in the directory checks the administrator's session.
#[derive(Clone, Copy)]
pub struct Operator<'a> {
    /// Opens the transactions, because they concern many tenants.
    pub gate: &'a Gate,
    /// The administrator.
    pub viewer: &'a PlatformViewer,
    /// The current time.
    pub clock: &'a Clock,
    /// Where the request came from.
    pub origin: &'a Origin,
    /// The billing engine.
    pub billing: &'a Engine,
    /// Where tenants can be placed.
    pub places: &'a Places,
}
