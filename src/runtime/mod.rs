//! The loop around the tasks, and what it needs of the operating system.

pub mod clock;
