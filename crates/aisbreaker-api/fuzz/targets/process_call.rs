#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aisbreaker_api_fuzz::process_call::check(data));
