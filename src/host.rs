//! Puts the parts together: start reading here.
