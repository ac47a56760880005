//! The resources that bookings use: staff, rooms, equipment.

mod catalogue;
mod model;
mod queries;

pub use catalogue::{create, delete, list, update};
pub use model::{Deleted, Draft, Patch, Resource, ResourceError, ResourceFilter, ResourceKey, ResourceKind};
pub use queries::{by_ids, count_active};
