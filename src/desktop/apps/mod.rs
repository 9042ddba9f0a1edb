//! What players start: the list that the owner writes ([`list`], [`catalog`]), and what runs of it ([`process`]).

pub mod catalog;
pub mod list;
mod marked;
pub mod process;
