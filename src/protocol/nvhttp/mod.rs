//! nvhttp: GET requests with a query, answers in XML.
//!
//! The HTTP status stays 200 where a client is to read the answer; what went wrong stands in `status_code` of the root.

pub mod query;
pub mod xml;

/// The version that Moonlight knows modern hosts by. The negative fourth part switches on what GeForce Experience never
/// had: encrypted control and RTSP, AV1, ping payloads.
pub const APP_VERSION: &str = "7.1.431.-1";
pub const GFE_VERSION: &str = "3.23.0.74";
