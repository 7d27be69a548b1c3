#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aisbreaker_api_fuzz::service_url::check(data));
