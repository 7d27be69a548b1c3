#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aisbreaker_gateway_fuzz::passed_events::check(data));
