//! What fields cost, in points.

/// What a field costs that runs a statement of its own.
pub const STATEMENT_COST: usize = 20;
/// What a field costs that changes something: so a document has room for some twenty.
pub const MUTATION_COST: usize = 1_000;
/// What a key of an idempotent request costs, before it is known whether the request is carried out.
pub const KEY_COST: usize = 50;
/// What a field of the schema itself costs: there are many of each.
pub const INTROSPECTION_COST: usize = 50;
/// What an attempt to sign in costs: less, because each counts in buckets of its own.
pub const SIGN_IN_COST: usize = 100;
