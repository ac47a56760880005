//! The basic types that every layer uses. It depends on no other module of the program.

pub mod clock;
pub mod counted;
pub mod cpu;
pub mod egress;
pub mod fault;
pub mod footprint;
pub mod ids;
pub mod money;
pub mod names;
pub mod network;
pub mod paging;
pub mod random;
pub mod shares;
pub mod text;
