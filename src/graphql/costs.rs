//! The costs of fields, in points.

/// The cost of a field that runs its own statement.
pub const STATEMENT_COST: usize = 20;
/// The cost of a mutation: a document has room for about twenty.
pub const MUTATION_COST: usize = 1_000;
/// The cost of an idempotency key, charged before it is known whether the request runs.
pub const KEY_COST: usize = 50;
/// The cost of an introspection field: there are many in one document.
pub const INTROSPECTION_COST: usize = 50;
/// The cost of an attempt to sign in: lower, because attempts also count against limits of their own.
pub const SIGN_IN_COST: usize = 100;
