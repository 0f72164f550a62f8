//! Clients of the model's Kafka, with librdkafka's habits.

pub mod consumer;
pub mod producer;
pub mod producers;
