//! placeholder

pub use cofre_component as component;
