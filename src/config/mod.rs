//! The one configuration file: as written, then as meant.
