//! The host certificate and the clients that may play.
