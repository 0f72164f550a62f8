//! The product's loops, with their ports over the clients and the world.

pub mod member;
pub mod processor;
pub mod relay;
pub mod silent;
pub mod sink;
