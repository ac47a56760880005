//! Mail and the outbox.
