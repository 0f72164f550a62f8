//! What parts say while a service starts. It passes by itself, so the console shows it as a start, and not as a
//! failure.

/// Defines the constants of the sentences, and [`ALL`] of them.
macro_rules! sentences {
    ($($(#[$meta:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$meta])* pub const $name: &str = $text;)*
        /// All sentences of a start.
        pub const ALL: &[&str] = &[$($name),*];
    };
}

sentences! {
    /// Nothing was asked yet.
    STARTING = "starting";
    /// A broker or a database was asked and has not answered yet.
    CONNECTING = "connecting";
    /// A task waits for its first assignment.
    JOINING_GROUP = "joining the group";
    /// A task is started once the topics exist.
    WAITING_FOR_TOPICS = "waiting for topics";
    /// The relay is started once its topic exists.
    WAITING_FOR_KAFKA = "waiting for Kafka";
    /// The backlog was not counted yet.
    NOT_MEASURED = "not measured yet";
    /// The registry is asked for the format of the vouchers.
    ASKING_REGISTRY = "asking the registry";
    /// The registry is asked for the id of the order statuses' schema.
    ASKING_FOR_SCHEMA_ID = "asking the registry for the schema's id";
}
