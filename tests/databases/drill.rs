//! Restores that are practised.
