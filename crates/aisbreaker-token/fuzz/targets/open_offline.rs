#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aisbreaker_token_fuzz::open_offline::check(data));
