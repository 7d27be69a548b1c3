#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aisbreaker_gateway_fuzz::forwarded_events::check(data));
