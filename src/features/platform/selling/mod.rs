//! What platform administrators sell: plans and their versions, roll-outs of features, tenants' subscriptions and invoices, and
//! what payment providers told in vain.

mod sales;

pub use sales::spread_rollouts;
