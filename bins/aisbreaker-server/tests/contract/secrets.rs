//! Where secrets may go, and where they must never appear.

mod command_leaks;
mod egress;
mod memory_residue;
mod secret_exfiltration;
mod secret_leaks;
