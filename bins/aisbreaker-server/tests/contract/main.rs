//! The server as its clients see it: the real binary, real sockets on loopback, and providers that
//! misbehave on demand. One module per part of the HTTP contract.
//!
//! All modules are one test binary on purpose: it is linked once, and its tests run side by side,
//! each with servers and providers of its own. Nothing here sleeps; tests wait for an answer, a
//! line of the log, the end of a socket, or, where they are about time, for the pieces of a slow
//! stream.

#[cfg(test)]
mod support;

#[cfg(test)]
#[path = "../../../../crates/aisbreaker-quota/tests/support/redis_server.rs"]
mod redis_server;

#[cfg(test)]
mod asking;
#[cfg(test)]
mod bodies;
#[cfg(test)]
mod bounds;
#[cfg(test)]
mod canaries;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod dialects;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod egress;
#[cfg(test)]
mod fallback;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod floods;
#[cfg(test)]
mod greetings;
#[cfg(test)]
mod heads;
#[cfg(test)]
mod hogs;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod leaving;
#[cfg(test)]
mod leftovers;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod mint_policy;
#[cfg(test)]
mod minting;
#[cfg(test)]
mod model_lists;
#[cfg(test)]
mod network;
#[cfg(test)]
mod openai;
#[cfg(test)]
mod passing;
#[cfg(test)]
mod process;
#[cfg(test)]
mod providers;
#[cfg(test)]
mod quotas;
#[cfg(test)]
mod services;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod shared_store;
#[cfg(test)]
mod slow_clients;
#[cfg(test)]
mod state_file;
#[cfg(test)]
mod surface;
#[cfg(test)]
mod two_readers;
#[cfg(test)]
mod ways_out;
