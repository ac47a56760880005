//! What platform administrators sell and manage: plans and their versions, feature rollouts, tenants' subscriptions and
//! invoices, and failed payment events.

mod sales;

pub use sales::spread_rollouts;
