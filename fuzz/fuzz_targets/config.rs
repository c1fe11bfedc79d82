//! Arbitrary bytes as a `config.json`.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use vv_eval::hint::Hint as _;
use vv_eval::model::ModelConfig;

fuzz_target!(|bytes: &[u8]| {
    for is_online in [None, Some(false), Some(true)] {
        match ModelConfig::parse_as(Path::new("config.json"), bytes, is_online) {
            Ok(config) => {
                assert!(
                    config.n_heads.is_multiple_of(config.n_kv_heads),
                    "heads divide"
                );
                assert!(config.head_dim.is_multiple_of(2), "rotary pairs");
                let _ = (config.q_width(), config.kv_width(), config.has_sub_norms());
            }
            Err(error) => {
                let _ = (error.to_string(), error.hint());
            }
        }
    }
});
