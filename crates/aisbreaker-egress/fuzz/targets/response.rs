#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aisbreaker_egress_fuzz::response::check(data));
