#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aisbreaker_services_fuzz::sse::check(data));
