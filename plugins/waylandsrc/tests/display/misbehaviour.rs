//! Clients that do wrong hurt only themselves.
